//! Making keys, certificates and certificate requests: what a server shows before, and asks for when, an authority signs for it.
//!
//! ```
//! # fn example() -> Result<(), Box<dyn core::error::Error>> {
//! use fata_libos::time::{Duration, SystemTime};
//! use fata_tls::ServerConfig;
//!
//! let now = SystemTime::now();
//! let year = SystemTime::from_unix(now.since_unix() + Duration::from_secs(365 * 86_400));
//! let own = fata_tls::issue::self_signed(&["appliance.test", "10.0.0.2"], now, year)?;
//! let config = ServerConfig::from_pem(&own.chain_pem, &own.key_pem)?;
//! # Ok(())
//! # }
//! ```
//!
//! Keys are on P-256 and sign by ECDSA with SHA-256, which every client checks. [`PrivateKey`] is the key; [`self_signed`] and
//! [`acme_certificate`] are certificates (X.509, RFC 5280) that it has signed itself; [`request()`] asks for one (PKCS#10, RFC 2986);
//! [`received()`]
//! looks at what was given out then; [`Validity`] reads when one begins and ends, [`Identity`] by what its authority knows it. `names` says what a certificate can be for, `der` writes (ITU-T X.690).
//!
//! Why DER is written here: `docs/decisions/0040-certificates-made-here.md`.

mod certificate;
mod der;
mod extension;
mod identity;
mod key;
mod names;
mod received;
mod request;
#[cfg(test)]
mod tests;
mod validity;

pub use certificate::{BACKDATED, Issued, MAX_DATE, acme_certificate, self_signed, self_signed_with};
pub use identity::Identity;
pub use key::PrivateKey;
pub use names::{BadName, MAX_NAMES, Name, Names};
pub use received::{BadChain, MAX_CHAIN, received};
pub use request::request;
pub use validity::Validity;

use fata_libos::entropy::EntropyError;
use fata_libos::time::SystemTime;

/// The time of day, for who makes certificates by it. It is an error where the clock cannot be right: before 2026 none of this existed.
pub fn now() -> Result<SystemTime, IssueError> {
    crate::clock::now().map_err(IssueError::Clock)
}

/// Why a key, a certificate or a request cannot be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// Something that no certificate is for.
    #[error("no certificate is for {name:?}: {problem}")]
    BadName {
        /// What was given.
        name: alloc::string::String,
        /// What is wrong with it.
        problem: BadName,
    },
    /// A certificate is for one name at least.
    #[error("a certificate without a name")]
    NoName,
    /// More than any authority signs for.
    #[error("{0} names for one certificate, where 100 are the most")]
    TooManyNames(usize),
    /// It would end before it begins, or in no year of four digits.
    #[error("a certificate cannot be valid from {from} to {to} (seconds since 1970)")]
    BadValidity {
        /// First moment, seconds since 1970.
        from: u64,
        /// Last moment, seconds since 1970.
        to: u64,
    },
    /// The clock is not set: who makes certificates by it would make one of 1970.
    #[error("the clock says {now}, which cannot be: none is made", now = .0.utc())]
    Clock(SystemTime),
    /// Keys and serial numbers are of random octets.
    #[error(transparent)]
    NoEntropy(#[from] EntropyError),
    /// Not a key on P-256, in PKCS#8 and PEM.
    #[error("the private key is not one on P-256, in PKCS#8 and PEM")]
    BadKey,
    /// Not a certificate, or without dates.
    #[error("the certificate cannot be read")]
    BadCertificate,
    /// What cannot be but for want of memory.
    #[error("the signature or its text was not made")]
    Failed,
}
