//! When a certificate is valid (RFC 5280 section 4.1.2.5), which rustls tells nobody.

use super::IssueError;
use crate::der;
use fata_libos::time::SystemTime;

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: SystemTime,
    /// The last.
    pub not_after: SystemTime,
}

impl Validity {
    /// Of the first certificate of a PEM text. It need not be one that we have made.
    pub fn of(chain_pem: &str) -> Result<Self, IssueError> {
        let chain = crate::pem::chain(chain_pem).map_err(|_| IssueError::BadCertificate)?;
        let first = chain.first().ok_or(IssueError::BadCertificate)?;
        read(first).ok_or(IssueError::BadCertificate)
    }

    /// When two thirds of it are over, from where on a certificate should be replaced.
    pub fn two_thirds(&self) -> SystemTime {
        let (from, to) = (self.not_before.since_unix(), self.not_after.since_unix());
        SystemTime::from_unix(from.saturating_add(to.saturating_sub(from) / 3 * 2))
    }
}

fn read(certificate: &[u8]) -> Option<Validity> {
    let mut dates = der::Certificate::read(certificate)?.dates;
    let validity = Validity { not_before: der::time(&mut dates)?, not_after: der::time(&mut dates)? };
    der::is_at_end(&dates).then_some(validity)
}
