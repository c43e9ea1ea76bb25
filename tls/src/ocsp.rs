//! Responses of an authority's OCSP responder, which a server shows with its certificate (RFC 6960; RFC 6066 section 8).
//!
//! They come as files, signed by the authority: clients check that. A server looks at what a client would not forgive: that it is about
//! this certificate, says that it is good, and is of now.

use crate::der;
use alloc::vec::Vec;
use fata_libos::time::{Duration, SystemTime};
use p256::pkcs8::der::{SliceReader, Tag, TagNumber};

/// The longest one, octets: one with a chain of certificates has some thousand.
const MOST: usize = 64 << 10;
/// `id-pkix-ocsp-basic`, 1.3.6.1.5.5.7.48.1.1.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1];
/// How much slower our clock may be than the authority's.
const SLOWER: Duration = Duration::from_secs(300);
/// `CertStatus`: good.
const GOOD: Tag = Tag::ContextSpecific { constructed: false, number: TagNumber(0) };

/// Why a response is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OcspError {
    /// Not what a response is encoded like (RFC 6960 section 4.2.1), or longer than 64 KiB.
    #[error("the OCSP response cannot be read")]
    Malformed,
    /// The responder had none: the number is its `OCSPResponseStatus`.
    #[error("the OCSP response says that there is none: status {0}")]
    Unsuccessful(u8),
    /// The certificate was revoked, or the responder does not know it.
    #[error("the OCSP response does not say that the certificate is good")]
    NotGood,
    /// It is about others.
    #[error("the OCSP response is about another certificate")]
    OtherCertificate,
    /// Its authority has a newer one by now, or our clock is wrong.
    #[error("the OCSP response is not of now")]
    NotOfNow,
}

/// A response, and what it says about one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspResponse {
    der: Vec<u8>,
    serial: Vec<u8>,
    this_update: SystemTime,
    next_update: Option<SystemTime>,
}

impl OcspResponse {
    /// Of a file as `openssl ocsp -respout` writes it. It has to be about one certificate, and to say that this is good.
    pub fn from_der(response: &[u8]) -> Result<Self, OcspError> {
        if response.len() > MOST {
            return Err(OcspError::Malformed);
        }
        let mut basic = basic(response)?;
        let single = single(&mut basic).ok_or(OcspError::Malformed)?;
        if single.status != GOOD {
            return Err(OcspError::NotGood);
        }
        let mut der = Vec::new();
        der.try_reserve_exact(response.len()).map_err(|_| OcspError::Malformed)?;
        der.extend_from_slice(response);
        let (this_update, next_update) = (single.this_update, single.next_update);
        Ok(Self { der, serial: single.serial.to_vec(), this_update, next_update })
    }

    /// From when on it is right.
    pub fn this_update(&self) -> SystemTime {
        self.this_update
    }

    /// When its authority has a newer one; `None`: at any time.
    pub fn next_update(&self) -> Option<SystemTime> {
        self.next_update
    }

    /// Whether clients take it at that time.
    pub fn check_dates(&self, now: SystemTime) -> Result<(), OcspError> {
        let begins = self.this_update.since_unix().saturating_sub(SLOWER);
        match begins <= now.since_unix() && self.next_update.is_none_or(|next| now < next) {
            true => Ok(()),
            false => Err(OcspError::NotOfNow),
        }
    }

    /// Whether it is about the first certificate of a PEM text.
    pub fn check_certificate(&self, chain_pem: &str) -> Result<(), OcspError> {
        let chain = crate::pem::chain(chain_pem).map_err(|_| OcspError::OtherCertificate)?;
        let first = chain.first().ok_or(OcspError::OtherCertificate)?;
        self.for_certificate(first).map(drop)
    }

    /// Its octets, if it is about this one (DER): issuers give a number once.
    pub(crate) fn for_certificate(&self, certificate: &[u8]) -> Result<&[u8], OcspError> {
        let serial =
            der::certificate(certificate).and_then(|mut found| der::content(&mut found, Tag::Integer));
        match serial == Some(&self.serial) {
            true => Ok(&self.der),
            false => Err(OcspError::OtherCertificate),
        }
    }
}

/// `SingleResponse`.
struct Single<'a> {
    serial: &'a [u8],
    status: Tag,
    this_update: SystemTime,
    next_update: Option<SystemTime>,
}

/// `BasicOCSPResponse` of an `OCSPResponse`.
fn basic(response: &[u8]) -> Result<SliceReader<'_>, OcspError> {
    let malformed = OcspError::Malformed;
    let mut outer = SliceReader::new(response).map_err(|_| malformed)?;
    let mut found =
        der::inside(&mut outer, Tag::Sequence).filter(|_| der::is_at_end(&outer)).ok_or(malformed)?;
    match der::content(&mut found, Tag::Enumerated) {
        Some([0]) => {}
        Some(&[status]) => return Err(OcspError::Unsuccessful(status)),
        _ => return Err(malformed),
    }
    let mut inner = || {
        let mut octets = der::inside(&mut der::inside(&mut found, der::constructed(0))?, Tag::Sequence)?;
        let kind = der::content(&mut octets, Tag::ObjectIdentifier)?;
        let mut basic = der::inside(&mut octets, Tag::OctetString).filter(|_| kind == BASIC)?;
        der::inside(&mut basic, Tag::Sequence)
    };
    inner().ok_or(malformed)
}

/// What it says, about one certificate.
fn single<'a>(basic: &mut SliceReader<'a>) -> Option<Single<'a>> {
    let mut data = der::inside(basic, Tag::Sequence)?;
    // The version.
    let _ = der::optional(&mut data, der::constructed(0));
    // The responder, by name or by its key's digest, and when it said so.
    der::any(&mut data)?;
    der::content(&mut data, Tag::GeneralizedTime)?;
    let mut all = der::inside(&mut data, Tag::Sequence)?;
    let mut single = der::inside(&mut all, Tag::Sequence).filter(|_| der::is_at_end(&all))?;
    let mut id = der::inside(&mut single, Tag::Sequence)?;
    // The digest's algorithm, and the digests of its issuer's name and key.
    for tag in [Tag::Sequence, Tag::OctetString, Tag::OctetString] {
        der::content(&mut id, tag)?;
    }
    let serial = der::content(&mut id, Tag::Integer)?;
    let (status, _) = der::any(&mut single)?;
    let this_update = der::time(&mut single)?;
    let next_update = match der::optional(&mut single, der::constructed(0)) {
        Some(mut next) => Some(der::time(&mut next)?),
        None => None,
    };
    Some(Single { serial, status, this_update, next_update })
}
