//! A certificate with its key.

use alloc::string::String;
use core::fmt;
use fata_tls::issue::{IssueError, Issued};
use fata_tls::{ConfigError, ServerConfig};
use zeroize::Zeroizing;

/// The file of a certificate, and of those that signed it behind it.
pub(super) const CHAIN: &str = "chain.pem";
/// The file of its key.
pub(super) const KEY: &str = "key.pem";

/// A certificate with its key, as PEM texts. Two are equal whose sections are: how their lines are broken, and what stands between
/// sections, makes no other pair.
#[derive(Clone)]
pub struct Pair {
    /// The certificate, and those that signed it behind it.
    pub chain: String,
    /// Its key.
    pub key: Zeroizing<String>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.has_chain_of(other) && sections(&self.key).eq(sections(&other.key))
    }
}

/// The characters of a PEM text's sections, their first and last lines among them.
fn sections(pem: &str) -> impl Iterator<Item = u8> {
    let mut is_inside = false;
    let of_section = pem.lines().filter(move |line| {
        let (begins, ends) = (line.starts_with("-----BEGIN "), line.starts_with("-----END "));
        is_inside = (is_inside || begins) && !ends;
        is_inside || ends
    });
    of_section.flat_map(|line| line.bytes().filter(|octet| !octet.is_ascii_whitespace()))
}

/// Why there is no pair that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// A file is missing or cannot be read.
    #[error("{0}")]
    File(String),
    /// They are not a certificate and its key.
    #[error("{CHAIN} and {KEY}: {0}")]
    Pair(#[from] ConfigError),
    /// It cannot be made or read.
    #[error("the certificate: {0}")]
    Issue(#[from] IssueError),
    /// There is none at all.
    #[error("there is no certificate")]
    None,
    /// It was valid once.
    #[error("the certificate has expired")]
    Expired,
    /// It will be.
    #[error("the certificate is not valid yet")]
    Early,
    /// The one that there is was made here and ends soon.
    #[error("the certificate ends soon, and another one cannot be kept: {0}")]
    NotKept(String),
}

impl From<&Issued> for Pair {
    fn from(issued: &Issued) -> Self {
        Self { chain: issued.chain_pem.clone(), key: issued.key_pem.clone() }
    }
}

impl Pair {
    /// What a server shows of it; an error where the key is another's.
    pub fn config(&self) -> Result<ServerConfig, PairError> {
        Ok(ServerConfig::from_pem(&self.chain, &self.key)?)
    }

    /// Whether the other has the same certificates.
    pub fn has_chain_of(&self, other: &Self) -> bool {
        sections(&self.chain).eq(sections(&other.chain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn pair(chain: &str, key: &str) -> Pair {
        Pair { chain: chain.into(), key: Zeroizing::new(key.into()) }
    }

    #[test]
    fn other_texts_of_the_same_sections_are_the_same_pair() {
        let chain = "-----BEGIN CERTIFICATE-----\nabcd\nef==\n-----END CERTIFICATE-----\n";
        let key = "-----BEGIN PRIVATE KEY-----\nghij\n-----END PRIVATE KEY-----\n";
        let first = pair(chain, key);
        assert!(first == pair(&chain.replace('\n', "\r\n"), key));
        assert!(first == pair(&chain.replace("abcd\n", "ab\ncd"), &format!("mine\n\n{key}\nend\n")));
        assert!(first != pair(&chain.replace("ab", "aB"), key));
        assert!(first != pair(chain, &key.replace("gh", "Gh")));
        assert!(first != pair(&[chain, chain].concat(), key));
        assert!(first.has_chain_of(&pair(chain, "")));
    }
}
