//! What connections hold, octets of the heap: counted on the test's thread.

mod common;
#[path = "common/counting.rs"]
mod counting;

use common::*;
use counting::{MOST, USED, measured};
use embedded_io_async::{Read, Write};
use fata_libos::memory::MemoryStats;
use fata_libos::testing::{VirtualPlatform, run_on};
use fata_libos::time::{Duration, sleep, timeout};
use fata_tls::{Error, Limits, TlsAcceptor, Versions};
use std::cell::Cell;

#[test]
fn an_idle_connection_holds_little() {
    run(async {
        for (versions, wanted) in [(Versions::Tls13, 5 << 10), (Versions::Tls12, 6 << 10)] {
            let server = TlsAcceptor::new(server_config().versions(versions)).unwrap();
            // What is made once.
            drop(connected(&server, &connector(), "server.test").await);
            let (a, b) = duplex(200_000);
            let stream = Box::pin(async {
                let mut stream = Box::new(server.accept(a).unwrap());
                stream.handshake().await.unwrap();
                stream
            });
            let mut client = connector().stream("server.test", b).unwrap();
            let (mut stream, shaken) = both(stream, client.handshake()).await;
            assert_eq!(shaken, Ok(()));
            // Much moves in both directions, and more than it holds afterwards.
            let sent = pattern(100_000);
            let mut back = vec![0; 100_000];
            client.write_all(&sent).await.unwrap();
            stream.read_exact(&mut back).await.unwrap();
            stream.write_all(&sent).await.unwrap();
            client.read_exact(&mut back).await.unwrap();
            let mut buf = [0; 100];
            assert!(timeout(Duration::from_secs(1), stream.read(&mut buf)).await.is_err(), "it waits");
            drop((client, back, sent));
            let _pipes = stream.get_ref().map(|end| (end.input.clone(), end.output.clone()));
            let (_, held, _) = measured(async { drop(stream) }).await;
            println!(
                "{versions:?}: {} octets of heap and {} in place",
                -held,
                size_of::<fata_tls::TlsStream<End>>()
            );
            assert!(-held < wanted, "{versions:?}: {} octets", -held);
        }
    });
}

#[test]
fn a_record_takes_memory_only_as_it_comes() {
    run(async {
        let server = acceptor();
        let (mut a, b) = connected(&server, &connector(), "server.test").await;
        let input = a.get_ref().unwrap().input.clone();
        let mut wait = async |octets: &[u8]| {
            input.borrow_mut().octets.extend(octets);
            let (_, held, _) = measured(async {
                let mut buf = [0; 100];
                assert!(timeout(Duration::from_secs(1), a.read(&mut buf)).await.is_err());
            })
            .await;
            held
        };
        assert!(wait(&[]).await < 256);
        assert!(wait(&[23, 3, 3, 0x40]).await < 256, "a part of a header takes none");
        assert!(wait(&[0x11]).await < 2500, "a header takes 2 KiB");
        assert!(wait(&[9; 2100]).await < 17_000);
        drop(b);
    });
}

#[test]
fn a_peer_that_sends_parts_for_ever_holds_no_more_than_it_may() {
    run(async {
        let server = acceptor();
        let (a, mut b) = duplex(1_000_000);
        let mut stream = server.accept(a).unwrap();
        // A message of 65,000 octets in records of one each: 6 octets of memory for one that counts.
        let mut octets = vec![22, 3, 1, 0, 4, 1, 0, 0xfd, 0xe8];
        for _ in 0..60_000 {
            octets.extend([22, 3, 1, 0, 1, 7]);
        }
        b.write_all(&octets).await.unwrap();
        let (error, _, most) = measured(stream.read(&mut [0])).await;
        assert!(matches!(error, Err(fata_tls::Error::TooMuch(_))), "{error:?}");
        assert!(most < 300_000, "{most} octets");
    });
}

/// A guest of 4 MiB of which this thread's heap is a part.
const GUEST: u64 = 4 << 20;

thread_local! {
    static START: Cell<isize> = const { Cell::new(0) };
}

fn of_guest() -> MemoryStats {
    let mut stats = MemoryStats::default();
    stats.total = GUEST;
    stats.free = GUEST.saturating_sub((USED.get() - START.get()).max(0) as u64);
    stats
}

/// Begins a test in a guest of that size.
fn run_in_guest(test: impl Future<Output = ()>) {
    let platform = VirtualPlatform::new();
    platform.set_memory(of_guest);
    START.set(USED.get());
    run_on(platform, test);
}

/// Clients that begin handshakes, each as far as one can for nothing, and say no more.
#[test]
fn handshakes_that_nobody_ends_leave_the_guest_its_memory() {
    let mut half = vec![22, 3, 1, 0x3f, 0xfb, 1, 0, 0x7f, 0xf0];
    half.extend([7; 0x3ff7]);
    let pieces = [&[22, 3, 1, 0, 5, 1, 0, 0x7f, 0xf0, 3][..], &[22, 3, 1, 0, 1, 7].repeat(100)].concat();
    for (name, octets) in [
        ("nothing", vec![]),
        ("a header", vec![22, 3, 1, 0x40, 0]),
        ("most of a record", half[..10_000].to_vec()),
        ("half a hello", half),
        ("a hello in pieces", pieces),
    ] {
        run_in_guest(async {
            let server = acceptor();
            let stats = server.stats();
            // What is made once.
            connected(&server, &connector(), "server.test").await;
            let before = USED.get();
            MOST.set(before);
            let (mut live, mut ended) = (Vec::new(), 0);
            for _ in 0..3000 {
                let (a, mut b) = duplex(20_000);
                let Ok(mut stream) = server.accept(a) else { continue };
                b.write_all(&octets).await.unwrap();
                match timeout(Duration::from_millis(1), stream.handshake()).await {
                    Err(_) => live.push((stream, b.output.clone(), b)),
                    Ok(Err(Error::NoMemory)) => ended += 1,
                    Ok(other) => panic!("{name}: {other:?}"),
                }
                // What lies below is not this crate's.
                live.iter().for_each(|(_, pipe, _)| pipe.borrow_mut().octets.shrink_to_fit());
            }
            let least = GUEST as isize - (MOST.get() - START.get());
            println!("{name}: {} in progress, {ended} ended, at least {least} octets free", live.len());
            assert!(live.len() > 50 && live.len() < 3000, "{name}: {}", live.len());
            // A quarter of what is kept may be the pipe's and the list's of this test.
            assert!(least > GUEST as isize / 16 * 3 / 4, "{name}: {least} octets were free");
            assert_eq!(stats.turned_away() + stats.short_of_memory() + live.len() as u64, 3000, "{name}");
            // Those whose time is over.
            sleep(Duration::from_secs(11)).await;
            for (stream, ..) in &mut live {
                assert!(matches!(stream.handshake().await, Err(Error::HandshakeTimeout(_))));
            }
            drop(live);
            assert!(USED.get() - before < 8192, "{name}: {} octets were not given back", USED.get() - before);
            connected(&server, &connector(), "server.test").await;
        });
    }
}

#[test]
fn no_more_handshakes_are_in_progress_than_may_be() {
    run(async {
        let mut limits = Limits::default();
        limits.handshakes = 3;
        let server = TlsAcceptor::with(server_config(), limits, Default::default()).unwrap();
        let (streams, mut clients): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| {
                let (a, b) = duplex(10_000);
                (server.accept(a).unwrap(), connector().stream("server.test", b).unwrap())
            })
            .unzip();
        let refused = || server.accept(duplex(1).0).err();
        assert_eq!(refused(), Some(Error::TooManyHandshakes(3)));
        // One is done, one fails, one is dropped.
        let [mut done, mut failed, dropped] = streams.try_into().ok().unwrap();
        assert_eq!(shake(&mut done, &mut clients[0]).await, (Ok(()), Ok(())));
        let again = server.accept(duplex(1).0);
        assert!(again.is_ok());
        assert_eq!(refused(), Some(Error::TooManyHandshakes(3)));
        drop((again, dropped));
        clients.clear();
        assert_eq!(failed.handshake().await, Err(Error::Truncated));
        let three: Vec<_> = (0..3).map(|_| server.accept(duplex(1).0)).collect();
        assert!(three.iter().all(Result::is_ok));
        assert_eq!(refused(), Some(Error::TooManyHandshakes(3)));
        assert_eq!(server.stats().turned_away(), 3);
    });
}

/// Without memory for a record a connection ends, and says so.
#[test]
fn a_record_for_which_there_is_no_memory_ends_its_connection_alone() {
    thread_local! { static FREE: Cell<u64> = const { Cell::new(GUEST) }; }
    let platform = VirtualPlatform::new();
    platform.set_memory(|| {
        let mut stats = MemoryStats::default();
        (stats.total, stats.free) = (GUEST, FREE.get());
        stats
    });
    run_on(platform, async {
        let server = acceptor();
        let (mut a, mut b) = connected(&server, &connector(), "server.test").await;
        b.write_all(&pattern(10_000)).await.unwrap();
        // A sixteenth is kept from who begins, a quarter of that from who has begun.
        FREE.set(GUEST / 16);
        assert_eq!(server.accept(duplex(1).0).err(), Some(Error::NoMemory));
        let mut buf = [0; 100];
        assert_eq!(a.read(&mut buf).await, Ok(100));
        a.read_exact(&mut [0; 9900]).await.unwrap();
        b.write_all(&pattern(10_000)).await.unwrap();
        FREE.set(GUEST / 64);
        assert_eq!(a.read(&mut buf).await, Err(Error::NoMemory));
        assert_eq!(server.stats().short_of_memory(), 1);
        FREE.set(GUEST);
        connected(&server, &connector(), "server.test").await;
    });
}
