//! Reads what rustls tells nobody of certificates and OCSP responses: DER (ITU-T X.690) by the elements that are wanted. What is not where
//! its standard has it is `None`.

use fata_libos::time::SystemTime;
use p256::pkcs8::der::{Decode, Header, Length, Reader, SliceReader, Tag, TagNumber, asn1};

/// `[n]` with elements inside.
pub(crate) const fn constructed(n: u8) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(n as u32) }
}

/// What an element has inside.
pub(crate) fn inside<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> Option<SliceReader<'a>> {
    SliceReader::new(content(reader, tag)?).ok()
}

/// The octets of an element's content.
pub(crate) fn content<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> Option<&'a [u8]> {
    let (found, content) = any(reader)?;
    (found == tag).then_some(content)
}

/// The next element, whatever it is.
pub(crate) fn any<'a>(reader: &mut SliceReader<'a>) -> Option<(Tag, &'a [u8])> {
    let header = Header::decode(reader).ok()?;
    Some((header.tag(), reader.read_slice(header.length()).ok()?))
}

/// What is inside the next element, if it has this tag; else it is still the next one.
pub(crate) fn optional<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> Option<SliceReader<'a>> {
    let mut ahead = reader.clone();
    let found = inside(&mut ahead, tag)?;
    *reader = ahead;
    Some(found)
}

/// Whether all has been read.
pub(crate) fn is_at_end(reader: &SliceReader<'_>) -> bool {
    reader.remaining_len() == Length::ZERO
}

/// What a certificate has in it (`TBSCertificate`, RFC 5280 section 4.1), from its serial number on.
pub(crate) fn certificate(der: &[u8]) -> Option<SliceReader<'_>> {
    let mut outer = SliceReader::new(der).ok()?;
    let mut found = inside(&mut inside(&mut outer, Tag::Sequence)?, Tag::Sequence)?;
    // The version.
    inside(&mut found, constructed(0))?;
    Some(found)
}

/// `Time` of RFC 5280 section 4.1.2.5.
pub(crate) fn time(reader: &mut SliceReader<'_>) -> Option<SystemTime> {
    let before = reader.clone();
    if let Ok(time) = asn1::UtcTime::decode(reader) {
        return Some(SystemTime::from_unix(time.to_unix_duration()));
    }
    *reader = before;
    let time = asn1::GeneralizedTime::decode(reader).ok()?;
    Some(SystemTime::from_unix(time.to_unix_duration()))
}
