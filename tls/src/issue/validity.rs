//! When a certificate is valid (RFC 5280 section 4.1.2.5), which rustls tells nobody.

use super::IssueError;
use fata_libos::time::SystemTime;
use p256::pkcs8::der::{Decode, Header, Length, Reader, SliceReader, Tag, TagNumber, asn1};

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

/// What an element has inside. What is not where X.509 has it is `None`.
fn inside<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> Option<SliceReader<'a>> {
    let header = Header::decode(reader).ok()?;
    if header.tag() != tag {
        return None;
    }
    SliceReader::new(reader.read_slice(header.length()).ok()?).ok()
}

fn read(certificate: &[u8]) -> Option<Validity> {
    let mut outer = SliceReader::new(certificate).ok()?;
    let mut content = inside(&mut inside(&mut outer, Tag::Sequence)?, Tag::Sequence)?;
    // Version, serial number, algorithm, issuer.
    let version = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
    for tag in [version, Tag::Integer, Tag::Sequence, Tag::Sequence] {
        inside(&mut content, tag)?;
    }
    let mut dates = inside(&mut content, Tag::Sequence)?;
    let validity = Validity { not_before: time(&mut dates)?, not_after: time(&mut dates)? };
    (dates.remaining_len() == Length::ZERO).then_some(validity)
}

fn time(reader: &mut SliceReader<'_>) -> Option<SystemTime> {
    let before = reader.clone();
    if let Ok(time) = asn1::UtcTime::decode(reader) {
        return Some(SystemTime::from_unix(time.to_unix_duration()));
    }
    *reader = before;
    let time = asn1::GeneralizedTime::decode(reader).ok()?;
    Some(SystemTime::from_unix(time.to_unix_duration()))
}
