//! Responses of an authority's OCSP responder, which a server shows with its certificate (RFC 6960; RFC 6066 section 8).
//!
//! They come as files, signed by the authority: clients check that. A server looks at what a client would not forgive: that it is about
//! this certificate, says that it is good, and is of now. One that does not say when there is a newer one is of now for a day.

use crate::der::{self, Certificate};
use alloc::vec::Vec;
use fata_libos::time::{Duration, SystemTime};
use p256::pkcs8::der::{SliceReader, Tag};
use rustls::pki_types::CertificateDer;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The longest one, octets: one with a chain of certificates has some thousand.
const MOST: usize = 64 << 10;
/// `id-pkix-ocsp-basic`, 1.3.6.1.5.5.7.48.1.1.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1];
/// How much slower our clock may be than the authority's.
const SLOWER: Duration = Duration::from_secs(300);
/// How old one may be that does not say when there is a newer one, which there is at any time then (section 4.2.2.1): clients differ in
/// it, and this is the least that is known of any.
const MOST_AGE: Duration = Duration::from_secs(86_400);
/// `CertStatus`: good.
const GOOD: Tag = der::primitive(0);
/// `id-sha1` (RFC 3370 section 2.1), and those of SHA-2 (RFC 5754 section 2).
const SHA1: &[u8] = &[0x2b, 14, 3, 2, 26];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];

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
    /// It says by a digest whose certificate it is about, and that digest is none of SHA-1 and SHA-2.
    #[error("the OCSP response names the certificate's issuer by a digest that is not known")]
    UnknownDigest,
    /// Its authority has a newer one by now, or our clock is wrong.
    #[error("the OCSP response is not of now")]
    NotOfNow,
}

/// A response, and what it says about one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspResponse {
    der: Vec<u8>,
    about: CertId,
    this_update: SystemTime,
    next_update: Option<SystemTime>,
}

/// Which certificate it is about (`CertID`, section 4.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
struct CertId {
    algorithm: Algorithm,
    /// Digests of the issuer's name and key.
    issuer_name: Vec<u8>,
    issuer_key: Vec<u8>,
    serial: Vec<u8>,
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
        let about = CertId {
            algorithm: Algorithm::of(single.algorithm).ok_or(OcspError::UnknownDigest)?,
            issuer_name: single.issuer_name.to_vec(),
            issuer_key: single.issuer_key.to_vec(),
            serial: single.serial.to_vec(),
        };
        let mut der = Vec::new();
        der.try_reserve_exact(response.len()).map_err(|_| OcspError::Malformed)?;
        der.extend_from_slice(response);
        let (this_update, next_update) = (single.this_update, single.next_update);
        Ok(Self { der, about, this_update, next_update })
    }

    /// From when on it is right.
    pub fn this_update(&self) -> SystemTime {
        self.this_update
    }

    /// When its authority has a newer one; `None`: at any time.
    pub fn next_update(&self) -> Option<SystemTime> {
        self.next_update
    }

    /// From when on clients are shown it: somewhat earlier than [`this_update`](Self::this_update), as our clock may be slow.
    pub fn since(&self) -> SystemTime {
        SystemTime::from_unix(self.this_update.since_unix().saturating_sub(SLOWER))
    }

    /// Until when clients are shown it: a day long where it does not say when there is a newer one.
    pub fn until(&self) -> SystemTime {
        let age = || SystemTime::from_unix(self.this_update.since_unix().saturating_add(MOST_AGE));
        self.next_update.unwrap_or_else(age)
    }

    /// Whether clients take it at that time.
    pub fn check_dates(&self, now: SystemTime) -> Result<(), OcspError> {
        match self.since() <= now && now < self.until() {
            true => Ok(()),
            false => Err(OcspError::NotOfNow),
        }
    }

    /// Whether it is about the first certificate of a PEM text: by its number, its issuer's name, and its issuer's key where that one's
    /// certificate is in the text.
    pub fn check_certificate(&self, chain_pem: &str) -> Result<(), OcspError> {
        let chain = crate::pem::chain(chain_pem).map_err(|_| OcspError::OtherCertificate)?;
        self.for_chain(&chain).map(drop)
    }

    /// Its octets, if it is about the first of these.
    pub(crate) fn for_chain(&self, chain: &[CertificateDer<'_>]) -> Result<&[u8], OcspError> {
        match self.about.is_first_of(chain) {
            Some(true) => Ok(&self.der),
            _ => Err(OcspError::OtherCertificate),
        }
    }
}

impl CertId {
    fn is_first_of(&self, chain: &[CertificateDer<'_>]) -> Option<bool> {
        let first = Certificate::read(chain.first()?)?;
        let is = |octets: &[u8], digest: &[u8]| self.algorithm.is_of(octets, digest);
        // One that has signed itself is its own issuer.
        let mut issuers = chain.iter().filter_map(|other| Certificate::read(other));
        let issuer = issuers.find(|other| other.subject == first.issuer);
        Some(
            first.serial == self.serial
                && is(first.issuer, &self.issuer_name)
                && issuer.is_none_or(|issuer| is(issuer.key, &self.issuer_key)),
        )
    }
}

/// What digests are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    /// By its identifier.
    fn of(identifier: &[u8]) -> Option<Self> {
        Some(match identifier {
            SHA1 => Self::Sha1,
            SHA256 => Self::Sha256,
            SHA384 => Self::Sha384,
            SHA512 => Self::Sha512,
            _ => return None,
        })
    }

    /// Whether this is the digest of some octets.
    fn is_of(self, octets: &[u8], digest: &[u8]) -> bool {
        match self {
            Self::Sha1 => *Sha1::digest(octets) == *digest,
            Self::Sha256 => *Sha256::digest(octets) == *digest,
            Self::Sha384 => *Sha384::digest(octets) == *digest,
            Self::Sha512 => *Sha512::digest(octets) == *digest,
        }
    }
}

/// `SingleResponse`.
struct Single<'a> {
    algorithm: &'a [u8],
    issuer_name: &'a [u8],
    issuer_key: &'a [u8],
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
    let algorithm = der::content(&mut der::inside(&mut id, Tag::Sequence)?, Tag::ObjectIdentifier)?;
    let issuer_name = der::content(&mut id, Tag::OctetString)?;
    let issuer_key = der::content(&mut id, Tag::OctetString)?;
    let serial = der::content(&mut id, Tag::Integer)?;
    let (status, _) = der::any(&mut single)?;
    let this_update = der::time(&mut single)?;
    let next_update = match der::optional(&mut single, der::constructed(0)) {
        Some(mut next) => Some(der::time(&mut next)?),
        None => None,
    };
    Some(Single { algorithm, issuer_name, issuer_key, serial, status, this_update, next_update })
}
