//! Handshakes, transfers and ends, with both sides ours.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::net::Abort;
use fata_libos::time::{Duration, Instant, sleep, timeout};
use fata_tls::{ClientConfig, Error, TlsAcceptor, TlsConnector, Version, Versions};
use std::sync::Arc;

#[test]
fn both_sides_agree_and_know_what_on() {
    run(async {
        let server = TlsAcceptor::new(server_config().alpn(&["h2", "http/1.1"])).unwrap();
        let client = TlsConnector::new(client_config().alpn(&["http/1.1", "h2"])).unwrap();
        let (server_end, client_end) = connected(&server, &client, "server.test").await;
        assert_eq!(
            (server_end.alpn_protocol(), client_end.alpn_protocol()),
            (Some(&b"h2"[..]), Some(&b"h2"[..]))
        );
        assert_eq!((server_end.server_name(), client_end.server_name()), (Some("server.test"), None));
        assert_eq!([server_end.protocol_version(), client_end.protocol_version()], [Some(Version::Tls13); 2]);
        assert_eq!((server_end.peer_certificates().count(), client_end.peer_certificates().count()), (0, 1));
        assert_eq!(server_end.cipher_suite(), client_end.cipher_suite());
        assert!(!server_end.is_resumed() && !client_end.is_resumed());
        assert_eq!((server.stats().handshakes(), client.stats().handshakes()), (1, 1));
        assert_eq!((server.stats().handshakes_failed(), server.stats().connections()), (0, 1));
    });
}

/// Those whose processors have no instructions for AES put ChaCha20 first; all others take what the server likes best.
#[test]
fn the_servers_order_of_suites_counts_but_for_those_who_want_chacha20() {
    const CHACHA20: [u16; 2] = [0x1303, 0xcca9];
    const AES_256: [u16; 2] = [0x1302, 0xc02c];
    const AES_128: [u16; 2] = [0x1301, 0xc02b];
    run(async {
        for (place, versions) in [Versions::Tls13, Versions::Tls12].into_iter().enumerate() {
            let server = TlsAcceptor::new(server_config().versions(versions)).unwrap();
            for (first, agreed) in [(CHACHA20, CHACHA20), (AES_256, AES_128), (AES_128, AES_128)] {
                let mut provider = fata_tls::provider::provider();
                provider.cipher_suites.sort_by_key(|suite| u16::from(suite.suite()) != first[place]);
                let client = ClientConfig::with_provider(Arc::new(provider), ROOT).unwrap();
                let client = TlsConnector::new(client).unwrap();
                let (end, _) = connected(&server, &client, "server.test").await;
                assert_eq!(end.cipher_suite(), Some(agreed[place]), "{first:04x?}");
            }
        }
    });
}

#[test]
fn octets_come_as_they_were_sent_however_they_are_cut() {
    for (versions, capacity, piece, reading) in [
        (Versions::All, 100_000, 0, 70_000),
        (Versions::Tls12, 100_000, 0, 70_000),
        (Versions::All, 1000, 7, 100),
        (Versions::Tls12, 1000, 1, 16),
        (Versions::All, 17_000, 1460, 4096),
    ] {
        run(async move {
            let server = TlsAcceptor::new(server_config().versions(versions)).unwrap();
            let (a, b) = duplex_in_pieces(capacity, piece);
            let (mut a, mut b) = (server.accept(a).unwrap(), connector().stream("localhost", b).unwrap());
            let sent = pattern(150_000);
            for (reader, writer) in [(0, 1), (1, 0)] {
                let [x, y] = [&mut a, &mut b];
                let (from, to) = if (reader, writer) == (0, 1) { (y, x) } else { (x, y) };
                let ((), came) = both(
                    async {
                        for piece in sent.chunks(40_000) {
                            from.write_all(piece).await.unwrap();
                        }
                        from.flush().await.unwrap();
                    },
                    async {
                        let (mut all, mut buf) = (Vec::new(), vec![0; reading]);
                        while all.len() < sent.len() {
                            let n = to.read(&mut buf).await.unwrap();
                            all.extend_from_slice(&buf[..n]);
                        }
                        all
                    },
                )
                .await;
                assert!(came == sent, "{versions:?} {capacity} {piece} {reading}");
            }
            assert_eq!(server.stats().octets_received(), 150_000);
            assert_eq!(server.stats().octets_sent(), 150_000);
        });
    }
}

#[test]
fn an_end_that_is_said_is_an_end_and_one_that_is_not_an_error() {
    run(async {
        let (server, client) = (acceptor(), connector());
        // Said with `shutdown`: the other direction goes on.
        let (mut a, mut b) = connected(&server, &client, "server.test").await;
        a.write_all(b"last").await.unwrap();
        a.shutdown().await.unwrap();
        assert_eq!(a.write(b"more").await, Err(Error::Closed));
        assert_eq!(read_to_end(&mut b, 100).await, (b"last".to_vec(), Ok(())));
        assert_eq!(b.read(&mut [0; 9]).await, Ok(0));
        b.write_all(b"answer").await.unwrap();
        b.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut a, 100).await, (b"answer".to_vec(), Ok(())));
        // Said by dropping.
        let (mut a, mut b) = connected(&server, &client, "server.test").await;
        b.write_all(b"bye").await.unwrap();
        drop(b);
        assert_eq!(read_to_end(&mut a, 100).await, (b"bye".to_vec(), Ok(())));
        // Not said.
        for cut in 0..2 {
            let (mut a, mut b) = connected(&server, &client, "server.test").await;
            b.write_all(b"bye").await.unwrap();
            if cut == 0 {
                b.abort();
            } else {
                b.get_ref().unwrap().finish();
            }
            assert_eq!(read_to_end(&mut a, 100).await, (b"bye".to_vec(), Err(Error::Truncated)));
            assert_eq!(a.read(&mut [0]).await, Err(Error::Truncated), "again");
            assert_eq!(a.write(b"x").await, Err(Error::Truncated));
        }
        assert_eq!((server.stats().truncated(), server.stats().violations()), (2, 0));
    });
}

#[test]
fn a_handshake_takes_no_longer_than_it_may() {
    run(async {
        let server = acceptor();
        let (a, mut b) = duplex(10_000);
        let mut stream = server.accept(a).unwrap();
        let dribble = async {
            // The start of a record, an octet a second.
            for octet in [22, 3, 1, 2, 0].into_iter().chain(std::iter::repeat(1)) {
                if b.write_all(&[octet]).await.is_err() {
                    return;
                }
                sleep(Duration::from_secs(1)).await;
            }
        };
        let start = Instant::now();
        // Waits that are given up do not begin it anew.
        let reading = async {
            for _ in 0..3 {
                assert!(timeout(Duration::from_secs(3), stream.read(&mut [0])).await.is_err());
            }
            let error = stream.read(&mut [0]).await;
            drop(stream);
            error
        };
        let (error, ()) = both(reading, dribble).await;
        let limit = Duration::from_secs(10);
        assert_eq!(error, Err(Error::HandshakeTimeout(limit)));
        assert!(start.elapsed() >= limit && start.elapsed() < limit + Duration::from_secs(2));
        assert_eq!((server.stats().handshakes_timed_out(), server.stats().handshakes_failed()), (1, 1));
    });
}

#[test]
fn a_slow_handshake_holds_up_nobody() {
    run(async {
        let server = acceptor();
        let (accept, accepted) = fata_libos::channel::bounded(4);
        let listener = server.listen(async move || accepted.recv().await.map(|end| (end, PEER)));
        let (slow, _silent) = duplex(1000);
        let (quick, end) = duplex(10_000);
        accept.send(slow).await.unwrap();
        accept.send(quick).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        let (mut second, _) = listener.accept().await.unwrap();
        assert_eq!(peer, PEER);
        let client = connector();
        let (a, b) = both(second.handshake(), client.connect("server.test", end)).await;
        assert!(a.is_ok() && b.is_ok());
    });
}

#[test]
fn halves_serve_two_tasks() {
    for versions in [Versions::Tls13, Versions::Tls12] {
        run(async move {
            let server = TlsAcceptor::new(server_config().versions(versions)).unwrap();
            let (a, b) = duplex(3000);
            let (a, b) = (server.accept(a).unwrap(), connector().stream("localhost", b).unwrap());
            let (a, b) = both(a.split(End::halves), b.split(End::halves)).await;
            let ((mut read_a, mut write_a), (mut read_b, mut write_b)) = (a.unwrap(), b.unwrap());
            let sent = pattern(100_000);
            // Both directions are full at once: neither waits for the other.
            let write = async |end: &mut fata_tls::TlsWriter<Half>| {
                end.write_all(&sent).await.unwrap();
                end.shutdown().await.unwrap();
            };
            let ((_, _), (from_b, from_a)) = both(
                both(write(&mut write_a), write(&mut write_b)),
                both(read_to_end(&mut read_a, 5000), read_to_end(&mut read_b, 333)),
            )
            .await;
            assert!(from_a == (sent.clone(), Ok(())) && from_b == (sent.clone(), Ok(())));
        });
    }
}

#[test]
fn futures_that_are_dropped_lose_nothing() {
    run(async {
        let (server, client) = (acceptor(), connector());
        let (a, b) = duplex_in_pieces(600, 50);
        let (mut a, mut b) = (server.accept(a).unwrap(), client.stream("server.test", b).unwrap());
        let sent = pattern(60_000);
        let writing = async {
            let mut rest = &sent[..];
            b.handshake().await.unwrap();
            while !rest.is_empty() {
                let n = b.write(&rest[..rest.len().min(5000)]).await.unwrap();
                rest = &rest[n..];
            }
            b.shutdown().await.unwrap();
        };
        let reading = async {
            let (mut all, mut buf) = (Vec::new(), [0; 700]);
            loop {
                // Each try is polled once only.
                let once = timeout(Duration::ZERO, a.read(&mut buf)).await;
                match once {
                    Ok(Ok(0)) => return all,
                    Ok(Ok(n)) => all.extend_from_slice(&buf[..n]),
                    Ok(Err(e)) => panic!("{e}"),
                    Err(_) => sleep(Duration::from_millis(1)).await,
                }
            }
        };
        let (all, ()) = both(reading, writing).await;
        assert!(all == sent);
    });
}
