//! What a server must not answer: our client refuses it, with the alert that the RFCs name.

use super::alert;
use super::common::*;
use fata_libos::time::{Duration, timeout};
use fata_tls::{Alert, Error, TlsAcceptor, TlsConnector, Versions};

const V13: Versions = Versions::Tls13;
const V12: Versions = Versions::Tls12;
const ALL: Versions = Versions::All;

/// Places in a record with a server's hello (RFC 8446 section 4.1.3): header, message, version, random octets, the session's number.
const VERSION: usize = 5 + 4;
const RANDOM: usize = VERSION + 2;
const SESSION: usize = RANDOM + 32;

/// Behind the session's number.
fn suite(record: &[u8]) -> usize {
    SESSION + 1 + usize::from(record[SESSION])
}

/// Where an extension's body begins.
fn extension(record: &[u8], wanted: u16) -> usize {
    let mut at = suite(record) + 2 + 1 + 2;
    loop {
        let kind = u16::from_be_bytes([record[at], record[at + 1]]);
        if kind == wanted {
            return at + 4;
        }
        at += 4 + usize::from(u16::from_be_bytes([record[at + 2], record[at + 3]]));
    }
}

/// Puts an extension at the end of a hello that is alone in its record.
fn add(record: &mut Vec<u8>, body: &[u8]) {
    let end = 5 + 4 + usize::from(u16::from_be_bytes([record[7], record[8]]));
    let at = suite(record) + 3;
    record.splice(end..end, body.iter().copied());
    for (at, width) in [(3, 2), (7, 2), (at, 2)] {
        let len = u16::from_be_bytes([record[at], record[at + 1]]) + body.len() as u16;
        record[at..at + width].copy_from_slice(&len.to_be_bytes());
    }
}

/// Name, section, what the client offers, what the server has, what is done to its flight, the alert that it gets.
type Row = (&'static str, &'static str, Versions, Versions, fn(&mut Vec<u8>), Alert);

/// Where rustls does otherwise than a section says: it does not look at the session's number that comes back in TLS 1.3, which is in what
/// is signed. It says `protocol_version` of a version that nobody offered. The mark of a downgrade to TLS 1.1 is looked at here: a client
/// that offers TLS 1.3 must, one that offers 1.2 alone should, and would do so in a hello of TLS 1.1, which is refused anyhow.
const ROWS: &[Row] = &[
    ("the mark of a downgrade to TLS 1.2", "8446 4.1.3", ALL, V12, |r| r[RANDOM + 24..RANDOM + 32].copy_from_slice(b"DOWNGRD\x01"), Alert::ILLEGAL_PARAMETER),
    ("the mark of a downgrade to TLS 1.1", "8446 4.1.3", ALL, V12, |r| r[RANDOM + 24..RANDOM + 32].copy_from_slice(b"DOWNGRD\x00"), Alert::ILLEGAL_PARAMETER),
    ("the mark of a downgrade to TLS 1.1", "8446 4.1.3", V12, V12, |r| r[RANDOM + 24..RANDOM + 32].copy_from_slice(b"DOWNGRD\x00"), Alert::ILLEGAL_PARAMETER),
    ("version 3.1", "5246 E.1", ALL, V12, |r| r[VERSION + 1] = 1, Alert::PROTOCOL_VERSION),
    ("version 3.1 chosen", "8446 4.2.1", V13, V13, |r| { let at = extension(r, 43); r[at + 1] = 1 }, Alert::PROTOCOL_VERSION),
    ("a suite that was not offered", "8446 4.1.3", V13, V13, |r| { let at = suite(r); r[at + 1] = 5 }, Alert::ILLEGAL_PARAMETER),
    ("a suite that was not offered", "5246 7.4.1.3", V12, V12, |r| { let at = suite(r); r[at..at + 2].copy_from_slice(&[0, 5]) }, Alert::ILLEGAL_PARAMETER),
    ("a suite of the other version", "8446 4.1.3", V13, V13, |r| { let at = suite(r); r[at..at + 2].copy_from_slice(&[0xc0, 0x2b]) }, Alert::ILLEGAL_PARAMETER),
    ("compression", "8446 4.1.3", V13, V13, |r| { let at = suite(r); r[at + 2] = 1 }, Alert::ILLEGAL_PARAMETER),
    ("compression", "5246 7.4.1.3", V12, V12, |r| { let at = suite(r); r[at + 2] = 1 }, Alert::ILLEGAL_PARAMETER),
    ("a share of a group that was not offered", "8446 4.2.8", V13, V13, |r| { let at = extension(r, 51); r[at..at + 2].copy_from_slice(&[1, 0]) }, Alert::ILLEGAL_PARAMETER),
    ("a share of zeros", "8446 7.4.2", V13, V13, |r| { let at = extension(r, 51); r[at + 4..at + 36].fill(0) }, Alert::ILLEGAL_PARAMETER),
    ("an extension that was not offered", "8446 4.2", V13, V13, |r| add(r, &[0xfe, 0, 0, 0]), Alert(110)),
    ("a key that was not offered", "8446 4.2.11", V13, V13, |r| add(r, &[0, 41, 0, 2, 0, 0]), Alert(110)),
    ("an extension twice", "8446 4.2", V13, V13, |r| add(r, &[0, 43, 0, 2, 3, 4]), Alert::ILLEGAL_PARAMETER),
    ("a signature of another key exchange", "5246 7.4.3", V12, V12, |r| { let n = r.len(); let at = n - 5 - 4 - 10; r[at] ^= 1 }, Alert::DECRYPT_ERROR),
    ("a hello of a client", "8446 4", V13, V13, |r| r[5] = 1, Alert::DECODE_ERROR),
    ("data before there are keys", "8446 4", V13, V13, |r| r[0] = 23, Alert::UNEXPECTED_MESSAGE),
    ("a hello that is cut", "8446 4.1.3", V13, V13, |r| { r.truncate(60); r[3..5].copy_from_slice(&55_u16.to_be_bytes()); r[7..9].copy_from_slice(&51_u16.to_be_bytes()) }, Alert::DECODE_ERROR),
    ("another protocol", "8446 5", V13, V13, |r| *r = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Alert::UNEXPECTED_MESSAGE),
];

#[test]
fn servers_that_are_wrong_get_the_right_alert() {
    let mut wrong = Vec::new();
    for (name, rfc, of_client, of_server, change, wanted) in ROWS {
        let (error, said) = fata_libos::testing::run(async {
            let server = TlsAcceptor::new(server_config().versions(*of_server)).unwrap();
            let client = TlsConnector::new(client_config().versions(*of_client)).unwrap();
            let (a, b) = duplex(100_000);
            let (mut a, mut b) = (server.accept(a).unwrap(), client.stream("server.test", b).unwrap());
            let moment = Duration::from_millis(10);
            let _ = timeout(moment, b.handshake()).await;
            let _ = timeout(moment, a.handshake()).await;
            let pipe = b.get_ref().unwrap().input.clone();
            let octets: Vec<u8> = pipe.borrow_mut().octets.drain(..).collect();
            // TLS 1.3 has the hello in a record of its own; of TLS 1.2 the whole flight is in plain text.
            let first = if *of_server == V13 { 5 + usize::from(u16::from_be_bytes([octets[3], octets[4]])) } else { octets.len() };
            let mut flight = octets[..first].to_vec();
            change(&mut flight);
            pipe.borrow_mut().octets.extend(flight);
            pipe.borrow_mut().octets.extend(&octets[first..]);
            let error = timeout(moment, b.handshake()).await;
            let said: Vec<u8> = a.get_ref().unwrap().input.borrow_mut().octets.drain(..).collect();
            (error, said)
        });
        let refused = matches!(error, Ok(Err(Error::Protocol(_) | Error::Certificate(_))));
        if !refused || !said.ends_with(&alert(*wanted)) {
            wrong.push(format!("RFC {rfc}: {name}: {error:?}, {:?}, not {wanted}", said.last_chunk::<7>()));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ROWS.len(), wrong.join("\n"));
}
