//! What a client says wrongly after its hello: in its second flight, and when the handshake is done.

use super::common::*;
use super::counting::kept_each_time;
use super::table::record;
use super::{sealed, serves};
use embedded_io_async::{Read, Write};
use fata_libos::time::{Duration, timeout};
use fata_tls::provider::Tickets;
use fata_tls::{Alert, ClientCertificates, ClientConfig, Error, TlsAcceptor, TlsConnector, TlsStream, Versions};
use rustls::ContentType;
use rustls::crypto::CryptoProvider;
use std::sync::Arc;

const V13: Versions = Versions::Tls13;
const V12: Versions = Versions::Tls12;

/// What the client hears.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// This alert, and the connection ends.
    Refused(Alert),
    /// No alert, as what came was one. The connection ends.
    Ends,
    /// It goes on: what is wrong is to be passed over.
    GoesOn,
}
use Then::{Ends, GoesOn, Refused};

/// Whom a row's server asks for certificates.
type Asks = Option<ClientCertificates>;
const NOBODY: Asks = None;
const ALL: Asks = Some(ClientCertificates::Required);

/// The servers of all rows, which have both versions, and clients with whom nothing is wrong.
struct Servers {
    of: [(TlsAcceptor, TlsConnector); 2],
    /// With ciphers that change what they seal.
    provider: Arc<CryptoProvider>,
}

impl Servers {
    fn new() -> Self {
        let config = || server_config().tickets(Arc::new(Tickets::default()));
        let asking = config().client_certificates(ClientCertificates::Required, ROOT).unwrap();
        let shows = client_config().certificate(CLIENT, CLIENT_KEY).unwrap();
        let pair = |server, client| (TlsAcceptor::new(server).unwrap(), TlsConnector::new(client).unwrap());
        Self { of: [pair(config(), client_config()), pair(asking, shows)], provider: Arc::new(sealed::provider()) }
    }

    fn of(&self, asks: Asks) -> &(TlsAcceptor, TlsConnector) {
        &self.of[usize::from(asks.is_some())]
    }

    /// The one that asks so, and a client that does what is wrong.
    fn ends(&self, versions: Versions, asks: Asks) -> (&TlsAcceptor, TlsConnector) {
        let client = ClientConfig::with_provider(self.provider.clone(), ROOT).unwrap().versions(versions);
        let client = if asks.is_some() { client.certificate(CLIENT, CLIENT_KEY).unwrap() } else { client };
        (&self.of(asks).0, TlsConnector::new(client).unwrap())
    }

    /// That after a row the server serves, and has its memory back each time.
    async fn live_on<T>(&self, name: &str, asks: Asks, row: impl AsyncFn() -> T) {
        let (server, client) = self.of(asks);
        serves(server, client).await;
        let (kept, most) = kept_each_time(row).await;
        assert_eq!(kept, 0, "{name}: octets that were not given back of {most}");
    }
}

type Outcome = (Then, Result<usize, Error>);

/// What becomes of a connection that the client has spoiled, of a server that had sent so many alerts before.
async fn outcome(server: &TlsAcceptor, sent: u64, mut a: TlsStream<End>, mut b: TlsStream<End>) -> Outcome {
    sealed::off();
    let mut buf = [0; 100];
    // Data that is passed over ends with silence.
    let heard = match timeout(Duration::from_secs(1), a.read(&mut buf)).await {
        Ok(Ok(n)) => Ok(n),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(0),
    };
    let lives = heard.is_ok() && a.write_all(b"!").await.is_ok();
    drop(a);
    let then = match b.read(&mut buf).await {
        Err(Error::AlertReceived(alert)) => Refused(alert),
        Ok(1) if lives => GoesOn,
        _ if server.stats().alerts_sent() == sent => Ends,
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
    ("the cipher changes forty times", "8446 D.4", V13, NOBODY, |r| (0..40).for_each(|_| r.insert(0, CCS.to_vec())), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("Finished in plain text", "8446 5", V13, NOBODY, |r| r[1] = record(22, [3, 3], &[&[20, 0, 0, 32][..], &[1; 32]].concat()), Refused(Alert::BAD_RECORD_MAC)),
    ("a record without a tag", "8446 5.2", V13, NOBODY, |r| r[1] = record(23, [3, 3], &[1; 16]), Refused(Alert::BAD_RECORD_MAC)),
    ("a record of no octets", "8446 5.2", V13, NOBODY, |r| r[1] = record(23, [3, 3], &[]), Refused(Alert::BAD_RECORD_MAC)),
    ("a record that is too long", "8446 5.2", V13, NOBODY, |r| r[1] = record(23, [3, 3], &[1; 18_433]), Refused(Alert::RECORD_OVERFLOW)),
    ("a record that is too long for TLS 1.3", "8446 5.2", V13, NOBODY, |r| r[1] = record(23, [3, 3], &[1; 16_641]), Refused(Alert::RECORD_OVERFLOW)),
    ("a record that is too long", "5246 6.2.3", V12, NOBODY, |r| r[2] = record(22, [3, 3], &[1; 18_433]), Refused(Alert::RECORD_OVERFLOW)),
    ("another protocol", "8446 5", V13, NOBODY, |r| r[1] = b"GET / HTTP/1.1\r\n\r\n".to_vec(), Refused(Alert::UNEXPECTED_MESSAGE)),
];

async fn changed_flight(servers: &Servers, row: &FlightRow) -> Outcome {
    let (_, _, versions, asks, change, _) = row;
    let (server, client) = servers.ends(*versions, *asks);
    let sent = server.stats().alerts_sent();
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
    outcome(server, sent, a, b).await
}

#[test]
fn flights_that_are_wrong_get_the_right_alert() {
    run(async {
        let (servers, mut wrong) = (Servers::new(), Vec::new());
        for row @ (name, rfc, versions, asks, _, wanted) in FLIGHTS {
            let (then, heard) = changed_flight(&servers, row).await;
            if then != *wanted {
                wrong.push(format!("RFC {rfc}: {versions:?}, {name}: {then:?} ({heard:?}), not {wanted:?}"));
            }
            drop(heard);
            servers.live_on(name, *asks, async || changed_flight(&servers, row).await).await;
        }
        check("flights", FLIGHTS.len(), &wrong);
    });
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

/// Texts when the handshake is done: what each record of data becomes, of which there are two.
const AFTER: &[TextRow] = &[
    ("untouched", "8446 5.1", V13, NOBODY, |_, _| {}, GoesOn),
    ("data of no octets", "8446 5.4", V13, NOBODY, |_, t| t.1.clear(), GoesOn),
    ("data of no octets", "5246 6.2.1", V12, NOBODY, |_, t| t.1.clear(), GoesOn),
    ("no type", "8446 5.4", V13, NOBODY, |_, t| *t = (ContentType::Unknown(0), vec![0; 50]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("an unknown type", "8446 5", V13, NOBODY, |_, t| t.0 = ContentType::Unknown(99), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("an unknown type", "5246 6", V12, NOBODY, |_, t| t.0 = ContentType::Unknown(99), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a heartbeat", "8446 5", V13, NOBODY, |_, t| *t = (ContentType::Unknown(24), vec![1, 0, 1, 0]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a change of the cipher", "8446 5", V13, NOBODY, |_, t| *t = (ContentType::ChangeCipherSpec, vec![1]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a change of the cipher", "5246 7.1", V12, NOBODY, |_, t| *t = (ContentType::ChangeCipherSpec, vec![1]), Refused(Alert::DECODE_ERROR)),
    ("a handshake of no octets", "8446 5.1", V13, NOBODY, |_, t| *t = (ContentType::Handshake, vec![]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("an alert of no octets", "8446 5.4", V13, NOBODY, |_, t| *t = (ContentType::Alert, vec![]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a new key that is asked for", "8446 4.6.3", V13, NOBODY, |n, t| if n == 0 { *t = handshake(24, &[2]) }, Refused(Alert::ILLEGAL_PARAMETER)),
    ("a new key of two octets", "8446 4.6.3", V13, NOBODY, |_, t| *t = handshake(24, &[0, 0]), Refused(Alert::DECODE_ERROR)),
    ("a new key and more in one record", "8446 5.1", V13, NOBODY, |_, t| { *t = handshake(24, &[0]); t.1.push(24) }, Refused(Alert::UNEXPECTED_MESSAGE)),
    ("Finished once more", "8446 4.4.4", V13, NOBODY, |_, t| *t = handshake(20, &[1; 32]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a ticket of a client", "8446 4.6.1", V13, NOBODY, |_, t| *t = handshake(4, &[0, 0, 0, 9, 0, 0, 0, 0, 1, 0, 0, 1, 7, 0, 0]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a hello: renegotiation", "8446 4.1.2", V13, NOBODY, |_, t| *t = handshake(1, &[&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat()), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a certificate after the handshake", "8446 4.6.2", V13, NOBODY, |_, t| *t = handshake(11, &[0, 0, 0, 0]), Refused(Alert::UNEXPECTED_MESSAGE)),
    ("a message of 16 MiB", "8446 4", V13, NOBODY, |_, t| *t = (ContentType::Handshake, vec![24, 255, 255, 255, 0]), Refused(Alert::DECODE_ERROR)),
    ("an alert of one octet", "8446 6", V13, NOBODY, |_, t| *t = (ContentType::Alert, vec![1]), Refused(Alert::DECODE_ERROR)),
    ("an alert of one octet", "5246 7.2", V12, NOBODY, |_, t| *t = (ContentType::Alert, vec![1]), Refused(Alert::DECODE_ERROR)),
    ("an unknown alert", "8446 6", V13, NOBODY, |_, t| *t = (ContentType::Alert, vec![2, 200]), Ends),
    ("an unknown alert that warns", "8446 6", V13, NOBODY, |_, t| *t = (ContentType::Alert, vec![1, 200]), Refused(Alert::DECODE_ERROR)),
    ("an unknown alert that warns", "5246 7.2.2", V12, NOBODY, |_, t| *t = (ContentType::Alert, vec![1, 200]), GoesOn),
    ("an alert of level 3", "8446 6", V13, NOBODY, |_, t| *t = (ContentType::Alert, vec![3, 40]), Refused(Alert::ILLEGAL_PARAMETER)),
    ("who has had enough", "8446 6.1", V13, NOBODY, |_, t| *t = (ContentType::Alert, vec![1, 90]), GoesOn),
    ("text of 16385 octets", "8446 5.1", V13, NOBODY, |_, t| t.1 = vec![1; 16_385], Refused(Alert::RECORD_OVERFLOW)),
    ("text of 16385 octets", "5246 6.2.1", V12, NOBODY, |_, t| t.1 = vec![1; 16_385], Refused(Alert::RECORD_OVERFLOW)),
    ("a part of a message", "8446 5.1", V13, NOBODY, |n, t| if n == 0 { *t = (ContentType::Handshake, vec![24, 0, 0, 90]) } else { t.1 = vec![0; 10]; t.0 = ContentType::Handshake }, GoesOn),
    ("data between parts of a message", "8446 5.1", V13, NOBODY, |n, t| if n == 0 { *t = (ContentType::Handshake, vec![24, 0, 0, 90]) }, Refused(Alert::UNEXPECTED_MESSAGE)),
    ("data between parts of a message", "5246 6.2.1", V12, NOBODY, |n, t| if n == 0 { *t = (ContentType::Handshake, vec![1, 0, 0, 90]) }, Refused(Alert::UNEXPECTED_MESSAGE)),
];

async fn spoiled(servers: &Servers, row: &TextRow) -> Outcome {
    let (_, _, versions, asks, change, _) = row;
    let (server, client) = servers.ends(*versions, *asks);
    let sent = server.stats().alerts_sent();
    let (mut a, mut b) = connected(server, &client, "server.test").await;
    a.flush().await.unwrap();
    sealed::on(*change);
    b.write_all(&[7; 2 * 16_384]).await.unwrap();
    outcome(server, sent, a, b).await
}

async fn spoiled_in_handshake(servers: &Servers, row: &TextRow) -> Outcome {
    let (_, _, versions, asks, change, _) = row;
    let (server, client) = servers.ends(*versions, *asks);
    let sent = server.stats().alerts_sent();
    let (a, b) = duplex(100_000);
    let (mut a, mut b) = (server.accept(a).unwrap(), client.stream("server.test", b).unwrap());
    sealed::on(*change);
    let moment = Duration::from_millis(10);
    let _ = timeout(moment, b.handshake()).await;
    let _ = timeout(moment, a.handshake()).await;
    let _ = timeout(moment, b.handshake()).await;
    outcome(server, sent, a, b).await
}

#[test]
fn messages_that_are_wrong_get_the_right_alert() {
    run(async {
        let (servers, mut wrong) = (Servers::new(), Vec::new());
        for (rows, when) in [(IN_HANDSHAKE, "in the handshake"), (AFTER, "later")] {
            for row @ (name, rfc, versions, asks, _, wanted) in rows {
                let spoil = async || match when {
                    "later" => spoiled(&servers, row).await,
                    _ => spoiled_in_handshake(&servers, row).await,
                };
                let (then, heard) = spoil().await;
                if then != *wanted {
                    wrong.push(format!("RFC {rfc}: {versions:?}, {name}, {when}: {then:?} ({heard:?}), not {wanted:?}"));
                }
                drop(heard);
                servers.live_on(name, *asks, spoil).await;
            }
        }
        check("messages", IN_HANDSHAKE.len() + AFTER.len(), &wrong);
    });
}

/// A message that is longer than any has a reason to be, in records of 8,000 octets.
#[test]
fn a_message_that_never_ends_ends_the_connection() {
    const ENDLESS: sealed::Change = |n, t| {
        *t = (ContentType::Handshake, vec![0; 8000]);
        if n == 0 {
            t.1[..4].copy_from_slice(&[24, 0, 0xff, 0xff]);
        }
    };
    run(async {
        let servers = Servers::new();
        for versions in [V13, V12] {
            let endless = async || {
                let (server, client) = servers.ends(versions, NOBODY);
                let (mut a, mut b) = connected(server, &client, "server.test").await;
                sealed::on(ENDLESS);
                let (mut records, mut buf) = (0, [0; 100]);
                let error = loop {
                    b.write_all(&[7; 10_000]).await.unwrap();
                    records += 1;
                    // Longer than the alert is given to arrive.
                    if let Ok(ended) = timeout(Duration::from_secs(3), a.read(&mut buf)).await {
                        break ended.unwrap_err();
                    }
                };
                sealed::off();
                assert_eq!((records, error), (3, Error::TooMuch(16 * 1024)), "{versions:?}");
                drop(a);
                assert_eq!(b.read(&mut buf).await, Err(Error::AlertReceived(Alert::DECODE_ERROR)), "{versions:?}");
            };
            servers.live_on("a message that never ends", NOBODY, endless).await;
        }
    });
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
    run(async {
        let servers = Servers::new();
        for (name, rfc, versions, change, most) in FLOODS {
            let flood = async || {
                let (server, client) = servers.ends(*versions, NOBODY);
                let before = server.stats().violations();
                let (mut a, mut b) = connected(server, &client, "server.test").await;
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
                assert_eq!(server.stats().violations(), before + 1, "{name}");
                drop(a);
                match b.read(&mut buf).await {
                    Err(Error::AlertReceived(alert)) => alert,
                    // Warnings of its own came before it, or keys that it did not ask for.
                    other => panic!("RFC {rfc}: {name}: {other:?}, without an alert"),
                }
            };
            let alert = flood().await;
            assert!([Alert::UNEXPECTED_MESSAGE, Alert::BAD_RECORD_MAC].contains(&alert), "RFC {rfc}: {name}: {alert}");
            servers.live_on(name, NOBODY, flood).await;
        }
    });
}
