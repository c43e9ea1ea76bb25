//! Certificates that a key has signed for itself (RFC 5280 section 4.1).

use super::der::{Der, GENERALIZED_TIME, INTEGER, SEQUENCE, SET, UTC_TIME, UTF8_STRING, constructed};
use super::{BadName, IssueError, Names, PrivateKey, Validity, extension};
use alloc::string::String;
use core::fmt::Write as _;
use fata_libos::entropy;
use fata_libos::time::{Duration, SystemTime};
use p256::pkcs8::ObjectIdentifier;
use p256::pkcs8::der::pem::{self, LineEnding};
use zeroize::Zeroizing;

/// `commonName`.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// The subject of a certificate whose first name is too long for one.
const NO_COMMON_NAME: &str = "self-signed";
/// Octets of a serial number, of the 20 that there may be.
const SERIAL: usize = 16;
/// How much earlier than it is asked for a certificate begins: some clients' clocks are behind.
pub const BACKDATED: Duration = Duration::from_secs(3600);
/// 9999-12-31T23:59:59Z, which stands for a certificate that does not end (RFC 5280, section 4.1.2.5).
pub const MAX_DATE: SystemTime = SystemTime::from_unix(Duration::from_secs(253_402_300_799));
/// How long the certificate of a challenge lasts, either side of now: some authorities' clocks, and ours.
const CHALLENGE_LASTS: Duration = Duration::from_secs(7 * 86_400);

/// A certificate and its key, as [`ServerConfig::from_pem`](crate::ServerConfig::from_pem) takes them.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub chain_pem: String,
    /// Its private key, zeroed when it is dropped.
    pub key_pem: Zeroizing<String>,
}

/// A new key, and a certificate that it has signed itself, for these names of hosts and addresses.
///
/// It is for servers (`serverAuth`), signs no other certificate, and is valid from an hour before `not_before` to `not_after`. Who
/// trusts it must have been given it: no authority stands behind it.
pub fn self_signed<T: AsRef<str>>(
    names: &[T],
    not_before: SystemTime,
    not_after: SystemTime,
) -> Result<Issued, IssueError> {
    self_signed_with(&PrivateKey::generate()?, names, not_before, not_after)
}

/// As [`self_signed`], with a key that there is.
pub fn self_signed_with<T: AsRef<str>>(
    key: &PrivateKey,
    names: &[T],
    not_before: SystemTime,
    not_after: SystemTime,
) -> Result<Issued, IssueError> {
    let names = Names::parse(names)?;
    make(key, &names, &validity(not_before, not_after)?, extension::server)
}

/// The certificate that answers a `tls-alpn-01` challenge (RFC 8737 section 3), for one name and no wildcard, with the SHA-256 of the
/// challenge's key authorization. It has a key of its own, and is valid a week before and after `now`.
pub fn acme_certificate(name: &str, digest: &[u8; 32], now: SystemTime) -> Result<Issued, IssueError> {
    let names = Names::parse(&[name])?;
    if name.starts_with('*') {
        return Err(IssueError::BadName { name: name.into(), problem: BadName::BadWildcard });
    }
    let now = now.since_unix();
    let at = |moment| SystemTime::from_unix(moment);
    let validity =
        validity(at(now.saturating_sub(CHALLENGE_LASTS)), at(now.saturating_add(CHALLENGE_LASTS)))?;
    make(&PrivateKey::generate()?, &names, &validity, |der| extension::acme_identifier(der, digest))
}

fn validity(from: SystemTime, to: SystemTime) -> Result<Validity, IssueError> {
    if from >= to || to > MAX_DATE {
        let seconds = |time: SystemTime| time.since_unix().as_secs();
        return Err(IssueError::BadValidity { from: seconds(from), to: seconds(to) });
    }
    let not_before = SystemTime::from_unix(from.since_unix().saturating_sub(BACKDATED));
    Ok(Validity { not_before, not_after: to })
}

fn make(
    key: &PrivateKey,
    names: &Names,
    validity: &Validity,
    extensions: impl FnOnce(&mut Der),
) -> Result<Issued, IssueError> {
    let serial = serial()?;
    let content = Der::of(SEQUENCE, |der| {
        // Version 3.
        der.nest(constructed(0), |der| der.put(INTEGER, &[2]));
        der.unsigned(&serial);
        PrivateKey::algorithm(der);
        subject(der, names);
        der.nest(SEQUENCE, |der| {
            time(der, validity.not_before);
            time(der, validity.not_after);
        });
        subject(der, names);
        key.public_info(der);
        der.nest(constructed(3), |der| {
            der.nest(SEQUENCE, |der| {
                extension::names(der, names);
                extensions(der);
            });
        });
    });
    Ok(Issued { chain_pem: text("CERTIFICATE", &key.signed(&content)?)?, key_pem: key.to_pem()? })
}

/// Never zero, and of one length.
fn serial() -> Result<[u8; SERIAL], IssueError> {
    let mut serial = [0; SERIAL];
    entropy::try_fill(&mut serial)?;
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(serial)
}

/// Subject and issuer. An issuer's name is not empty (RFC 5280, section 4.1.2.4).
fn subject(der: &mut Der, names: &Names) {
    let name = names.common_name();
    let name = name.as_deref().unwrap_or(NO_COMMON_NAME);
    der.nest(SEQUENCE, |der| {
        der.nest(SET, |der| {
            der.nest(SEQUENCE, |der| {
                der.oid(&COMMON_NAME);
                der.put(UTF8_STRING, name.as_bytes());
            });
        });
    });
}

/// In two digits of a year until 2049, in four from then on (RFC 5280, section 4.1.2.5).
fn time(der: &mut Der, time: SystemTime) {
    let utc = time.utc();
    let mut text = String::new();
    let tag = match utc.year {
        ..2050 => {
            let _ = write!(text, "{:02}", utc.year % 100);
            UTC_TIME
        }
        _ => {
            let _ = write!(text, "{:04}", utc.year);
            GENERALIZED_TIME
        }
    };
    let [month, day, hour, minute, second] = [utc.month, utc.day, utc.hour, utc.minute, utc.second];
    let _ = write!(text, "{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    der.put(tag, text.as_bytes());
}

/// PEM (RFC 7468).
pub(super) fn text(label: &str, der: &[u8]) -> Result<String, IssueError> {
    pem::encode_string(label, LineEnding::LF, der).map_err(|_| IssueError::Failed)
}
