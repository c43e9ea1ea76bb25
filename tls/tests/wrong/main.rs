//! What a peer must not send: each ends with the alert that the RFCs name for it, and the server serves on.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/counting.rs"]
mod counting;
mod early;
mod first;
mod hello;
#[rustfmt::skip]
mod later;
mod sealed;
#[rustfmt::skip]
mod servers;
#[rustfmt::skip]
mod table;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::time::{Duration, timeout};
use fata_tls::{Alert, Error, Limits, TlsAcceptor, TlsConnector, Versions};
use table::record;

/// A client's first record, cut out of what one sends.
async fn client_hello(versions: Versions) -> Vec<u8> {
    let (mut a, b) = duplex(10_000);
    let client = fata_tls::TlsConnector::new(client_config().versions(versions)).unwrap();
    let mut client = client.stream("server.test", b).unwrap();
    assert!(timeout(Duration::from_secs(1), client.handshake()).await.is_err());
    let mut hello = vec![0; 10_000];
    let n = a.read(&mut hello).await.unwrap();
    hello.truncate(n);
    hello
}

/// What a server says to octets on a new connection: its error, and what it sends.
async fn answer(server: &TlsAcceptor, octets: &[u8]) -> (Error, Vec<u8>) {
    let (a, mut b) = duplex(200_000);
    let mut stream = server.accept(a).unwrap();
    b.write_all(octets).await.unwrap();
    let error = stream.read(&mut [0]).await.unwrap_err();
    drop(stream);
    let (said, _) = read_to_end(&mut b, 1000).await;
    (error, said)
}

/// A plaintext alert that is fatal.
fn alert(alert: Alert) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, alert.0]
}

/// That the server serves a client that does nothing wrong, data both ways and the end among it.
async fn serves(server: &TlsAcceptor, client: &TlsConnector) {
    let (mut a, mut b) = connected(server, client, "server.test").await;
    let mut buf = [0; 4];
    b.write_all(b"ping").await.unwrap();
    a.read_exact(&mut buf).await.unwrap();
    a.write_all(&buf).await.unwrap();
    b.read_exact(&mut buf).await.unwrap();
    assert_eq!(&buf, b"ping");
    assert_eq!((b.shutdown().await, a.read(&mut buf).await), (Ok(()), Ok(0)));
}

#[test]
fn a_hello_that_is_cut_is_no_hello() {
    run(async {
        let (server, hello) = (acceptor(), client_hello(Versions::All).await);
        for len in 0..hello.len() {
            let (a, mut b) = duplex(10_000);
            let mut stream = server.accept(a).unwrap();
            b.write_all(&hello[..len]).await.unwrap();
            b.finish();
            assert_eq!(stream.read(&mut [0]).await, Err(Error::Truncated), "{len}");
        }
        assert_eq!(server.stats().handshakes_cut(), hello.len() as u64);
    });
}

/// Each octet of a hello is changed: it is refused, with an alert that says so, or it is another hello, which is answered.
#[test]
fn each_octet_of_a_hello_may_be_wrong() {
    run(async {
        let (server, hello) = (acceptor(), client_hello(Versions::All).await);
        let allowed = [
            Alert::UNEXPECTED_MESSAGE,
            Alert::RECORD_OVERFLOW,
            Alert::HANDSHAKE_FAILURE,
            Alert::ILLEGAL_PARAMETER,
            Alert::DECODE_ERROR,
            Alert::PROTOCOL_VERSION,
            Alert(109),
        ];
        let (mut refused, mut answered, mut cut) = (0, 0, 0);
        for at in 0..hello.len() {
            let mut octets = hello.clone();
            octets[at] ^= 0x81;
            let (a, mut b) = duplex(100_000);
            let mut stream = server.accept(a).unwrap();
            b.write_all(&octets).await.unwrap();
            b.finish();
            let error = stream.read(&mut [0]).await.unwrap_err();
            drop(stream);
            let (said, _) = read_to_end(&mut b, 1000).await;
            match &said[..] {
                [21, 3, 3, 0, 2, 2, description] => {
                    assert!(allowed.contains(&Alert(*description)), "{at}: {error}, alert {description}");
                    assert!(matches!(error, Error::Protocol(_)), "{at}: {error}");
                    refused += 1;
                }
                // It was refused after the server's hello, with an alert that is sealed.
                [22, 3, 3, _, _, 2, ..] if matches!(error, Error::Protocol(_)) => refused += 1,
                // Its client is gone.
                [22, 3, 3, _, _, 2, ..] => {
                    assert_eq!(error, Error::Truncated, "{at}");
                    answered += 1;
                }
                // A length that asks for more.
                [] => {
                    assert!([3, 4, 6, 7, 8].contains(&at), "{at}: {error}");
                    assert_eq!(error, Error::Truncated, "{at}");
                    cut += 1;
                }
                other => panic!("{at}: {error}, {other:?}"),
            }
        }
        let stats = server.stats();
        assert_eq!((stats.handshakes_refused(), stats.alerts_sent()), (refused, refused));
        assert_eq!(stats.handshakes_cut(), answered + cut);
        // The random octets alone may be any; so may the session's number, and most of a share.
        assert!(answered >= 32 + 32 && refused > 40, "{refused} refused, {answered} answered, {cut} cut");
        connected(&server, &connector(), "server.test").await;
    });
}

#[test]
fn a_handshake_is_no_longer_than_it_may_be() {
    run(async {
        let limits = || {
            let mut limits = Limits::default();
            limits.handshake_octets = 5000;
            limits
        };
        let server = TlsAcceptor::with(server_config(), limits(), Default::default()).unwrap();
        // A message of 60,000 octets, in parts.
        let mut parts = record(22, [3, 1], &[&[1, 0, 0xea, 0x60][..], &[0; 1000]].concat());
        for _ in 0..10 {
            parts.extend(record(22, [3, 1], &[0; 1000]));
        }
        let (error, said) = answer(&server, &parts).await;
        assert_eq!((error, said), (Error::TooMuch(5000), alert(Alert::DECODE_ERROR)));
        connected(&server, &connector(), "server.test").await;
    });
}

/// What happens to a record on its way.
type Change = &'static dyn Fn(&mut Vec<u8>);

/// A connection's ends after the handshake; what the client sends goes through `change` on its way.
async fn broken(
    versions: Versions,
    change: impl Fn(&mut Vec<u8>),
) -> (Error, Result<usize, Error>, TlsAcceptor) {
    let server = TlsAcceptor::new(server_config().versions(versions)).unwrap();
    let (mut a, mut b) = connected(&server, &connector(), "server.test").await;
    b.write_all(b"hello").await.unwrap();
    {
        let pipe = a.get_ref().unwrap().input.clone();
        let mut octets: Vec<u8> = pipe.borrow_mut().octets.drain(..).collect();
        change(&mut octets);
        pipe.borrow_mut().octets.extend(octets);
    }
    let error = a.read(&mut [0; 100]).await.unwrap_err();
    drop(a);
    let seen = b.read(&mut [0; 100]).await;
    (error, seen, server)
}

#[test]
fn records_that_were_touched_end_the_connection() {
    for versions in [Versions::Tls13, Versions::Tls12] {
        run(async move {
            let cases: &[(&str, Change, Alert)] = &[
                ("an octet", &|r| *r.last_mut().unwrap() ^= 1, Alert::BAD_RECORD_MAC),
                (
                    "its length",
                    &|r| {
                        let end = r.len() - 1;
                        r[4] -= 1;
                        r.truncate(end);
                    },
                    Alert::BAD_RECORD_MAC,
                ),
                ("too short for a tag", &|r| *r = record(23, [3, 3], &[1; 15]), Alert::BAD_RECORD_MAC),
                ("none at all", &|r| *r = b"GET / HTTP/1.1\r\n\r\n".to_vec(), Alert::UNEXPECTED_MESSAGE),
                ("in plain", &|r| *r = record(22, [3, 3], &[0, 0, 0, 0]), Alert::BAD_RECORD_MAC),
            ];
            for (name, change, wanted) in cases {
                let (error, seen, server) = broken(versions, change).await;
                assert!(matches!(error, Error::Protocol(_)), "{versions:?} {name}: {error}");
                let seen = seen.unwrap_err();
                let also = Error::AlertReceived(Alert::UNEXPECTED_MESSAGE);
                let right = seen == Error::AlertReceived(*wanted) || *name == "in plain" && seen == also;
                assert!(right, "{versions:?} {name}: {seen}");
                assert_eq!((server.stats().violations(), server.stats().alerts_sent()), (1, 1), "{name}");
            }
        });
    }
}

#[test]
fn a_record_that_comes_twice_ends_the_connection() {
    run(async {
        let server = acceptor();
        let (mut a, mut b) = connected(&server, &connector(), "server.test").await;
        b.write_all(b"pay").await.unwrap();
        {
            let pipe = a.get_ref().unwrap().input.clone();
            let octets: Vec<u8> = pipe.borrow().octets.iter().copied().collect();
            pipe.borrow_mut().octets.extend(octets);
        }
        let (came, end) = read_to_end(&mut a, 100).await;
        assert_eq!(came, b"pay");
        assert!(matches!(end, Err(Error::Protocol(_))), "{end:?}");
        assert_eq!(b.read(&mut [0]).await, Err(Error::AlertReceived(Alert::BAD_RECORD_MAC)));
        let end = server.stats();
        assert_eq!((end.violations(), end.octets_received()), (1, 3));
    });
}

#[test]
fn the_half_that_reads_leaves_its_alert_to_the_one_that_writes() {
    run(async {
        let (server, client) = (acceptor(), connector());
        let (a, mut b) = connected(&server, &client, "server.test").await;
        let input = a.get_ref().unwrap().input.clone();
        let (mut reader, mut writer) = a.split(End::halves).await.unwrap();
        input.borrow_mut().octets.extend(record(23, [3, 3], &[9; 40]));
        assert!(matches!(reader.read(&mut [0]).await, Err(Error::Protocol(_))));
        assert!(matches!(writer.write(b"x").await, Err(Error::Protocol(_))));
        assert_eq!(b.read(&mut [0]).await, Err(Error::AlertReceived(Alert::BAD_RECORD_MAC)));
    });
}
