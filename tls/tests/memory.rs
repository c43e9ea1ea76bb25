//! What connections hold, octets of the heap: counted on the test's thread.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::time::{Duration, timeout};
use fata_tls::{TlsAcceptor, Versions};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static USED: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

impl Counting {
    fn add(octets: isize) {
        USED.set(USED.get() + octets);
        MOST.set(MOST.get().max(USED.get()));
    }
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size() as isize);
        // SAFETY: by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Self::add(-(layout.size() as isize));
        // SAFETY: by the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `f` leaves in use, octets, and what was in use beside at most.
async fn measured<T>(f: impl Future<Output = T>) -> (T, isize, isize) {
    let before = USED.get();
    MOST.set(before);
    let value = f.await;
    (value, USED.get() - before, MOST.get() - before)
}

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
