//! Records as they are seen before they are opened, and those that rustls has put out.

use crate::Alert;

/// The longest fragment of a record, octets (RFC 8446 section 5.1).
pub(super) const MAX_FRAGMENT: usize = 1 << 14;
/// The first message of a client (RFC 8446 section 4).
const CLIENT_HELLO: u8 = 1;
/// The answer to it.
const SERVER_HELLO: u8 = 2;
/// Where the last of a server's random octets are in a record with its hello, and how they end where it has TLS 1.2 and does as if the
/// client had no more than TLS 1.1 (RFC 8446 section 4.1.3). By chance one of 2^64 ends so.
const MARK: core::ops::Range<usize> = 35..43;
const NO_MORE_THAN_TLS11: &[u8] = b"DOWNGRD\0";
/// TLS 1.2 is 3.3.
const TLS12_MINOR: u8 = 3;
/// Octets of a record and of a client's hello in it before what has a length of its own, and the number of the extension that says
/// versions (RFC 8446 sections 5.1, 4, 4.1.2, 4.2).
const BEFORE_SESSION: usize = 5 + 4 + 2 + 32;
const SUPPORTED_VERSIONS: [u8; 2] = [0, 43];
/// Types of records (RFC 8446 section 5.1).
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
/// The type of what is encrypted in TLS 1.3.
pub(super) const APPLICATION_DATA: u8 = 23;
/// The length that an encrypted alert has, and nothing else that rustls queues: level, description, content type, tag.
const ENCRYPTED_ALERT: u16 = 2 + 1 + 16;

/// Octets that may follow a record's header: more where it is, or may be, encrypted.
pub(super) fn most_after(record: &[u8], is_encrypting: bool, is_tls13: bool) -> usize {
    match record.first() {
        Some(&kind) if !is_encrypting && kind < APPLICATION_DATA => MAX_FRAGMENT,
        _ if is_tls13 => MAX_FRAGMENT + 256,
        _ => MAX_FRAGMENT + 2048,
    }
}

/// Looks at a record's header for what rustls has another alert for than the RFCs. `most` octets may follow it.
pub(super) fn check_header(record: &[u8], most: usize) -> Result<(), (rustls::Error, Alert)> {
    match *record {
        // "If a TLS implementation receives an unexpected record type" (RFC 8446 section 5): other protocols, above all.
        [kind, ..] if !(CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&kind) => {
            Err((rustls::InvalidMessage::InvalidContentType.into(), Alert::UNEXPECTED_MESSAGE))
        }
        // Sections 5.1 and 5.2.
        [_, 3, _, high, low, ..] if usize::from(u16::from_be_bytes([high, low])) > most => {
            Err((rustls::Error::PeerSentOversizedRecord, Alert::RECORD_OVERFLOW))
        }
        _ => Ok(()),
    }
}

/// Looks at a message in plain text for what rustls has another alert for, or none.
///
/// The hello is looked at in the first record alone: what comes after a change of the cipher has the type of a handshake, and is
/// encrypted, so that its octets may be any.
pub(super) fn check_plain(record: &[u8], is_first: bool) -> Result<(), (rustls::Error, Alert)> {
    match *record {
        // A client that says less than TLS 1.2 in its hello has nothing later (RFC 8446 appendix D.2), but where it says its versions
        // elsewhere, and SSL 3 is refused at sight (section 4.2.1, appendix D.5).
        [HANDSHAKE, _, _, _, _, CLIENT_HELLO, _, _, _, 3, minor, ..]
            if is_first && minor < TLS12_MINOR && (minor == 0 || !says_versions(record)) =>
        {
            Err((rustls::PeerIncompatible::Tls12NotOfferedOrEnabled.into(), Alert::PROTOCOL_VERSION))
        }
        // rustls looks at the other mark alone, that of a downgrade to TLS 1.2.
        [HANDSHAKE, _, _, _, _, SERVER_HELLO, ..]
            if is_first && record.get(MARK) == Some(NO_MORE_THAN_TLS11) =>
        {
            let misbehaved = rustls::PeerMisbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported;
            Err((misbehaved.into(), Alert::ILLEGAL_PARAMETER))
        }
        _ => Ok(()),
    }
}

/// Whether a client's hello has the extension `supported_versions`. One in several records, which none is that says so little, has not.
fn says_versions(record: &[u8]) -> bool {
    // The session, suites, compression methods, the extensions; of what is too short there is nothing more.
    let rest = record.get(BEFORE_SESSION..).unwrap_or_default();
    let rest = [1, 2, 1].into_iter().fold(rest, |rest, width| split_sized(rest, width).1);
    let mut extensions = split_sized(rest, 2).0;
    while let Some((kind, after)) = extensions.split_first_chunk() {
        if *kind == SUPPORTED_VERSIONS {
            return true;
        }
        extensions = split_sized(after, 2).1;
    }
    false
}

/// What has its length before it, in so many octets, and what is behind it.
fn split_sized(octets: &[u8], width: usize) -> (&[u8], &[u8]) {
    let split = || {
        let (length, rest) = octets.split_at_checked(width)?;
        let length = length.iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
        Some(rest.split_at(length.min(rest.len())))
    };
    split().unwrap_or_default()
}

/// Whether a record, after rustls has looked at it, is one of early data that it passes over (RFC 8446 section 4.2.10): the cipher has made
/// zeros of what it could not open.
pub(super) fn is_passed_over(record: &[u8]) -> bool {
    matches!(record, [APPLICATION_DATA, _, _, _, _, text @ ..] if text.iter().all(|octet| *octet == 0))
}

/// Whether a record that rustls has put out is an alert.
pub(super) fn is_alert(record: &[u8]) -> bool {
    match *record {
        [ALERT, ..] => true,
        [APPLICATION_DATA, _, _, high, low, ..] => u16::from_be_bytes([high, low]) == ENCRYPTED_ALERT,
        _ => false,
    }
}
