//! First messages of a client that are wrong: what the RFCs say of each, and the alert that it gets.

use super::common::*;
use super::hello::*;
use super::{alert, answer, client_hello, record};
use embedded_io_async::{Read, Write};
use fata_tls::provider::Tickets;
use fata_tls::{Alert, ServerConfig, TlsAcceptor, Versions};
use std::sync::Arc;

/// What comes of a hello.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// The server refuses it.
    Refused(Alert),
    /// Refused after the server's hello, with an alert that is sealed.
    Sealed,
    /// It goes on: what is wrong is to be passed over.
    GoesOn,
}
use Then::{GoesOn, Refused, Sealed};

/// Its name, the section, whose hello, what is done to it, what comes of it.
type Row = (&'static str, &'static str, Versions, fn(&mut Hello), Then);

const V13: Versions = Versions::Tls13;
const V12: Versions = Versions::Tls12;

/// Where rustls does otherwise than a section says: without groups it says that there is none in common, not that the extension is
/// missing; binders of a key that it does not know it does not look at.
const ROWS: &[Row] = &[
    ("untouched", "8446 4.1.2", V13, |_| {}, GoesOn),
    ("untouched", "5246 7.4.1.2", V12, |_| {}, GoesOn),
    ("compression without none", "8446 4.1.2", V13, |h| h.compression = vec![1], Refused(Alert::ILLEGAL_PARAMETER)),
    ("compression without none", "5246 7.4.1.2", V12, |h| h.compression = vec![1], Refused(Alert::ILLEGAL_PARAMETER)),
    ("no compression methods", "8446 4.1.2", V13, |h| h.compression.clear(), Refused(Alert::DECODE_ERROR)),
    ("compression offered beside none", "5246 7.4.1.2", V12, |h| h.compression = vec![1, 0], GoesOn),
    ("an extension twice", "8446 4.2", V13, |h| h.extensions.extend([(0xfe00, vec![]), (0xfe00, vec![])]), Refused(Alert::ILLEGAL_PARAMETER)),
    ("key shares twice", "8446 4.2", V13, |h| { let e = h.get(KEY_SHARE).clone(); h.add(KEY_SHARE, &e) }, Refused(Alert::ILLEGAL_PARAMETER)),
    ("unknown extensions", "8446 4.1.2", V13, |h| h.extensions.insert(0, (0x1a1a, vec![1; 300])), GoesOn),
    ("no groups", "8446 9.2", V13, |h| h.remove(GROUPS), Refused(Alert::HANDSHAKE_FAILURE)),
    ("no signature algorithms", "8446 9.2", V13, |h| h.remove(SCHEMES), Refused(Alert::MISSING_EXTENSION)),
    ("no key shares", "8446 9.2", V13, |h| h.remove(KEY_SHARE), Refused(Alert::MISSING_EXTENSION)),
    ("a share twice", "8446 4.2.8", V13, |h| { let e = h.get(KEY_SHARE)[2..].repeat(2); *h.get(KEY_SHARE) = sized(2, &e) }, Refused(Alert::ILLEGAL_PARAMETER)),
    ("X25519 of 31 octets", "8446 4.2.8.2", V13, |h| h.share(29, &[1; 31]), Refused(Alert::ILLEGAL_PARAMETER)),
    ("X25519 of zeros", "8446 7.4.2", V13, |h| h.share(29, &[0; 32]), Refused(Alert::ILLEGAL_PARAMETER)),
    ("P-256 off the curve", "8446 4.2.8.2", V13, |h| { *h.get(GROUPS) = vec![0, 2, 0, 23]; h.share(23, &[&[4][..], &[7; 64]].concat()) }, Refused(Alert::ILLEGAL_PARAMETER)),
    ("P-256 shortened", "8446 4.2.8.2", V13, |h| { *h.get(GROUPS) = vec![0, 2, 0, 23]; h.share(23, &[&[2][..], &[7; 32]].concat()) }, Refused(Alert::ILLEGAL_PARAMETER)),
    ("a share of no octets", "8446 4.2.8", V13, |h| h.share(29, &[]), Refused(Alert::DECODE_ERROR)),
    ("version 3.5 alone", "8446 4.2.1", V13, |h| *h.get(VERSIONS) = vec![2, 3, 5], Refused(Alert::PROTOCOL_VERSION)),
    ("version 3.2 alone", "8446 4.2.1", V13, |h| *h.get(VERSIONS) = vec![2, 3, 2], Refused(Alert::PROTOCOL_VERSION)),
    ("no versions in their list", "8446 4.2.1", V13, |h| *h.get(VERSIONS) = vec![0], Refused(Alert::DECODE_ERROR)),
    ("half a version", "8446 4.2.1", V13, |h| *h.get(VERSIONS) = vec![1, 3], Refused(Alert::DECODE_ERROR)),
    ("unknown suites alone", "8446 4.1.1", V13, |h| h.suites = vec![0x1a, 0x1a, 0x13, 0x05], Refused(Alert::HANDSHAKE_FAILURE)),
    ("unknown suites alone", "5246 7.4.1.3", V12, |h| h.suites = vec![0, 5, 0, 0x2f], Refused(Alert::HANDSHAKE_FAILURE)),
    ("no suites", "8446 4.1.2", V13, |h| h.suites.clear(), Refused(Alert::DECODE_ERROR)),
    ("unknown groups alone", "8446 4.2.7", V13, |h| { *h.get(GROUPS) = vec![0, 2, 1, 0]; h.share(256, &[1; 32]) }, Refused(Alert::HANDSHAKE_FAILURE)),
    ("unknown signature algorithms alone", "8446 4.2.3", V13, |h| *h.get(SCHEMES) = vec![0, 2, 2, 1], Sealed),
    ("unknown signature algorithms alone", "5246 7.4.1.4.1", V12, |h| *h.get(SCHEMES) = vec![0, 2, 2, 1], Refused(Alert::HANDSHAKE_FAILURE)),
    ("no signature algorithms in their list", "8446 4.2.3", V13, |h| *h.get(SCHEMES) = vec![0, 0], Refused(Alert::DECODE_ERROR)),
    ("a name of no octets", "6066 3", V13, |h| *h.get(SERVER_NAME) = vec![0, 3, 0, 0, 0], Refused(Alert::DECODE_ERROR)),
    ("two names", "6066 3", V13, |h| *h.get(SERVER_NAME) = vec![0, 8, 0, 0, 1, b'a', 0, 0, 1, b'b'], Refused(Alert::DECODE_ERROR)),
    ("names of no kind", "6066 3", V13, |h| *h.get(SERVER_NAME) = vec![0, 0], Refused(Alert::DECODE_ERROR)),
    ("a name that is none", "6066 3", V13, |h| *h.get(SERVER_NAME) = vec![0, 4, 0, 0, 1, b' '], Refused(Alert::ILLEGAL_PARAMETER)),
    ("no name", "6066 3", V13, |h| h.remove(SERVER_NAME), GoesOn),
    ("another name", "6066 3", V13, |h| *h.get(SERVER_NAME) = vec![0, 6, 0, 0, 3, b'a', b'.', b'b'], GoesOn),
    ("protocols of no name", "7301 3.1", V13, |h| h.add(PROTOCOLS, &[0, 1, 0]), Refused(Alert::DECODE_ERROR)),
    ("no protocols in their list", "7301 3.1", V13, |h| h.add(PROTOCOLS, &[0, 0]), Refused(Alert::DECODE_ERROR)),
    ("no protocol in common", "7301 3.2", V13, |h| h.add(PROTOCOLS, b"\0\x03\x02h9"), Sealed),
    ("no protocol in common", "7301 3.2", V12, |h| h.add(PROTOCOLS, b"\0\x03\x02h9"), Refused(Alert::NO_APPLICATION_PROTOCOL)),
    ("a session of 33 octets", "8446 4.1.2", V13, |h| h.session = vec![1; 33], Refused(Alert::DECODE_ERROR)),
    ("octets behind the extensions", "8446 4.1.2", V13, |h| h.tail = vec![0], Refused(Alert::DECODE_ERROR)),
    ("a key without its modes", "8446 4.2.9", V13, |h| { h.remove(MODES); h.psk(&[1; 40], &[&[2; 32]]) }, Refused(Alert::MISSING_EXTENSION)),
    ("a key that is not the last extension", "8446 4.2.11", V13, |h| { h.psk(&[1; 40], &[&[2; 32]]); h.add(0xfe00, &[]) }, Refused(Alert::ILLEGAL_PARAMETER)),
    ("two binders of one key", "8446 4.2.11", V13, |h| h.psk(&[1; 40], &[&[2; 32], &[3; 32]]), Refused(Alert::ILLEGAL_PARAMETER)),
    ("a binder of 31 octets", "8446 4.2.11", V13, |h| h.psk(&[1; 40], &[&[2; 31]]), GoesOn),
    ("a key of no name", "8446 4.2.11", V13, |h| h.psk(&[], &[&[2; 32]]), Refused(Alert::DECODE_ERROR)),
    ("a ticket of another server", "8446 4.2.11", V13, |h| h.psk(&[1; 140], &[&[2; 32]]), GoesOn),
    ("a ticket of another server", "5077 3.1", V12, |h| { h.remove(35); h.add(35, &[1; 140]) }, GoesOn),
    ("early data with a ticket of another server", "8446 4.2.10", V13, |h| { h.add(EARLY_DATA, &[]); h.psk(&[1; 140], &[&[2; 32]]) }, GoesOn),
    ("extended master secret of an octet", "7627 5.1", V12, |h| *h.get(EXTENDED_MASTER_SECRET) = vec![0], Refused(Alert::DECODE_ERROR)),
    ("no extended master secret", "7627 5.3", V12, |h| h.remove(EXTENDED_MASTER_SECRET), GoesOn),
    ("a fallback, to the best there is", "7507 3", V12, |h| h.suites.extend([0x56, 0]), GoesOn),
];

/// TLS 1.2 as a client says it that has no other version: our server has both.
fn server() -> TlsAcceptor {
    let config: ServerConfig = server_config().alpn(&["http/1.1"]).tickets(Arc::new(Tickets::default()));
    TlsAcceptor::new(config).unwrap()
}

#[test]
fn hellos_that_are_wrong_get_the_right_alert() {
    run(async {
        let server = server();
        let mut wrong = Vec::new();
        let mut refused = 0;
        for (name, rfc, versions, change, wanted) in ROWS {
            let mut hello = Hello::of(&client_hello(*versions).await);
            change(&mut hello);
            let (error, said) = answer_of(&server, &record(22, [3, 1], &hello.message())).await;
            let then = match &said[..] {
                [21, 3, 3, 0, 2, 2, description] => Refused(Alert(*description)),
                // A hello, or a wish for another one.
                [22, 3, 3, _, _, 2, ..] if error == fata_tls::Error::Truncated => GoesOn,
                [22, 3, 3, _, _, 2, ..] => Sealed,
                other => panic!("{name}: {error}, {other:?}"),
            };
            refused += u64::from(*wanted != GoesOn);
            if then != *wanted {
                wrong.push(format!("RFC {rfc}: {name}: {then:?} ({error}), not {wanted:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!((server.stats().alerts_sent(), server.stats().handshakes_refused()), (refused, refused));
        connected(&server, &connector(), "server.test").await;
    });
}

/// As `answer`, of a client that then ends.
async fn answer_of(server: &TlsAcceptor, octets: &[u8]) -> (fata_tls::Error, Vec<u8>) {
    let (a, mut b) = duplex(200_000);
    let mut stream = server.accept(a).unwrap();
    b.write_all(octets).await.unwrap();
    b.finish();
    let error = stream.read(&mut [0]).await.unwrap_err();
    drop(stream);
    let (said, _) = read_to_end(&mut b, 1000).await;
    (error, said)
}

/// After a hello that wants another group the client may change nothing but its share (RFC 8446 section 4.1.2).
#[test]
fn second_hellos_that_are_wrong_get_the_right_alert() {
    type Row = (&'static str, fn(&mut Hello), Alert);
    const ROWS: &[Row] = &[
        ("the same once more", |_| {}, Alert::ILLEGAL_PARAMETER),
        ("a share of another group", |h| h.share(24, &[4; 97]), Alert::ILLEGAL_PARAMETER),
        ("a share off the curve", |h| h.share(23, &[4; 65]), Alert::ILLEGAL_PARAMETER),
        ("another protocol", |_| {}, Alert::UNEXPECTED_MESSAGE),
        ("no shares", |h| *h.get(KEY_SHARE) = vec![0, 0], Alert::ILLEGAL_PARAMETER),
    ];
    run(async {
        let server = server();
        for (name, change, wanted) in ROWS {
            let mut hello = Hello::of(&client_hello(V13).await);
            *hello.get(GROUPS) = vec![0, 4, 0, 29, 0, 23];
            *hello.get(KEY_SHARE) = vec![0, 0];
            hello.session = vec![5; 32];
            let first = record(22, [3, 1], &hello.message());
            hello.share(29, &[9; 32]);
            change(&mut hello);
            let mut second = hello.clone();
            if *name == "the same once more" {
                *second.get(KEY_SHARE) = vec![0, 0];
            }
            let second = match *name {
                // There are no keys yet, though the server has said a change of the cipher.
                "another protocol" => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
                _ => record(22, [3, 3], &second.message()),
            };
            let (error, said) = answer(&server, &[first, second].concat()).await;
            // The server's wish, a change of cipher for middleboxes, then the alert, in plain text.
            assert_eq!((said[0], said[5]), (22, 2), "{name}: {error}");
            let plain = alert(*wanted);
            assert!(said.ends_with(&plain), "{name}: {error}, {said:?}");
        }
    });
}
