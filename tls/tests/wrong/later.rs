//! What a client says wrongly after its hello: in its second flight, and when the handshake is done.

use super::common::*;
use super::{record, sealed};
use embedded_io_async::{Read, Write};
use fata_libos::time::{Duration, timeout};
use fata_tls::{Alert, ClientCertificates, ClientConfig, Error, TlsAcceptor, TlsConnector, TlsStream, Versions};
use rustls::ContentType;
use std::sync::Arc;

const V13: Versions = Versions::Tls13;
const V12: Versions = Versions::Tls12;

/// What the client hears.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// This alert, and the connection ends.
    Refused(Alert),
    /// No alert: rustls has none, and the keys are its own. The connection ends.
    Ends,
    /// It goes on: what is wrong is to be passed over.
    GoesOn,
}
use Then::{Ends, GoesOn, Refused};

/// Whom a row's server asks for certificates.
type Asks = Option<ClientCertificates>;
const NOBODY: Asks = None;
const ALL: Asks = Some(ClientCertificates::Required);

fn ends(versions: Versions, asks: Asks) -> (TlsAcceptor, TlsConnector) {
    let mut server = server_config().versions(versions);
    if let Some(which) = asks {
        server = server.client_certificates(which, ROOT).unwrap();
    }
    let client = ClientConfig::with_provider(Arc::new(sealed::provider()), ROOT).unwrap();
    let client = if asks.is_some() { client.certificate(CLIENT, CLIENT_KEY).unwrap() } else { client };
    (TlsAcceptor::new(server).unwrap(), TlsConnector::new(client).unwrap())
}

/// What becomes of a connection that the client has spoiled.
async fn outcome(server: &TlsAcceptor, mut a: TlsStream<End>, mut b: TlsStream<End>) -> (Then, Result<usize, Error>) {
    sealed::off();
    let mut buf = [0; 100];
    // Data that is passed over ends with silence.
    let heard = match timeout(Duration::from_secs(1), a.read(&mut buf)).await {
        Ok(Ok(n)) => Ok(n),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(0),
    };
    let lives = heard.is_ok() && a.write_all(b"!").await.is_ok();
    let sent = server.stats().alerts_sent();
    drop(a);
    let then = match b.read(&mut buf).await {
        Err(Error::AlertReceived(alert)) => Refused(alert),
        Ok(1) if lives => GoesOn,
        _ if sent == 0 => Ends,
        other => panic!("{other:?} after {heard:?}"),
    };
    (then, heard)
}

fn check(table: &str, rows: usize, wrong: &[String]) {
    assert!(wrong.is_empty(), "{} of {rows} {table}:\n{}", wrong.len(), wrong.join("\n"));
}

/// The records of a flight.
fn records(octets: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut all) = (octets, Vec::new());
    while !rest.is_empty() {
        let (one, after) = rest.split_at(5 + usize::from(u16::from_be_bytes([rest[3], rest[4]])));
        all.push(one.to_vec());
        rest = after;
    }
    all
}

/// Name, section, version, whom the server asks, what is done to the records of the client's second flight, what comes of it.
type FlightRow = (&'static str, &'static str, Versions, Asks, fn(&mut Vec<Vec<u8>>), Then);

const CCS: [u8; 6] = [20, 3, 3, 0, 1, 1];

fn key_exchange(point: &[u8]) -> Vec<u8> {
    let body = [&[point.len() as u8][..], point].concat();
    record(22, [3, 3], &[&[16, 0, 0, body.len() as u8][..], &body].concat())
}

/// In TLS 1.2: the key exchange, the change of the cipher, Finished. In TLS 1.3: the change of the cipher, Finished.
const FLIGHTS: &[FlightRow] = &[
    ("untouched", "5246 7.3", V12, NOBODY, |_| {}, GoesOn),
    ("untouched", "8446 2", V13, NOBODY, |_| {}, GoesOn),
    ("untouched, with a certificate", "5246 7.3", V12, ALL, |_| {}, GoesOn),
    ("the cipher changes before the keys are exchanged", "5246 7.1", V12, NOBODY, |r| r.swap(0, 1), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("no key exchange", "5246 7.4.7", V12, NOBODY, |r| drop(r.remove(0)), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("the cipher does not change", "5246 7.1", V12, NOBODY, |r| { r[2] = record(22, [3, 3], &[&[20, 0, 0, 12][..], &[1; 12]].concat()); drop(r.remove(1)) }, Refused(Alert::UNEXPECTED_MESSAGE)),
    ("the cipher changes twice", "5246 7.1", V12, NOBODY, |r| r.insert(1, CCS.to_vec()), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a change of the cipher that says 2", "5246 7.1", V12, NOBODY, |r| r[1][5] = 2, Refused(Alert::DECODE_ERROR)),
    ("a change of the cipher of two octets", "5246 7.1", V12, NOBODY, |r| r[1] = record(20, [3, 3], &[1, 1]), Refused(Alert::DECODE_ERROR)),
    ("a key of no octets", "8422 5.7", V12, NOBODY, |r| r[0] = key_exchange(&[]), Refused(Alert::DECODE_ERROR)),
    ("a key exchange without a key", "8422 5.7", V12, NOBODY, |r| r[0] = record(22, [3, 3], &[16, 0, 0, 0]), Refused(Alert::DECODE_ERROR)),
    ("X25519 of zeros", "8422 5.11", V12, NOBODY, |r| r[0] = key_exchange(&[0; 32]), Refused(Alert::ILLEGAL_PARAMETER)),
    ("X25519 of 33 octets", "8422 5.11", V12, NOBODY, |r| r[0] = key_exchange(&[1; 33]), Refused(Alert::ILLEGAL_PARAMETER)),
    ("another key", "5246 7.4.9", V12, NOBODY, |r| r[0] = key_exchange(&[9; 32]), Refused(Alert::BAD_RECORD_MAC)),
    ("a hello instead of a key exchange", "5246 7.3", V12, NOBODY, |r| r[0][5] = 1, Refused(Alert::DECODE_ERROR)),
    ("Finished that looks like a hello of TLS 1.1", "5246 6.2.3", V12, NOBODY, |r| r[2][5..11].copy_from_slice(&[1, 0, 0, 40, 3, 2]), Refused(Alert::BAD_RECORD_MAC)),
    ("Finished that is cut", "5246 6.2.3", V12, NOBODY, |r| r[2] = record(22, [3, 3], &[1; 23]), Refused(Alert::BAD_RECORD_MAC)),
    ("data in plain text before Finished", "5246 7.3", V12, NOBODY, |r| r.insert(1, record(23, [3, 3], b"data")), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a request for a hello", "5246 7.4.1.1", V12, NOBODY, |r| r.insert(0, record(22, [3, 3], &[0; 4])), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a signature of another key exchange", "5246 7.4.8", V12, ALL, |r| *r[2].last_mut().unwrap() ^= 1, Refused(Alert::DECRYPT_ERROR)),
    ("no signature beside a certificate", "5246 7.4.8", V12, ALL, |r| drop(r.remove(2)), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a signature by an algorithm that was not offered", "5246 7.4.8", V12, ALL, |r| r[2][9..11].copy_from_slice(&[2, 3]), Refused(Alert::ILLEGAL_PARAMETER)),
    ("a certificate that is none", "5246 7.4.6", V12, ALL, |r| r[0][20] ^= 0xff, Refused(Alert::BAD_CERTIFICATE)),
    ("chain of a length that is wrong", "5246 7.4.2", V12, ALL, |r| r[0][11] ^= 1, Refused(Alert::DECODE_ERROR)),
    ("no certificate at all", "5246 7.4.6", V12, ALL, |r| { r.remove(2); r[0] = record(22, [3, 3], &[11, 0, 0, 3, 0, 0, 0]) }, Refused(Alert::HANDSHAKE_FAILURE)),
    ("the cipher does not change", "8446 D.4", V13, NOBODY, |r| drop(r.remove(0)), GoesOn),
    ("the cipher changes twice", "8446 D.4", V13, NOBODY, |r| r.insert(0, CCS.to_vec()), GoesOn),
    ("a change of the cipher that says 2", "8446 5", V13, NOBODY, |r| r[0][5] = 2, Refused(Alert::UNEXPECTED_MESSAGE)),
    ("the cipher changes forty times", "8446 D.4", V13, NOBODY, |r| (0..40).for_each(|_| r.insert(0, CCS.to_vec())), Ends),
    ("Finished in plain text", "8446 5", V13, NOBODY, |r| r[1] = record(22, [3, 3], &[&[20, 0, 0, 32][..], &[1; 32]].concat()), Refused(Alert::BAD_RECORD_MAC)),
    ("a record without a tag", "8446 5.2", V13, NOBODY, |r| r[1] = record(23, [3, 3], &[1; 16]), Refused(Alert::BAD_RECORD_MAC)),
    ("a record of no octets", "8446 5.2", V13, NOBODY, |r| r[1] = record(23, [3, 3], &[]), Refused(Alert::BAD_RECORD_MAC)),
    ("a record that is too long", "8446 5.2", V13, NOBODY, |r| r[1] = record(23, [3, 3], &[1; 18_433]), Refused(Alert::DECODE_ERROR)),
    ("another protocol", "8446 5", V13, NOBODY, |r| r[1] = b"GET / HTTP/1.1\r\n\r\n".to_vec(), Refused(Alert::DECODE_ERROR)),
];

#[test]
fn flights_that_are_wrong_get_the_right_alert() {
    let mut wrong = Vec::new();
    for (name, rfc, versions, asks, change, wanted) in FLIGHTS {
        let (then, heard) = run_in(async {
            let (server, client) = ends(*versions, *asks);
            let (a, b) = duplex(100_000);
            let (mut a, mut b) = (server.accept(a).unwrap(), client.stream("server.test", b).unwrap());
            let moment = Duration::from_millis(10);
            let _ = timeout(moment, b.handshake()).await;
            let _ = timeout(moment, a.handshake()).await;
            let _ = timeout(moment, b.handshake()).await;
            {
                let pipe = a.get_ref().unwrap().input.clone();
                let octets: Vec<u8> = pipe.borrow_mut().octets.drain(..).collect();
                let mut flight = records(&octets);
                change(&mut flight);
                pipe.borrow_mut().octets.extend(flight.concat());
            }
            outcome(&server, a, b).await
        });
        if then != *wanted {
            wrong.push(format!("RFC {rfc}: {versions:?}, {name}: {then:?} ({heard:?}), not {wanted:?}"));
        }
    }
    check("flights", FLIGHTS.len(), &wrong);
}

fn run_in<T: 'static>(f: impl Future<Output = T>) -> T {
    fata_libos::testing::run(f)
}

/// Name, section, version, whom the server asks, what the client's cipher does to texts, what comes of it.
type TextRow = (&'static str, &'static str, Versions, Asks, sealed::Change, Then);

fn handshake(kind: u8, body: &[u8]) -> (ContentType, Vec<u8>) {
    let len = (body.len() as u32).to_be_bytes();
    (ContentType::Handshake, [&[kind][..], &len[1..], body].concat())
}

/// Messages of a flight in one text: their beginnings.
fn starts(text: &[u8]) -> Vec<usize> {
    let (mut at, mut all) = (0, Vec::new());
    while at < text.len() {
        all.push(at);
        at += 4 + u32::from_be_bytes([0, text[at + 1], text[at + 2], text[at + 3]]) as usize;
    }
    all
}

/// Texts of the handshake.
const IN_HANDSHAKE: &[TextRow] = &[
    ("untouched", "8446 2", V13, ALL, |_, _| {}, GoesOn),
    ("Finished of another handshake", "8446 4.4.4", V13, NOBODY, |_, t| t.1[4] ^= 1, Refused(Alert::DECRYPT_ERROR)),
    ("Finished of another handshake", "5246 7.4.9", V12, NOBODY, |_, t| t.1[4] ^= 1, Refused(Alert::DECRYPT_ERROR)),
    ("Finished of 31 octets", "8446 4.4.4", V13, NOBODY, |_, t| *t = handshake(20, &[1; 31]), Refused(Alert::DECRYPT_ERROR)),
    ("Finished of 11 octets", "5246 7.4.9", V12, NOBODY, |_, t| *t = handshake(20, &[1; 11]), Refused(Alert::DECRYPT_ERROR)),
    ("Finished of no octets", "8446 4.4.4", V13, NOBODY, |_, t| *t = handshake(20, &[]), Refused(Alert::DECRYPT_ERROR)),
    ("data instead of Finished", "8446 4.4.4", V13, NOBODY, |_, t| *t = (ContentType::ApplicationData, b"data".to_vec()), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("data instead of Finished", "5246 7.3", V12, NOBODY, |_, t| *t = (ContentType::ApplicationData, b"data".to_vec()), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a certificate that nobody asked for", "8446 4.4.2", V13, NOBODY, |_, t| *t = handshake(11, &[0, 0, 0, 0]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("the end of early data that there was none of", "8446 4.5", V13, NOBODY, |_, t| *t = handshake(5, &[]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("an unknown message", "8446 4", V13, NOBODY, |_, t| *t = handshake(99, &[1]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a new key before Finished", "8446 4.6.3", V13, NOBODY, |_, t| *t = handshake(24, &[0]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("no certificate at all", "8446 4.4.2.4", V13, ALL, |_, t| { let s = starts(&t.1); let finished = t.1[s[2]..].to_vec(); *t = handshake(11, &[0, 0, 0, 0]); t.1.extend(finished) }, Refused(Alert::CERTIFICATE_REQUIRED)),
    ("no signature beside a certificate", "8446 4.4.3", V13, ALL, |_, t| { let s = starts(&t.1); drop(t.1.drain(s[1]..s[2])) }, Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a signature of another handshake", "8446 4.4.3", V13, ALL, |_, t| { let s = starts(&t.1); t.1[s[2] - 1] ^= 1 }, Refused(Alert::DECRYPT_ERROR)),
    ("a signature by an algorithm that was not offered", "8446 4.4.3", V13, ALL, |_, t| { let s = starts(&t.1); t.1[s[1] + 4..s[1] + 6].copy_from_slice(&[2, 3]) }, Refused(Alert::ILLEGAL_PARAMETER)),
    ("a signature as of TLS 1.2", "8446 4.4.3", V13, ALL, |_, t| { let s = starts(&t.1); t.1[s[1] + 4..s[1] + 6].copy_from_slice(&[4, 1]) }, Refused(Alert::ILLEGAL_PARAMETER)),
    ("a context that the request had not", "8446 4.4.2", V13, ALL, |_, t| t.1[4] = 1, Refused(Alert::DECODE_ERROR)),
    ("a certificate that is none", "8446 4.4.2.4", V13, ALL, |_, t| t.1[14] ^= 0xff, Refused(Alert::BAD_CERTIFICATE)),
];

/// Where rustls does otherwise than a section says, and has the keys that an alert needs: it passes over handshakes of no octets, says
/// nothing of a text without a type or of a message that is too long, and `decode_error` of a sealed record that is too long or of an unknown type.
/// Texts when the handshake is done: what 100 octets of data become.
const AFTER: &[TextRow] = &[
    ("untouched", "8446 5.1", V13, NOBODY, |_, _| {}, GoesOn),
    ("data of no octets", "8446 5.4", V13, NOBODY, |_, t| t.1.clear(), GoesOn),
    ("data of no octets", "5246 6.2.1", V12, NOBODY, |_, t| t.1.clear(), GoesOn),
    ("no type", "8446 5.4", V13, NOBODY, |_, t| *t = (ContentType::Unknown(0), vec![0; 50]), Ends),
    ("an unknown type", "8446 5", V13, NOBODY, |_, t| t.0 = ContentType::Unknown(99), Refused(Alert::DECODE_ERROR)),
    ("a change of the cipher", "8446 5", V13, NOBODY, |_, t| *t = (ContentType::ChangeCipherSpec, vec![1]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a change of the cipher", "5246 7.1", V12, NOBODY, |_, t| *t = (ContentType::ChangeCipherSpec, vec![1]), Refused(Alert::DECODE_ERROR)),
    ("a handshake of no octets", "8446 5.1", V13, NOBODY, |_, t| *t = (ContentType::Handshake, vec![]), GoesOn),
    ("a new key that is asked for", "8446 4.6.3", V13, NOBODY, |n, t| if n == 0 { *t = handshake(24, &[2]) }, Refused(Alert::ILLEGAL_PARAMETER)),
    ("a new key of two octets", "8446 4.6.3", V13, NOBODY, |_, t| *t = handshake(24, &[0, 0]), Refused(Alert::DECODE_ERROR)),
    ("a new key and more in one record", "8446 5.1", V13, NOBODY, |_, t| { *t = handshake(24, &[0]); t.1.push(24) }, Refused(Alert::UNEXPECTED_MESSAGE)),
    ("Finished once more", "8446 4.4.4", V13, NOBODY, |_, t| *t = handshake(20, &[1; 32]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a ticket of a client", "8446 4.6.1", V13, NOBODY, |_, t| *t = handshake(4, &[0, 0, 0, 9, 0, 0, 0, 0, 1, 0, 0, 1, 7, 0, 0]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a hello: renegotiation", "8446 4.1.2", V13, NOBODY, |_, t| *t = handshake(1, &[&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat()), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a certificate after the handshake", "8446 4.6.2", V13, NOBODY, |_, t| *t = handshake(11, &[0, 0, 0, 0]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a message of 16 MiB", "8446 4", V13, NOBODY, |_, t| *t = (ContentType::Handshake, vec![24, 255, 255, 255, 0]), Ends),
    ("an alert of one octet", "8446 6", V13, NOBODY, |_, t| *t = (ContentType::Alert, vec![1]), Refused(Alert::DECODE_ERROR)),
    ("an alert of one octet", "5246 7.2", V12, NOBODY, |_, t| *t = (ContentType::Alert, vec![1]), Refused(Alert::DECODE_ERROR)),
    ("an unknown alert", "8446 6", V13, NOBODY, |_, t| *t = (ContentType::Alert, vec![2, 200]), Ends),
    ("an unknown alert that warns", "8446 6", V13, NOBODY, |_, t| *t = (ContentType::Alert, vec![1, 200]), Refused(Alert::DECODE_ERROR)),
    ("an unknown alert that warns", "5246 7.2.2", V12, NOBODY, |_, t| *t = (ContentType::Alert, vec![1, 200]), GoesOn),
    ("an alert of level 3", "8446 6", V13, NOBODY, |_, t| *t = (ContentType::Alert, vec![3, 40]), Refused(Alert::ILLEGAL_PARAMETER)),
    ("who has had enough", "8446 6.1", V13, NOBODY, |_, t| *t = (ContentType::Alert, vec![1, 90]), GoesOn),
    ("text of 16385 octets", "8446 5.1", V13, NOBODY, |_, t| t.1 = vec![1; 16_385], Refused(Alert::RECORD_OVERFLOW)),
    ("text of 16385 octets", "5246 6.2.1", V12, NOBODY, |_, t| t.1 = vec![1; 16_385], Refused(Alert::RECORD_OVERFLOW)),
    ("a message that never ends", "8446 5.1", V13, NOBODY, |n, t| *t = if n == 0 { (ContentType::Handshake, vec![24, 0, 0, 90]) } else { (ContentType::ApplicationData, vec![1]) }, GoesOn),
];

async fn spoiled(row: &TextRow) -> (Then, Result<usize, Error>) {
    let (_, _, versions, asks, change, _) = row;
    let (server, client) = ends(*versions, *asks);
    let (mut a, mut b) = connected(&server, &client, "server.test").await;
    a.flush().await.unwrap();
    sealed::on(*change);
    b.write_all(&[7; 16_384]).await.unwrap();
    outcome(&server, a, b).await
}

#[test]
fn messages_that_are_wrong_get_the_right_alert() {
    let mut wrong = Vec::new();
    for row @ (name, rfc, versions, asks, change, wanted) in IN_HANDSHAKE {
        let (then, heard) = run_in(async {
            let (server, client) = ends(*versions, *asks);
            let (a, b) = duplex(100_000);
            let (mut a, mut b) = (server.accept(a).unwrap(), client.stream("server.test", b).unwrap());
            sealed::on(*change);
            let moment = Duration::from_millis(10);
            let _ = timeout(moment, b.handshake()).await;
            let _ = timeout(moment, a.handshake()).await;
            let _ = timeout(moment, b.handshake()).await;
            outcome(&server, a, b).await
        });
        let _ = row;
        if then != *wanted {
            wrong.push(format!("RFC {rfc}: {versions:?}, {name}: {then:?} ({heard:?}), not {wanted:?}"));
        }
    }
    for row @ (name, rfc, versions, _, _, wanted) in AFTER {
        let (then, heard) = run_in(spoiled(row));
        if then != *wanted {
            wrong.push(format!("RFC {rfc}: {versions:?}, {name}, later: {then:?} ({heard:?}), not {wanted:?}"));
        }
    }
    check("messages", IN_HANDSHAKE.len() + AFTER.len(), &wrong);
}

/// Floods of what costs the sender little: the connection ends, soon.
#[test]
fn floods_end_the_connection() {
    type Flood = (&'static str, &'static str, Versions, sealed::Change, usize);
    const FLOODS: &[Flood] = &[
        ("warnings", "5246 7.2.2", V12, |_, t| *t = (ContentType::Alert, vec![1, 200]), 10),
        ("warnings", "8446 6.1", V13, |_, t| *t = (ContentType::Alert, vec![1, 90]), 10),
        ("hellos: renegotiation", "5246 7.2.2", V12, |_, t| *t = handshake(1, &[&[3, 3][..], &[7; 32], &[0, 0, 2, 0xc0, 0x2b, 1, 0]].concat()), 10),
        ("requests for new keys", "8446 4.6.3", V13, |_, t| *t = handshake(24, &[1]), 50),
    ];
    for (name, rfc, versions, change, most) in FLOODS {
        run_in(async {
            let (server, client) = ends(*versions, NOBODY);
            let (mut a, mut b) = connected(&server, &client, "server.test").await;
            sealed::on(*change);
            let mut buf = [0; 100];
            let mut count = 0;
            let error = loop {
                // rustls' client changes no keys for what its cipher says: the second record would not open.
                if b.write_all(&[7; 100]).await.is_err() {
                    panic!("RFC {rfc}: {name}: the client ended");
                }
                count += 1;
                match timeout(Duration::from_millis(1), a.read(&mut buf)).await {
                    Err(_) if count < *most => {}
                    Ok(Err(error)) => break error,
                    other => panic!("RFC {rfc}: {name}: {other:?} after {count}"),
                }
            };
            sealed::off();
            assert!(matches!(error, Error::Protocol(_)), "RFC {rfc}: {name}: {error}");
            assert_eq!(server.stats().violations(), 1, "{name}");
        });
    }
}
