//! Certificates and keys from PEM text (RFC 7468).

use crate::section;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use fata_libos::entropy::EntropyError;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer,
    PrivateSec1KeyDer,
};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error as TlsError, InconsistentKeys, RootCertStore};
use zeroize::Zeroizing;

/// Why certificates and keys cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text has none.
    #[error("no certificate in the PEM text, which has {0}")]
    NoCertificate(String),
    /// The text has none.
    #[error("no private key in the PEM text, which has {0}")]
    NoKey(String),
    /// Which one is meant?
    #[error("{0} private keys in the PEM text, where one belongs")]
    SeveralKeys(usize),
    /// It has a password.
    #[error("the private key is encrypted; `openssl pkey` writes it without a password")]
    EncryptedKey,
    /// A section is broken.
    #[error("section {section} of the PEM text is broken: {reason}")]
    BadPem {
        /// Which one, from 1.
        section: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// Not what a certificate is encoded like.
    #[error("certificate {0} of the PEM text cannot be read")]
    BadCertificate(usize),
    /// The certificate has another key.
    #[error("the private key does not belong to the first certificate")]
    KeyMismatch,
    /// Its kind or encoding.
    #[error("the private key cannot be used: {0}")]
    BadKey(String),
    /// Not what a revocation list is encoded like.
    #[error("the revocation list cannot be read")]
    BadRevocationList,
    /// An application protocol's name is empty, or longer than 255 octets.
    #[error("an application protocol's name has 1 to 255 octets")]
    BadProtocolName,
    /// There are no random octets, without which no handshake is done.
    #[error("{0}")]
    NoEntropy(EntropyError),
    /// Something that rustls refuses.
    #[error("the configuration cannot be used: {0}")]
    Refused(String),
}

/// What a PEM text has.
#[derive(Default)]
struct Sections {
    certificates: Vec<CertificateDer<'static>>,
    keys: Vec<Zeroizing<PrivateKeyDer<'static>>>,
    lists: Vec<CertificateRevocationListDer<'static>>,
}

fn sections(pem: &str) -> Result<Sections, ConfigError> {
    let mut all = Sections::default();
    for (n, section) in section::sections(pem).enumerate() {
        let broken = |reason| ConfigError::BadPem { section: n + 1, reason };
        let section = section.map_err(broken)?;
        let der = || match section.decode() {
            Ok(mut octets) => Ok(mem::take(&mut *octets)),
            // RFC 1421 section 4.6.1.1.
            Err(_) if section.body.contains("Proc-Type: 4,ENCRYPTED") => Err(ConfigError::EncryptedKey),
            Err(reason) => Err(broken(reason)),
        };
        match section.label {
            "CERTIFICATE" => all.certificates.push(der()?.into()),
            "PRIVATE KEY" => all.keys.push(Zeroizing::new(PrivatePkcs8KeyDer::from(der()?).into())),
            "RSA PRIVATE KEY" => all.keys.push(Zeroizing::new(PrivatePkcs1KeyDer::from(der()?).into())),
            "EC PRIVATE KEY" => all.keys.push(Zeroizing::new(PrivateSec1KeyDer::from(der()?).into())),
            "X509 CRL" => all.lists.push(der()?.into()),
            _ => {}
        }
    }
    Ok(all)
}

/// The kinds of the text's sections, as they are named there.
fn labels(pem: &str) -> String {
    let labels: Vec<_> = pem
        .lines()
        .filter_map(|line| line.strip_prefix("-----BEGIN ")?.trim_end().strip_suffix("-----"))
        .collect();
    match labels.is_empty() {
        true => "no section".into(),
        false => labels.join(", "),
    }
}

/// The certificates of a text, one at least.
pub(crate) fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let chain = sections(pem)?.certificates;
    match chain.is_empty() {
        true => Err(ConfigError::NoCertificate(labels(pem))),
        false => Ok(chain),
    }
}

/// The one private key of a text.
pub(crate) fn key(pem: &str) -> Result<Zeroizing<PrivateKeyDer<'static>>, ConfigError> {
    let mut keys = sections(pem)?.keys;
    match (keys.len(), keys.pop()) {
        (1, Some(key)) => Ok(key),
        (0, _) if pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") => Err(ConfigError::EncryptedKey),
        (0, _) => Err(ConfigError::NoKey(labels(pem))),
        (n, _) => Err(ConfigError::SeveralKeys(n)),
    }
}

/// A chain with its key.
pub(crate) fn certified(
    provider: &CryptoProvider,
    chain_pem: &str,
    key_pem: &str,
) -> Result<CertifiedKey, ConfigError> {
    let chain = chain(chain_pem)?;
    for (n, certificate) in chain.iter().enumerate() {
        webpki::EndEntityCert::try_from(certificate).map_err(|_| ConfigError::BadCertificate(n + 1))?;
    }
    let certified = CertifiedKey::new(chain, signing_key(provider, key_pem)?);
    match certified.keys_match() {
        Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(_) => Err(ConfigError::KeyMismatch),
    }
}

/// A chain with its key, of which nobody has looked whether they belong together: webpki reads no certificate with a critical
/// extension that it does not know, and that of a challenge has one.
#[cfg(feature = "issue")]
pub(crate) fn unchecked(
    provider: &CryptoProvider,
    chain_pem: &str,
    key_pem: &str,
) -> Result<CertifiedKey, ConfigError> {
    let chain = chain(chain_pem)?;
    Ok(CertifiedKey::new(chain, signing_key(provider, key_pem)?))
}

fn signing_key(provider: &CryptoProvider, pem: &str) -> Result<Arc<dyn SigningKey>, ConfigError> {
    // Its reader takes it over and zeroes it.
    let key = mem::replace(&mut *key(pem)?, PrivatePkcs8KeyDer::from(Vec::new()).into());
    provider.key_provider.load_private_key(key).map_err(bad_key)
}

fn bad_key(error: TlsError) -> ConfigError {
    ConfigError::BadKey(match error {
        TlsError::General(reason) => reason,
        error => error.to_string(),
    })
}

/// The certificates of a text as those that are trusted.
pub(crate) fn roots(pem: &str) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    for (n, certificate) in chain(pem)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|_| ConfigError::BadCertificate(n + 1))?;
    }
    Ok(roots)
}

/// The revocation lists of a text, one at least.
pub(crate) fn revocation_lists(pem: &str) -> Result<Vec<CertificateRevocationListDer<'static>>, ConfigError> {
    let lists = sections(pem)?.lists;
    match lists.is_empty() {
        true => Err(ConfigError::BadRevocationList),
        false => Ok(lists),
    }
}
