//! Reads what rustls tells nobody of certificates and OCSP responses: DER (ITU-T X.690) by the elements that are wanted. What is not where
//! its standard has it is `None`.

use fata_libos::time::SystemTime;
use p256::pkcs8::der::{Decode, Header, Length, Reader, SliceReader, Tag, TagNumber, asn1};

/// `[n]` with elements inside.
pub(crate) const fn constructed(n: u8) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(n as u32) }
}

/// `[n]` in place of the tag of something primitive.
pub(crate) const fn primitive(n: u8) -> Tag {
    Tag::ContextSpecific { constructed: false, number: TagNumber(n as u32) }
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

/// An element with its header.
pub(crate) fn whole<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> Option<&'a [u8]> {
    let found = Header::peek(reader).ok()?.tag();
    reader.tlv_bytes().ok().filter(|_| found == tag)
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

/// What a certificate says of itself (`TBSCertificate`, RFC 5280 section 4.1).
pub(crate) struct Certificate<'a> {
    /// The content of its serial number, as it is encoded.
    pub(crate) serial: &'a [u8],
    /// The name of who has signed it, a whole element.
    pub(crate) issuer: &'a [u8],
    /// From when to when it is valid.
    #[cfg_attr(not(feature = "issue"), expect(dead_code, reason = "only who issues asks"))]
    pub(crate) dates: SliceReader<'a>,
    /// Its own name, a whole element.
    pub(crate) subject: &'a [u8],
    /// The octets of its public key, without what the bit string has before them.
    pub(crate) key: &'a [u8],
    /// What is behind the key.
    #[cfg_attr(not(feature = "issue"), expect(dead_code, reason = "only who issues asks"))]
    pub(crate) rest: SliceReader<'a>,
}

impl<'a> Certificate<'a> {
    pub(crate) fn read(der: &'a [u8]) -> Option<Self> {
        let mut outer = SliceReader::new(der).ok()?;
        let mut found = inside(&mut inside(&mut outer, Tag::Sequence)?, Tag::Sequence)?;
        // The version.
        inside(&mut found, constructed(0))?;
        let serial = content(&mut found, Tag::Integer)?;
        // The algorithm of its signature.
        inside(&mut found, Tag::Sequence)?;
        let issuer = whole(&mut found, Tag::Sequence)?;
        let dates = inside(&mut found, Tag::Sequence)?;
        let subject = whole(&mut found, Tag::Sequence)?;
        let mut key = inside(&mut found, Tag::Sequence)?;
        inside(&mut key, Tag::Sequence)?;
        let (_, key) = content(&mut key, Tag::BitString)?.split_first()?;
        Some(Self { serial, issuer, dates, subject, key, rest: found })
    }
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
