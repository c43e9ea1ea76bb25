//! What is sent from where it is: in its order among what is copied, whatever the path does, and without memory of the stack's.

mod common;

use common::*;
use embedded_io_async::Write;
use fata_libos::net::Shared;
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep};
use fata_netstack::testing::Faults;
use fata_netstack::{Error, TcpListener, TcpStream};
use std::rc::Rc;

/// What the server sends: `pattern` from one place on, in parts of three kinds by turns.
async fn send_mixed(stream: &mut TcpStream, whole: usize) {
    let counted = Shared::from(pattern(0, whole));
    let fixed = Shared::from(&*pattern(0, whole).leak());
    let (mut at, mut turn) = (0, 0);
    while at < whole {
        turn += 1;
        let len = (turn * 977 % 40_000 + 1).min(whole - at);
        let part = at..at + len;
        at += match turn % 3 {
            0 => stream.write(&counted[part]).await.unwrap(),
            1 => stream.write_shared(&counted, part).await.unwrap(),
            _ => stream.write_shared(&fixed, part).await.unwrap(),
        };
    }
}

#[test]
fn every_octet_comes_in_its_place_over_bad_lines() {
    let delay = Duration::from_millis(1);
    for (seed, faults, offload) in [
        (1, Faults { delay, ..Faults::default() }, true),
        (2, Faults { lose: 100, double: 100, reorder: 200, corrupt: 50, delay }, false),
        (3, Faults { lose: 300, reorder: 300, delay, ..Faults::default() }, true),
    ] {
        run(async move {
            let (hub, a, b) = pair_with(faults, offload).await;
            hub.set_seed(seed);
            let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
            let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            let sending = spawn(async move { send_mixed(&mut server, 1 << 20).await });
            let (mut got, mut buf) = (0, vec![0; 50_000]);
            loop {
                let len = client.read(&mut buf).await.unwrap();
                if len == 0 {
                    break;
                }
                assert!(buf[..len] == pattern(got, len)[..], "at {got}");
                got += len;
            }
            assert_eq!(got, 1 << 20);
            sending.await;
            drop(client);
            sleep(Duration::from_secs(70)).await;
            for stack in [&a, &b] {
                assert_eq!((stack.stats().tcp_connections, stack.stats().tcp_buffer_octets), (0, 0));
            }
        });
    }
}

#[test]
fn octets_of_the_image_take_no_memory_and_those_of_the_heap_are_freed_with_the_connection() {
    static PAGE: [u8; 16 << 10] = [7; 16 << 10];
    run(async {
        let (_hub, a, b) = pair(Faults { delay: Duration::from_millis(500), ..Faults::default() }).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let idle = b.stats().tcp_buffer_octets;
        let taken = || b.stats().tcp_buffer_octets - idle;
        let page = Shared::from(&PAGE[..]);
        assert_eq!(server.write_shared(&page, 0..10_000).await, Ok(10_000));
        assert!(taken() <= 512, "{} octets for pieces", taken());
        let heap = Rc::new(vec![9; 5000]);
        let counted = Shared::Counted(heap.clone());
        assert_eq!(server.write_shared(&counted, 0..5000).await, Ok(5000));
        drop(counted);
        assert!((5000..5512).contains(&taken()), "{} octets", taken());
        assert_eq!(Rc::strong_count(&heap), 2);
        // What is short is copied.
        assert_eq!(server.write_shared(&page, 0..100).await, Ok(100));
        assert!((7048..7560).contains(&taken()), "{} octets", taken());
        let mut all = vec![0; 15_100];
        let mut got = 0;
        while got < all.len() {
            got += client.read(&mut all[got..]).await.unwrap();
        }
        assert!(all[..10_000] == PAGE[..10_000] && all[10_000..15_000] == heap[..]);
        assert_eq!(all[15_000..], PAGE[..100]);
        sleep(Duration::from_secs(2)).await;
        assert_eq!((taken(), Rc::strong_count(&heap)), (0, 1));
        // A reset frees what was on the way.
        assert_eq!(server.write_shared(&Shared::Counted(heap.clone()), 0..5000).await, Ok(5000));
        client.abort();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(server.write_shared(&page, 0..1000).await, Err(Error::ConnectionReset));
        assert_eq!(Rc::strong_count(&heap), 1);
        drop(server);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(b.stats().tcp_buffer_octets, 0);
    });
}

#[test]
fn halves_share_and_what_is_over_is_an_error() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let octets = Shared::from(pattern(0, 4000));
        let (_, mut writer) = server.split();
        assert_eq!(writer.write_shared(&octets, 0..2000).await, Ok(2000));
        let (_reader, mut writer) = server.into_split();
        assert_eq!(writer.write_shared(&octets, 2000..4000).await, Ok(2000));
        assert_eq!(writer.write_shared(&octets, 4000..4000).await, Ok(0));
        writer.write_all(b"end").await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(writer.write_shared(&octets, 0..9).await, Err(Error::BrokenPipe));
        let mut all = vec![0; 5000];
        let mut got = 0;
        while let len @ 1.. = client.read(&mut all[got..]).await.unwrap() {
            got += len;
        }
        assert_eq!(all[..got], [pattern(0, 4000), b"end".to_vec()].concat());
    });
}
