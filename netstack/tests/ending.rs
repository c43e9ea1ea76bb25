//! How connections end that do not end in order, and what is left of those that did.

mod common;

use common::*;
use fata_libos::net::Checksum;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep};
use fata_netstack::testing::Faults;
use fata_netstack::{Error, TcpListener, TcpStream};

/// Where a frame's TCP header begins, and in it the sequence number and the flags.
const TCP: usize = 14 + 20;
const SEQ: std::ops::Range<usize> = TCP + 4..TCP + 8;
const FLAGS: usize = TCP + 13;
const SYN: u8 = 2;
const RST: u8 = 4;

#[test]
fn all_are_reset_at_once() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        // More than the client, which does not read, has room for.
        let mut written = 0;
        while let Ok(Ok(n)) =
            fata_libos::time::timeout(Duration::from_secs(5), server.write(&[1; 4096])).await
        {
            written += n;
        }
        assert!(written > 0);
        drop(server);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(b.stats().tcp_connections, 1, "what is written waits for the client");
        b.abort_all();
        sleep(Duration::from_millis(10)).await;
        assert_eq!((b.stats().tcp_connections, b.stats().tcp_time_wait), (0, 0));
        let mut buf = [0; 4096];
        let end = loop {
            match client.read(&mut buf).await {
                Ok(0) => panic!("it looks whole"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(end, Error::ConnectionReset);
    });
}

#[test]
fn time_wait_believes_only_the_reset_that_its_own_answer_brings() {
    run(async {
        let (hub, a, b) = pair(Faults::default()).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        hub.capture();
        let client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let frames = hub.captured();
        let mut syn =
            frames.into_iter().find(|f| f.len() > FLAGS && f[12..14] == [8, 0] && f[FLAGS] == SYN).unwrap();
        drop(server);
        sleep(Duration::from_millis(10)).await;
        drop(client);
        sleep(Duration::from_millis(100)).await;
        assert_eq!(b.stats().tcp_time_wait, 1, "the side that closes first waits");

        let seq = u32::from_be_bytes(syn[SEQ].try_into().unwrap());
        for other in [0, 1, 3, 1000, 1 << 31] {
            let mut reset = syn.clone();
            reset[SEQ].copy_from_slice(&seq.wrapping_add(other).to_be_bytes());
            reset[FLAGS] = RST;
            hub.inject_with(&reset, Checksum::Verified);
        }
        sleep(Duration::from_millis(10)).await;
        assert_eq!((b.stats().tcp_time_wait, b.stats().tcp_resets_ignored), (1, 5));

        // A client that begins anew from the same port, with a lower number: it resets what it does not know.
        syn[SEQ].copy_from_slice(&seq.wrapping_sub(1000).to_be_bytes());
        hub.inject_with(&syn, Checksum::Verified);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(b.stats().tcp_time_wait, 0);
    });
}
