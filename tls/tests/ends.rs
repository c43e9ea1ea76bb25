//! What is lost where a stream fails or a future is dropped, and what is not; how connections end that cannot go on.

mod common;

use common::*;
use embedded_io_async::{ErrorKind, Read, Write};
use fata_libos::time::{Duration, timeout};
use fata_tls::{ClientConfig, Error, ServerConfig, TlsAcceptor, TlsConnector, TlsStream, Versions};
use rustls::SupportedCipherSuite;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// Polls `f` so often, and drops it; its output, if it was done.
async fn polled<F: Future>(times: usize, f: F) -> Option<F::Output> {
    let mut f = pin!(f);
    let mut left = times;
    poll_fn(|cx| {
        if let Poll::Ready(output) = f.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        left -= 1;
        if left == 0 { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

async fn pair(versions: Versions, capacity: usize) -> (TlsStream<End>, TlsStream<End>) {
    let server = TlsAcceptor::new(server_config().versions(versions)).unwrap();
    let (a, b) = duplex(capacity);
    let (mut a, mut b) = (server.accept(a).unwrap(), connector().stream("server.test", b).unwrap());
    assert_eq!(shake(&mut a, &mut b).await, (Ok(()), Ok(())));
    (a, b)
}

/// The reader's side goes away while the writer writes: what had come before is read all the same.
#[test]
fn a_write_that_fails_drops_nothing_that_came() {
    for versions in [Versions::Tls13, Versions::Tls12] {
        run(async move {
            let (mut a, mut b) = pair(versions, 64 * 1024).await;
            b.write_all(b"first, second").await.unwrap();
            b.shutdown().await.unwrap();
            let mut buf = [0; 5];
            a.read_exact(&mut buf).await.unwrap();
            assert_eq!(&buf, b"first");
            drop(b);
            // A first write may fit into what lies below; then it is broken.
            let mut error = None;
            for _ in 0..2 {
                error = error.or(a.write_all(&pattern(10_000)).await.err());
            }
            assert_eq!(error, Some(Error::Io(ErrorKind::BrokenPipe)), "{versions:?}");
            assert_eq!(read_to_end(&mut a, 3).await, (b", second".to_vec(), Ok(())), "{versions:?}");
            assert_eq!(a.write(b"x").await, Err(Error::Io(ErrorKind::BrokenPipe)));
            assert_eq!(a.flush().await, Err(Error::Io(ErrorKind::BrokenPipe)));
        });
    }
}

#[test]
fn halves_read_on_where_writing_has_failed() {
    run(async {
        let (a, mut b) = pair(Versions::Tls13, 64 * 1024).await;
        let (mut reader, mut writer) = a.split(End::halves).await.unwrap();
        b.write_all(b"last").await.unwrap();
        b.shutdown().await.unwrap();
        drop(b);
        assert!(writer.write_all(&pattern(40_000)).await.is_err());
        assert_eq!(writer.flush().await, Err(Error::Io(ErrorKind::BrokenPipe)));
        assert_eq!(read_to_end(&mut reader, 3).await, (b"last".to_vec(), Ok(())));
    });
}

/// A write that is dropped while it waits has accepted nothing: whoever writes the same once more sends it once.
#[test]
fn a_write_that_is_dropped_sends_nothing_twice() {
    for (versions, halved) in
        [(Versions::Tls13, false), (Versions::Tls12, false), (Versions::Tls13, true), (Versions::Tls12, true)]
    {
        run(async move {
            let (a, mut b) = pair(versions, 100).await;
            let sent = pattern(30_000);
            let sender = async {
                let mut rest = &sent[..];
                let mut dropped = 0;
                let mut whole = None;
                let mut halves = None;
                match halved {
                    true => halves = Some(a.split(End::halves).await.unwrap()),
                    false => whole = Some(a),
                }
                while !rest.is_empty() {
                    let now = &rest[..rest.len().min(1000)];
                    // Dropped at the first place where it waits, then at the second, and so on.
                    let done = match (&mut whole, &mut halves) {
                        (Some(stream), _) => polled(1 + dropped % 2, stream.write(now)).await,
                        (_, Some((_, writer))) => polled(1 + dropped % 2, writer.write(now)).await,
                        _ => unreachable!(),
                    };
                    match done {
                        Some(n) => rest = &rest[n.unwrap()..],
                        None => {
                            dropped += 1;
                            fata_libos::time::sleep(Duration::from_millis(1)).await;
                        }
                    }
                }
                // What was accepted last is sent by this, however often it is dropped.
                while match (&mut whole, &mut halves) {
                    (Some(stream), _) => polled(1, stream.flush()).await,
                    (_, Some((_, writer))) => polled(1, writer.flush()).await,
                    _ => unreachable!(),
                }
                .is_none()
                {
                    fata_libos::time::sleep(Duration::from_millis(1)).await;
                }
                assert!(dropped > 10, "{dropped}");
                (whole, halves)
            };
            let receiver = async {
                let mut all = vec![0; sent.len()];
                b.read_exact(&mut all).await.unwrap();
                let more = timeout(Duration::from_secs(1), b.read(&mut [0; 10])).await;
                (all, more.is_err())
            };
            let (_kept, (all, is_all)) = both(sender, receiver).await;
            assert!(all == sent && is_all, "{versions:?}, halves: {halved}");
        });
    }
}

/// Handshakes, reads and the end of both, each dropped whenever it waits.
#[test]
fn futures_that_are_dropped_where_they_wait_lose_nothing() {
    for versions in [Versions::Tls13, Versions::Tls12] {
        run(async move {
            let server = TlsAcceptor::new(server_config().versions(versions)).unwrap();
            let (a, b) = duplex_in_pieces(300, 7);
            let (mut a, mut b) = (server.accept(a).unwrap(), connector().stream("server.test", b).unwrap());
            let moment = Duration::from_millis(1);
            let one = async {
                while polled(1, a.handshake()).await.is_none() {
                    fata_libos::time::sleep(moment).await;
                }
                let (mut all, mut buf) = (Vec::new(), [0; 13]);
                loop {
                    match polled(1, a.read(&mut buf)).await {
                        Some(Ok(0)) => break,
                        Some(n) => all.extend_from_slice(&buf[..n.unwrap()]),
                        None => fata_libos::time::sleep(moment).await,
                    }
                }
                while polled(1, a.shutdown()).await.is_none() {
                    fata_libos::time::sleep(moment).await;
                }
                all
            };
            let other = async {
                while polled(1, b.handshake()).await.is_none() {
                    fata_libos::time::sleep(moment).await;
                }
                b.write_all(&pattern(2000)).await.unwrap();
                b.shutdown().await.unwrap();
                b.read(&mut [0]).await
            };
            let (all, end) = both(one, other).await;
            assert!(all == pattern(2000) && end == Ok(0), "{versions:?}: {end:?}");
        });
    }
}

#[test]
fn after_a_failure_nothing_is_flushed_or_shut_down_in_order() {
    run(async {
        let (mut a, b) = pair(Versions::Tls13, 64 * 1024).await;
        a.get_ref().unwrap().input.borrow_mut().octets.extend([23, 3, 3, 0, 20]);
        a.get_ref().unwrap().input.borrow_mut().octets.extend([9; 20]);
        let error = a.read(&mut [0]).await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{error}");
        assert_eq!(a.flush().await, Err(error.clone()));
        assert_eq!(a.shutdown().await, Err(error.clone()));
        drop(b);
        // The halves too.
        let (a, _b) = pair(Versions::Tls13, 64 * 1024).await;
        let input = a.get_ref().unwrap().input.clone();
        let (mut reader, mut writer) = a.split(End::halves).await.unwrap();
        input.borrow_mut().octets.extend([23, 3, 3, 0, 20]);
        input.borrow_mut().octets.extend([9; 20]);
        assert_eq!(reader.read(&mut [0]).await, Err(error.clone()));
        assert_eq!(writer.flush().await, Err(error.clone()));
        assert_eq!(writer.shutdown().await, Err(error));
    });
}

/// Keys of TLS 1.2 that may protect three records more.
fn short_lived() -> ServerConfig {
    let mut provider = fata_tls::provider::provider();
    for suite in &mut provider.cipher_suites {
        if let SupportedCipherSuite::Tls12(of) = *suite {
            let common = rustls::crypto::CipherSuiteCommon { confidentiality_limit: 5, ..of.common };
            let rustls::Tls12CipherSuite { kx, sign, prf_provider, aead_alg, .. } = *of;
            *suite = SupportedCipherSuite::Tls12(Box::leak(Box::new(rustls::Tls12CipherSuite {
                common,
                kx,
                sign,
                prf_provider,
                aead_alg,
            })));
        }
    }
    ServerConfig::with_provider(Arc::new(provider), SERVER, SERVER_KEY).unwrap().versions(Versions::Tls12)
}

#[test]
fn a_connection_whose_keys_are_used_up_ends_in_order() {
    run(async {
        let server = TlsAcceptor::new(short_lived()).unwrap();
        let client = TlsConnector::new(ClientConfig::from_roots_pem(ROOT).unwrap()).unwrap();
        let (mut a, mut b) = connected(&server, &client, "server.test").await;
        let mut written = 0;
        let error = loop {
            match a.write(b"x").await {
                Ok(n) => written += n,
                Err(error) => break error,
            }
        };
        assert_eq!(error, Error::KeysExhausted);
        assert!((1..5).contains(&written), "{written}");
        // Announced: nothing is missing.
        assert_eq!(read_to_end(&mut b, 10).await, (b"x".repeat(written), Ok(())));
        assert_eq!(a.flush().await, Err(Error::KeysExhausted));
    });
}
