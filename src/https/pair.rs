//! A certificate with its key.

#[cfg(feature = "client-certificates")]
use super::clients::{AUTHORITIES, REVOKED};
use alloc::string::String;
use core::fmt;
use fata_libos::time::SystemTime;
use fata_tls::issue::{IssueError, Issued};
use fata_tls::{ConfigError, OcspError, OcspResponse, ServerConfig};
use zeroize::Zeroizing;

/// The file of a certificate, and of those that signed it behind it.
pub(super) const CHAIN: &str = "chain.pem";
/// The file of its key.
pub(super) const KEY: &str = "key.pem";

/// The file of an OCSP response about the certificate (RFC 6960, DER), which may be there too.
#[cfg(feature = "storage")]
pub(super) const OCSP: &str = "ocsp.der";

/// A certificate with its key, as PEM texts. Two are equal whose sections are: how their lines are broken, and what stands between
/// sections, makes no other pair.
#[derive(Clone)]
pub struct Pair {
    /// The certificate, and those that signed it behind it.
    pub chain: String,
    /// Its key.
    pub key: Zeroizing<String>,
    /// What an authority says of the certificate, for clients that ask while it is of now (RFC 6066 section 8); or why that cannot be shown,
    /// without which the pair is shown all the same.
    ocsp: Option<Result<OcspResponse, OcspError>>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.has_chain_of(other) && sections(&self.key).eq(sections(&other.key)) && self.ocsp == other.ocsp
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
    /// They are nobody's who signs clients' certificates.
    #[cfg(feature = "client-certificates")]
    #[error("{AUTHORITIES} and {REVOKED}: {0}")]
    Clients(ConfigError),
    /// It cannot be made or read.
    #[error("the certificate: {0}")]
    Issue(#[from] IssueError),
    /// The OCSP response beside it.
    #[error("{0}")]
    Ocsp(#[from] OcspError),
    /// There is none at all.
    #[error("there is no certificate")]
    None,
    /// It was valid once, by what the clock says.
    #[error("the certificate has expired; the clock says {now}", now = .0.utc())]
    Expired(SystemTime),
    /// It will be, by what the clock says.
    #[error("the certificate is not valid yet; the clock says {now}", now = .0.utc())]
    Early(SystemTime),
    /// The one that there is was made here and ends soon.
    #[error("the certificate ends soon, and another one cannot be kept: {0}")]
    NotKept(String),
}

impl PairError {
    /// Whether it says what the clock says.
    pub(super) fn is_of_clock(&self) -> bool {
        matches!(self, Self::Expired(_) | Self::Early(_) | Self::Issue(IssueError::Clock(_)))
    }
}

impl From<&Issued> for Pair {
    fn from(issued: &Issued) -> Self {
        Self::new(issued.chain_pem.clone(), issued.key_pem.clone())
    }
}

impl Pair {
    /// Of PEM texts.
    pub fn new(chain: String, key: Zeroizing<String>) -> Self {
        Self { chain, key, ocsp: None }
    }

    /// With an OCSP response beside it.
    #[cfg(feature = "storage")]
    pub fn with_ocsp(mut self, response: Result<&[u8], OcspError>) -> Self {
        let about_this = |response: OcspResponse| response.check_certificate(&self.chain).map(|()| response);
        self.ocsp = Some(response.and_then(OcspResponse::from_der).and_then(about_this));
        self
    }

    /// What an authority says of the certificate. Without disks there is none, and no code for it.
    pub fn ocsp(&self) -> Option<&Result<OcspResponse, OcspError>> {
        self.ocsp.as_ref().filter(|_| cfg!(feature = "storage"))
    }

    /// The OCSP response that is shown at that time.
    pub(super) fn staple(&self, now: SystemTime) -> Option<&OcspResponse> {
        self.ocsp()?.as_ref().ok().filter(|response| response.check_dates(now).is_ok())
    }

    /// Why its OCSP response is not shown at that time, if it has one.
    pub(super) fn without_ocsp(&self, now: SystemTime) -> Option<OcspError> {
        match self.ocsp()? {
            Ok(response) => response.check_dates(now).err(),
            Err(error) => Some(*error),
        }
    }

    /// What a server shows of it now; an error where the key is another's.
    pub fn config(&self) -> Result<ServerConfig, PairError> {
        self.config_at(SystemTime::now())
    }

    pub(super) fn config_at(&self, now: SystemTime) -> Result<ServerConfig, PairError> {
        self.stapled(ServerConfig::from_pem(&self.chain, &self.key)?, now)
    }

    /// A configuration with this one beside those that it has.
    pub(super) fn beside(&self, config: ServerConfig, now: SystemTime) -> Result<ServerConfig, PairError> {
        self.stapled(config.certificate(&self.chain, &self.key)?, now)
    }

    fn stapled(&self, config: ServerConfig, now: SystemTime) -> Result<ServerConfig, PairError> {
        match self.staple(now) {
            Some(response) => Ok(config.ocsp(response)?),
            None => Ok(config),
        }
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
        Pair::new(chain.into(), Zeroizing::new(key.into()))
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
