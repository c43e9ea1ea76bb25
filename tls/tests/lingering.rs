//! What a server says last arrives, whatever its client sends meanwhile, and costs no more than may be.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::memory::MemoryStats;
use fata_libos::net::Abort;
use fata_libos::testing::{VirtualPlatform, run_on};
use fata_libos::time::{Duration, Instant, sleep, timeout};
use fata_tls::{Error, Limits, TlsAcceptor};
use std::cell::Cell;

/// A record of a type that there is not, with nothing in it, and the alert that goes with it (RFC 8446 section 5).
const WRONG: [u8; 5] = [9, 3, 3, 0, 0];
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 10];

/// A server whose handshake fails, and that closes then, beside what a client does with its end. Gives what the client does, and how
/// long the server took.
async fn beside<T>(server: &TlsAcceptor, client: impl AsyncFnOnce(End) -> T) -> (T, Duration) {
    let (a, b) = duplex(4096);
    a.loses_unread();
    let mut stream = server.accept(a).unwrap();
    let start = Instant::now();
    let serves = async {
        let error = stream.handshake().await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{error}");
        drop(stream);
        Instant::now() - start
    };
    let (time, done) = both(serves, client(b)).await;
    (done, time)
}

fn few(handshakes: usize) -> TlsAcceptor {
    let mut limits = Limits::default();
    limits.handshakes = handshakes;
    TlsAcceptor::with(server_config(), limits, Default::default()).unwrap()
}

#[test]
fn what_a_client_sends_meanwhile_does_not_cost_it_the_alert() {
    run(async {
        let client = async |mut end: End| {
            end.write_all(&WRONG).await.unwrap();
            for _ in 0..20 {
                end.write_all(&[0; 512]).await.unwrap();
                sleep(Duration::from_millis(10)).await;
            }
            end.finish();
            read_to_end(&mut end, 100).await
        };
        let (said, time) = beside(&acceptor(), client).await;
        assert_eq!(said, (ALERT.to_vec(), Ok(())));
        assert!(time < Duration::from_millis(300), "{time:?}: the client had ended");
    });
}

#[test]
fn a_client_that_does_not_end_is_waited_for_once() {
    run(async {
        let silent = async |mut end: End| {
            end.write_all(&WRONG).await.unwrap();
            read_to_end(&mut end, 100).await
        };
        let drips = async |mut end: End| {
            end.write_all(&WRONG).await.unwrap();
            while end.write(&[0]).await.is_ok() {
                sleep(Duration::from_millis(100)).await;
            }
        };
        let close = Limits::default().close_time;
        let (said, time) = beside(&acceptor(), silent).await;
        assert_eq!((said, time), ((ALERT.to_vec(), Ok(())), close));
        assert_eq!(beside(&acceptor(), drips).await.1, close);
    });
}

#[test]
fn a_client_that_floods_is_not_listened_to_for_long() {
    run(async {
        let floods = async |mut end: End| {
            end.write_all(&WRONG).await.unwrap();
            while end.write(&[0; 1024]).await.is_ok() {}
            end.output.borrow().total
        };
        let (total, time) = beside(&acceptor(), floods).await;
        assert!((64 << 10..80 << 10).contains(&total), "{total} octets");
        assert!(time < Limits::default().close_time, "{time:?}");
    });
}

/// It counts among the handshakes that may be at once.
#[test]
fn who_is_waited_for_takes_a_place() {
    run(async {
        let server = few(1);
        let accepts = || server.accept(duplex(10).0).map(drop);
        let full = Err(Error::TooManyHandshakes(1));
        let client = async |mut end: End| {
            end.write_all(&WRONG).await.unwrap();
            end.read_exact(&mut [0; 7]).await.unwrap();
            sleep(Duration::from_secs(1)).await;
            let meanwhile = accepts();
            let _ = end.read(&mut [0]).await;
            meanwhile
        };
        let (meanwhile, _) = beside(&server, client).await;
        assert_eq!((meanwhile, accepts()), (full.clone(), Ok(())));
        // Nor does one that is never closed keep it, once that is over, or where its time was.
        for (said, time) in [(&WRONG[..], Duration::from_secs(2)), (&[][..], Duration::from_secs(10))] {
            let (a, mut b) = duplex(100);
            let mut stream = server.accept(a).unwrap();
            b.write_all(said).await.unwrap();
            let start = Instant::now();
            assert!(stream.handshake().await.is_err());
            assert_eq!((Instant::now() - start, accepts()), (time, Ok(())));
        }
    });
}

#[test]
fn a_server_that_stops_waiting_gives_the_place_back() {
    run(async {
        let server = few(1);
        let accepts = || server.accept(duplex(10).0).map(drop);
        for is_aborted in [false, true] {
            let (a, mut b) = duplex(100);
            let mut stream = server.accept(a).unwrap();
            b.write_all(&WRONG).await.unwrap();
            assert!(timeout(Duration::from_secs(1), stream.handshake()).await.is_err());
            assert_eq!(accepts(), Err(Error::TooManyHandshakes(1)));
            match is_aborted {
                true => stream.abort(),
                false => drop(stream),
            }
            assert_eq!(accepts(), Ok(()));
        }
    });
}

thread_local! {
    static FREE: Cell<u64> = const { Cell::new(0) };
}

fn memory() -> MemoryStats {
    let mut stats = MemoryStats::default();
    (stats.total, stats.free) = (4 << 20, FREE.get());
    stats
}

#[test]
fn nobody_is_waited_for_where_memory_is_short() {
    FREE.set(4 << 20);
    let platform = VirtualPlatform::new();
    platform.set_memory(memory);
    run_on(platform, async {
        let client = async |mut end: End| {
            FREE.set(256 << 10);
            end.write_all(&WRONG).await.unwrap();
            read_to_end(&mut end, 100).await
        };
        let (said, time) = beside(&acceptor(), client).await;
        assert_eq!((said, time), ((ALERT.to_vec(), Ok(())), Duration::ZERO));
    });
}
