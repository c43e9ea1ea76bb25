//! What is wrong before there are keys, so that octets say it all: what the RFCs say of each, and the alert that it gets.
//!
//! Its own file, with `hello.rs` beside it, so that whoever sends them elsewhere (through real sockets, say) can include both with `#[path]`.

use super::hello::For::{Tls12, Tls13};
use super::hello::*;

/// Descriptions of alerts (RFC 8446 section 6).
pub const UNEXPECTED_MESSAGE: u8 = 10;
pub const RECORD_OVERFLOW: u8 = 22;
pub const HANDSHAKE_FAILURE: u8 = 40;
pub const ILLEGAL_PARAMETER: u8 = 47;
pub const DECODE_ERROR: u8 = 50;
pub const PROTOCOL_VERSION: u8 = 70;
pub const MISSING_EXTENSION: u8 = 109;
pub const NO_APPLICATION_PROTOCOL: u8 = 120;

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The server refuses it, with this alert in plain text.
    Refused(u8),
    /// Refused after the server's hello, with an alert that is sealed.
    Sealed,
    /// It goes on: what is wrong is to be passed over.
    GoesOn,
}
use Then::{GoesOn, Refused, Sealed};

/// What a client sends and then ends, and what comes of it.
pub struct Row {
    pub rfc: &'static str,
    pub name: &'static str,
    pub octets: Vec<u8>,
    pub then: Then,
}

impl Row {
    /// What is wrong with what a server says to it, if anything is.
    pub fn judge(&self, said: &[u8]) -> Result<(), String> {
        let then = then(said).ok_or_else(|| format!("RFC {}: {}: {said:?}", self.rfc, self.name))?;
        match then == self.then {
            true => Ok(()),
            false => Err(format!("RFC {}: {}: {then:?}, not {:?}", self.rfc, self.name, self.then)),
        }
    }
}

/// What came of it by what a server has said before it ended.
fn then(said: &[u8]) -> Option<Then> {
    let (mut rest, mut last) = (said, &said[..0]);
    while let [_, _, _, high, low, ..] = rest {
        (last, rest) = rest.split_at_checked(5 + usize::from(u16::from_be_bytes([*high, *low])))?;
    }
    match (said, last) {
        (_, [21, 3, 3, 0, 2, 2, description]) => Some(Refused(*description)),
        // Of all that is sealed an alert alone is so short.
        ([22, 3, 3, _, _, 2, ..], [23, 3, 3, 0, 19, ..]) => Some(Sealed),
        // A hello, or a wish for another one.
        ([22, 3, 3, _, _, 2, ..], _) => Some(GoesOn),
        _ => None,
    }
}

pub fn record(kind: u8, version: [u8; 2], body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, version[0], version[1]];
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

/// All of them.
pub fn rows() -> Vec<Row> {
    let of_hello = HELLOS.iter().map(|(name, rfc, version, change, then)| {
        let mut hello = Hello::new(*version);
        change(&mut hello);
        Row { rfc, name, octets: record(22, [3, 1], &hello.message()), then: *then }
    });
    what_is_no_hello().into_iter().chain(of_hello).chain(second_hellos()).chain(early_data()).collect()
}

/// What is no hello at all.
fn what_is_no_hello() -> Vec<Row> {
    let hello = record(22, [3, 1], &Hello::new(Tls13).message());
    let with = |at: usize, octet: u8| {
        let mut changed = hello.clone();
        changed[at] = octet;
        changed
    };
    // Version and random, then the session's number, then suites.
    let session_at = 5 + 4 + 2 + 32;
    let mut two = record(22, [3, 1], &hello[5..25]);
    two.extend(record(23, [3, 3], b"between"));
    let rows: Vec<(&'static str, &'static str, Vec<u8>, u8)> = vec![
        ("8446 5", "HTTP", b"GET / HTTP/1.1\r\nHost: server.test\r\n\r\n".to_vec(), UNEXPECTED_MESSAGE),
        ("8446 5", "SSH", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), UNEXPECTED_MESSAGE),
        ("8446 5", "zeros", vec![0; 300], UNEXPECTED_MESSAGE),
        ("8446 5", "ones", vec![255; 300], UNEXPECTED_MESSAGE),
        ("8446 D.5", "SSLv2 hello", vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10], UNEXPECTED_MESSAGE),
        ("8446 5", "unknown type of record", with(0, 99), UNEXPECTED_MESSAGE),
        ("8446 D.5", "a hello of SSL 3", with(10, 0), PROTOCOL_VERSION),
        ("5246 E.1", "version 4 of records", with(1, 4), DECODE_ERROR),
        ("8446 5.1", "record of 18432 octets", record(22, [3, 1], &[1; 18_432]), RECORD_OVERFLOW),
        ("8446 5.1", "record of 65535 octets", record(22, [3, 1], &[1; 65_535]), RECORD_OVERFLOW),
        ("8446 5.1", "record of 16385 octets", record(22, [3, 1], &[1; 16_385]), RECORD_OVERFLOW),
        ("8446 5.2", "record of 18433 octets as of what is sealed", record(23, [3, 3], &[1; 18_433]), RECORD_OVERFLOW),
        ("8446 5.1", "empty handshake record", record(22, [3, 1], &[]), DECODE_ERROR),
        ("8446 4", "application data first", record(23, [3, 3], b"data"), UNEXPECTED_MESSAGE),
        ("8446 5", "change of cipher first", record(20, [3, 3], &[1]), UNEXPECTED_MESSAGE),
        ("6520 4", "heartbeat", record(24, [3, 3], &[1, 0, 1, 0]), UNEXPECTED_MESSAGE),
        ("8446 6", "alert of one octet", record(21, [3, 3], &[2]), DECODE_ERROR),
        ("8446 6", "alert of an unknown level", record(21, [3, 3], &[9, 40]), ILLEGAL_PARAMETER),
        ("8446 4", "a server's hello", with(5, 2), DECODE_ERROR),
        ("8446 4", "Finished first", record(22, [3, 3], &[20, 0, 0, 1, 0]), UNEXPECTED_MESSAGE),
        ("8446 4.1.2", "hello of no octets", record(22, [3, 1], &[1, 0, 0, 0]), DECODE_ERROR),
        ("8446 4.1.2", "hello that is too short", record(22, [3, 1], &[1, 0, 0, 2, 3, 3]), DECODE_ERROR),
        ("8446 4", "message of 16 MiB", record(22, [3, 1], &[1, 255, 255, 255, 0, 0]), DECODE_ERROR),
        ("8446 4.1.2", "session number of 255 octets", with(session_at, 255), DECODE_ERROR),
        ("8446 4.1.2", "odd length of suites", with(session_at + 1 + 32 + 1, 3), DECODE_ERROR),
        ("8446 5.1", "something between parts of a message", two, UNEXPECTED_MESSAGE),
        ("8446 5.1", "33 empty records", record(23, [3, 3], &[]).repeat(33), UNEXPECTED_MESSAGE),
    ];
    rows.into_iter().map(|(rfc, name, octets, alert)| Row { rfc, name, octets, then: Refused(alert) }).collect()
}

/// Its name, the section, whose hello, what is done to it, what comes of it.
type HelloRow = (&'static str, &'static str, For, fn(&mut Hello), Then);

/// Where rustls does otherwise than a section says: binders of a key that it does not know it does not look at, which the section
/// allows.
const HELLOS: &[HelloRow] = &[
    ("untouched", "8446 4.1.2", Tls13, |_| {}, GoesOn),
    ("untouched", "5246 7.4.1.2", Tls12, |_| {}, GoesOn),
    ("compression without none", "8446 4.1.2", Tls13, |h| h.compression = vec![1], Refused(ILLEGAL_PARAMETER)),
    ("compression without none", "5246 7.4.1.2", Tls12, |h| h.compression = vec![1], Refused(ILLEGAL_PARAMETER)),
    ("no compression methods", "8446 4.1.2", Tls13, |h| h.compression.clear(), Refused(DECODE_ERROR)),
    ("compression offered beside none", "5246 7.4.1.2", Tls12, |h| h.compression = vec![1, 0], GoesOn),
    ("an extension twice", "8446 4.2", Tls13, |h| h.extensions.extend([(0xfe00, vec![]), (0xfe00, vec![])]), Refused(ILLEGAL_PARAMETER)),
    ("key shares twice", "8446 4.2", Tls13, |h| { let e = h.get(KEY_SHARE).clone(); h.add(KEY_SHARE, &e) }, Refused(ILLEGAL_PARAMETER)),
    ("unknown extensions", "8446 4.1.2", Tls13, |h| h.extensions.insert(0, (0x1a1a, vec![1; 300])), GoesOn),
    ("no groups", "8446 9.2", Tls13, |h| h.remove(GROUPS), Refused(MISSING_EXTENSION)),
    ("no signature algorithms", "8446 9.2", Tls13, |h| h.remove(SCHEMES), Refused(MISSING_EXTENSION)),
    ("no key shares", "8446 9.2", Tls13, |h| h.remove(KEY_SHARE), Refused(MISSING_EXTENSION)),
    ("a share twice", "8446 4.2.8", Tls13, |h| { let e = h.get(KEY_SHARE)[2..].repeat(2); *h.get(KEY_SHARE) = sized(2, &e) }, Refused(ILLEGAL_PARAMETER)),
    ("X25519 of 31 octets", "8446 4.2.8.2", Tls13, |h| h.share(29, &[1; 31]), Refused(ILLEGAL_PARAMETER)),
    ("X25519 of zeros", "8446 7.4.2", Tls13, |h| h.share(29, &[0; 32]), Refused(ILLEGAL_PARAMETER)),
    ("P-256 off the curve", "8446 4.2.8.2", Tls13, |h| { *h.get(GROUPS) = vec![0, 2, 0, 23]; h.share(23, &[&[4][..], &[7; 64]].concat()) }, Refused(ILLEGAL_PARAMETER)),
    ("P-256 shortened", "8446 4.2.8.2", Tls13, |h| { *h.get(GROUPS) = vec![0, 2, 0, 23]; h.share(23, &[&[2][..], &[7; 32]].concat()) }, Refused(ILLEGAL_PARAMETER)),
    ("a share of no octets", "8446 4.2.8", Tls13, |h| h.share(29, &[]), Refused(DECODE_ERROR)),
    ("a hello of TLS 1.1", "8446 D.2", Tls12, |h| h.version = [3, 2], Refused(PROTOCOL_VERSION)),
    ("a hello of TLS 1.1 without signature algorithms", "8446 D.2", Tls12, |h| { h.version = [3, 2]; h.remove(SCHEMES) }, Refused(PROTOCOL_VERSION)),
    ("a hello of TLS 1.0 without extensions", "8446 D.2", Tls12, |h| { h.version = [3, 1]; h.extensions.clear() }, Refused(PROTOCOL_VERSION)),
    ("TLS 1.3 in a hello that seems to be of TLS 1.1", "8446 4.2.1", Tls13, |h| h.version = [3, 2], GoesOn),
    ("TLS 1.3 in a hello that seems to be of TLS 1.0", "8446 4.2.1", Tls13, |h| h.version = [3, 1], GoesOn),
    ("TLS 1.2 in a hello that seems to be of TLS 1.1", "8446 4.2.1", Tls12, |h| { h.version = [3, 2]; h.add(VERSIONS, &[2, 3, 3]) }, GoesOn),
    ("TLS 1.3 in a hello that seems to be of SSL 3", "8446 D.5", Tls13, |h| h.version = [3, 0], Refused(PROTOCOL_VERSION)),
    ("version 3.5 alone", "8446 4.2.1", Tls13, |h| *h.get(VERSIONS) = vec![2, 3, 5], Refused(PROTOCOL_VERSION)),
    ("version 3.2 alone", "8446 4.2.1", Tls13, |h| *h.get(VERSIONS) = vec![2, 3, 2], Refused(PROTOCOL_VERSION)),
    ("no versions in their list", "8446 4.2.1", Tls13, |h| *h.get(VERSIONS) = vec![0], Refused(DECODE_ERROR)),
    ("half a version", "8446 4.2.1", Tls13, |h| *h.get(VERSIONS) = vec![1, 3], Refused(DECODE_ERROR)),
    ("unknown suites alone", "8446 4.1.1", Tls13, |h| h.suites = vec![0x1a, 0x1a, 0x13, 0x05], Refused(HANDSHAKE_FAILURE)),
    ("unknown suites alone", "5246 7.4.1.3", Tls12, |h| h.suites = vec![0, 5, 0, 0x2f], Refused(HANDSHAKE_FAILURE)),
    ("no suites", "8446 4.1.2", Tls13, |h| h.suites.clear(), Refused(DECODE_ERROR)),
    ("unknown groups alone", "8446 4.2.7", Tls13, |h| { *h.get(GROUPS) = vec![0, 2, 1, 0]; h.share(256, &[1; 32]) }, Refused(HANDSHAKE_FAILURE)),
    ("unknown signature algorithms alone", "8446 4.2.3", Tls13, |h| *h.get(SCHEMES) = vec![0, 2, 2, 1], Sealed),
    ("unknown signature algorithms alone", "5246 7.4.1.4.1", Tls12, |h| *h.get(SCHEMES) = vec![0, 2, 2, 1], Refused(HANDSHAKE_FAILURE)),
    ("no signature algorithms in their list", "8446 4.2.3", Tls13, |h| *h.get(SCHEMES) = vec![0, 0], Refused(DECODE_ERROR)),
    ("a name of no octets", "6066 3", Tls13, |h| *h.get(SERVER_NAME) = vec![0, 3, 0, 0, 0], Refused(DECODE_ERROR)),
    ("two names", "6066 3", Tls13, |h| *h.get(SERVER_NAME) = vec![0, 8, 0, 0, 1, b'a', 0, 0, 1, b'b'], Refused(DECODE_ERROR)),
    ("names of no kind", "6066 3", Tls13, |h| *h.get(SERVER_NAME) = vec![0, 0], Refused(DECODE_ERROR)),
    ("a name that is none", "6066 3", Tls13, |h| *h.get(SERVER_NAME) = vec![0, 4, 0, 0, 1, b' '], Refused(ILLEGAL_PARAMETER)),
    ("no name", "6066 3", Tls13, |h| h.remove(SERVER_NAME), GoesOn),
    ("another name", "6066 3", Tls13, |h| *h.get(SERVER_NAME) = vec![0, 6, 0, 0, 3, b'a', b'.', b'b'], GoesOn),
    ("protocols of no name", "7301 3.1", Tls13, |h| h.add(PROTOCOLS, &[0, 1, 0]), Refused(DECODE_ERROR)),
    ("no protocols in their list", "7301 3.1", Tls13, |h| h.add(PROTOCOLS, &[0, 0]), Refused(DECODE_ERROR)),
    ("no protocol in common", "7301 3.2", Tls13, |h| h.add(PROTOCOLS, b"\0\x03\x02h9"), Sealed),
    ("no protocol in common", "7301 3.2", Tls12, |h| h.add(PROTOCOLS, b"\0\x03\x02h9"), Refused(NO_APPLICATION_PROTOCOL)),
    ("a session of 33 octets", "8446 4.1.2", Tls13, |h| h.session = vec![1; 33], Refused(DECODE_ERROR)),
    ("octets behind the extensions", "8446 4.1.2", Tls13, |h| h.tail = vec![0], Refused(DECODE_ERROR)),
    ("a key without its modes", "8446 4.2.9", Tls13, |h| { h.remove(MODES); h.psk(&[1; 40], &[&[2; 32]]) }, Refused(MISSING_EXTENSION)),
    ("a key that is not the last extension", "8446 4.2.11", Tls13, |h| { h.psk(&[1; 40], &[&[2; 32]]); h.add(0xfe00, &[]) }, Refused(ILLEGAL_PARAMETER)),
    ("two binders of one key", "8446 4.2.11", Tls13, |h| h.psk(&[1; 40], &[&[2; 32], &[3; 32]]), Refused(ILLEGAL_PARAMETER)),
    ("a binder of 31 octets", "8446 4.2.11", Tls13, |h| h.psk(&[1; 40], &[&[2; 31]]), GoesOn),
    ("a key of no name", "8446 4.2.11", Tls13, |h| h.psk(&[], &[&[2; 32]]), Refused(DECODE_ERROR)),
    ("a ticket of another server", "8446 4.2.11", Tls13, |h| h.psk(&[1; 140], &[&[2; 32]]), GoesOn),
    ("a ticket of another server", "5077 3.1", Tls12, |h| { h.remove(TICKET); h.add(TICKET, &[1; 140]) }, GoesOn),
    ("early data with a ticket of another server", "8446 4.2.10", Tls13, |h| { h.add(EARLY_DATA, &[]); h.psk(&[1; 140], &[&[2; 32]]) }, GoesOn),
    ("extended master secret of an octet", "7627 5.1", Tls12, |h| *h.get(EXTENDED_MASTER_SECRET) = vec![0], Refused(DECODE_ERROR)),
    ("no extended master secret", "7627 5.3", Tls12, |h| h.remove(EXTENDED_MASTER_SECRET), GoesOn),
    ("a fallback, to the best there is", "7507 3", Tls12, |h| h.suites.extend([0x56, 0]), GoesOn),
];

/// A hello that has no share of a group that the server has: it wants another one, in which nothing but the share may be changed
/// (RFC 8446 section 4.1.2).
fn without_share() -> Hello {
    let mut hello = Hello::new(Tls13);
    *hello.get(KEY_SHARE) = vec![0, 0];
    hello
}

fn second_hellos() -> Vec<Row> {
    type Second = (&'static str, fn(&mut Hello), Then);
    const ROWS: &[Second] = &[
        ("as it should be", |_| {}, GoesOn),
        ("the same once more", |h| *h = without_share(), Refused(ILLEGAL_PARAMETER)),
        ("a share of another group", |h| h.share(24, &[4; 97]), Refused(ILLEGAL_PARAMETER)),
        ("a share off the curve", |h| h.share(23, &[4; 65]), Refused(ILLEGAL_PARAMETER)),
        ("no shares", |h| *h.get(KEY_SHARE) = vec![0, 0], Refused(ILLEGAL_PARAMETER)),
        ("early data", |h| h.add(EARLY_DATA, &[]), Refused(ILLEGAL_PARAMETER)),
    ];
    let first = record(22, [3, 1], &without_share().message());
    let row = |name, second: &[u8], then| {
        let octets = [&first, second].concat();
        Row { rfc: "8446 4.1.2", name, octets, then }
    };
    let mut rows = Vec::from_iter(ROWS.iter().map(|(name, change, then)| {
        let mut hello = Hello::new(Tls13);
        change(&mut hello);
        row(name, &record(22, [3, 3], &hello.message()), *then)
    }));
    // There are no keys yet, though the server has said a change of the cipher.
    rows.push(row("another protocol", b"GET / HTTP/1.1\r\n\r\n", Refused(UNEXPECTED_MESSAGE)));
    rows
}

/// Octets of early data, as they are in records, that a server passes over which takes none: rustls' number.
const PASSED_OVER: usize = 16_384;

/// Early data that the server has not allowed (RFC 8446 section 4.2.10): it cannot open it, and passes over so much of it.
fn early_data() -> Vec<Row> {
    let sealed = |len: usize| record(23, [3, 3], &vec![1; len]);
    let hello = |change: fn(&mut Hello)| {
        let mut hello = Hello::new(Tls13);
        change(&mut hello);
        record(22, [3, 1], &hello.message())
    };
    let announced: fn(&mut Hello) = |h| {
        h.add(EARLY_DATA, &[]);
        h.psk(&[1; 140], &[&[2; 32]]);
    };
    let retried: fn(&mut Hello) = |h| {
        *h = without_share();
        h.add(EARLY_DATA, &[]);
        h.psk(&[1; 140], &[&[2; 32]]);
    };
    let once_more: fn(&mut Hello) = |h| h.psk(&[1; 140], &[&[2; 32]]);
    let (whole, rest) = (sealed(PASSED_OVER), sealed(17));
    let rows: Vec<(&'static str, Vec<u8>, Then)> = vec![
        ("early data", [hello(announced), sealed(100).repeat(50)].concat(), GoesOn),
        ("as much early data as is passed over", [hello(announced), whole.clone()].concat(), GoesOn),
        ("more early data than is passed over", [hello(announced), whole.clone(), rest.clone()].concat(), Sealed),
        ("early data that was not announced", [hello(|_| {}), sealed(100)].concat(), Sealed),
        ("early data, and another hello is wanted", [hello(retried), sealed(100).repeat(50), hello(once_more)].concat(), GoesOn),
        ("as much early data before the second hello", [hello(retried), whole.clone(), hello(once_more)].concat(), GoesOn),
        ("more early data before the second hello", [hello(retried), whole, rest, hello(once_more)].concat(), Refused(UNEXPECTED_MESSAGE)),
        ("early data before the second hello that was not announced", [hello(|h| *h = without_share()), sealed(100)].concat(), Refused(UNEXPECTED_MESSAGE)),
    ];
    rows.into_iter().map(|(name, octets, then)| Row { rfc: "8446 4.2.10", name, octets, then }).collect()
}
