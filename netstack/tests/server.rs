//! What a server meets: many connections, full backlogs, peers that never finish.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, Instant, sleep, timeout};
use fata_netstack::testing::Faults;
use fata_netstack::{Buffers, Error, TcpListener, TcpStream};

const SMALL: Buffers = Buffers { receive: 2048, send: 2048 };

#[test]
fn a_thousand_connections_at_once() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        listener.set_backlog(1000);
        listener.set_buffers(SMALL);
        let server = spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                spawn(async move {
                    let mut buf = [0; 100];
                    while let Ok(n @ 1..) = stream.read(&mut buf).await {
                        stream.write_all(&buf[..n]).await.unwrap();
                    }
                })
                .detach();
            }
        });
        let mut open = Vec::new();
        for n in 0..1000u32 {
            let mut stream = TcpStream::connect_with(&a, at(B, 80), SMALL).await.unwrap();
            stream.write_all(&n.to_be_bytes()).await.unwrap();
            open.push(stream);
        }
        for (n, stream) in open.iter_mut().enumerate() {
            let mut got = [0; 4];
            stream.read_exact(&mut got).await.unwrap();
            assert_eq!(u32::from_be_bytes(got), n as u32);
        }
        assert_eq!(b.stats().tcp_connections, 1000);
        drop(open);
        sleep(Duration::from_secs(1)).await;
        assert_eq!((b.stats().tcp_connections, b.stats().tcp_buffer_octets), (0, 0));
        assert_eq!(a.stats().tcp_time_wait, 1000, "the side that closes first waits");
        sleep(Duration::from_secs(60)).await;
        assert_eq!(a.stats().tcp_time_wait, 0);
        drop(server);
    });
}

#[test]
fn a_full_backlog_makes_others_wait() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        listener.set_backlog(2);
        let _first = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let _second = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let late = spawn({
            let a = a.clone();
            async move { TcpStream::connect(&a, at(B, 80)).await }
        });
        sleep(Duration::from_millis(500)).await;
        assert!(b.stats().tcp_backlog_dropped > 0);
        assert_eq!(b.stats().tcp_connections, 2);
        listener.accept().await.unwrap();
        let start = Instant::now();
        late.await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(2), "let in when it asks again");
    });
}

#[test]
fn memory_for_connections_has_a_limit() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        b.set_memory_limit(100 << 10);
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut open = Vec::new();
        while let Ok(Ok(stream)) = timeout(Duration::from_secs(3), TcpStream::connect(&a, at(B, 80))).await {
            open.push((stream, listener.accept().await.unwrap()));
        }
        assert!((20..40).contains(&open.len()), "{} connections", open.len());
        assert!(b.stats().tcp_buffer_octets <= 100 << 10);
        assert!(b.stats().tcp_refused_memory > 0);
        open.pop();
        sleep(Duration::from_secs(1)).await;
        TcpStream::connect(&a, at(B, 80)).await.unwrap();
    });
}

#[test]
fn dead_peers_do_not_stay() {
    run(async {
        let (hub, a, b) = pair(Faults::default()).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut silent = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (idle, _) = listener.accept().await.unwrap();
        idle.set_keep_alive(Some(Duration::from_secs(10)));
        let mut other = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (quiet, _) = listener.accept().await.unwrap();
        sleep(Duration::from_secs(600)).await;
        assert_eq!(b.stats().tcp_connections, 2, "who answers, or is not asked, stays");
        hub.set_faults(Faults { lose: 10_000, ..Faults::default() });
        silent.write_all(b"lost").await.unwrap();
        let start = Instant::now();
        assert_eq!(silent.read(&mut [0]).await, Err(Error::TimedOut));
        assert_eq!(start.elapsed().as_secs(), 100);
        assert_eq!(b.stats().tcp_connections, 1, "the idle one was found dead by its probes");
        assert_eq!(b.stats().tcp_timed_out, 1);
        drop((idle, quiet));
        sleep(Duration::from_secs(40)).await;
        assert_eq!(
            (b.stats().tcp_connections, b.stats().tcp_buffer_octets),
            (0, 0),
            "what is dropped is gone"
        );
        assert_eq!(timeout(Duration::from_secs(1), other.read(&mut [0])).await.ok(), None);
    });
}

/// What is on its way arrives although its sender has gone, however slowly it is read; who stops reading is not waited for.
#[test]
fn what_was_written_is_read_to_its_end() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let buffers = Buffers { receive: 1024, send: 1024 };
        let mut client = TcpStream::connect_with(&a, at(B, 80), buffers).await.unwrap();
        let mut silent = TcpStream::connect_with(&a, at(B, 80), buffers).await.unwrap();
        for _ in 0..2 {
            let (mut server, _) = listener.accept().await.unwrap();
            server.write_all(&pattern(0, 15_000)).await.unwrap();
        }
        let mut got = vec![0; 15_000];
        for part in got.chunks_mut(100) {
            client.read_exact(part).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        assert!(got == pattern(0, 15_000));
        assert_eq!(client.read(&mut [0]).await, Ok(0));
        drop(client);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(b.stats().tcp_connections, 0, "nor is there one to the silent client");
        assert_eq!(silent.read_exact(&mut got).await, Err(Error::ConnectionReset.into()));

        // Where others need the memory, reading slowly keeps nothing.
        let mut slow = TcpStream::connect_with(&a, at(B, 80), buffers).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(&pattern(0, 15_000)).await.unwrap();
        drop(server);
        b.set_memory_limit(16 << 10);
        let start = Instant::now();
        while slow.read_exact(&mut got[..100]).await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
        assert!((29..33).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    });
}

#[test]
fn a_connect_without_an_answer_times_out() {
    run(async {
        let (hub, a, b) = pair(Faults::default()).await;
        let _listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        TcpStream::connect(&a, at(B, 80)).await.unwrap();
        hub.set_faults(Faults { lose: 10_000, ..Faults::default() });
        let start = Instant::now();
        assert_eq!(TcpStream::connect(&a, at(B, 80)).await.unwrap_err(), Error::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 30);
        assert_eq!(a.stats().tcp_connections, 0);
    });
}

#[test]
fn ends_in_every_order() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let open = async || {
            let client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
            (client, listener.accept().await.unwrap().0)
        };
        let mut buf = [0; 16];

        // One side finishes, the other goes on, then finishes.
        let (mut client, mut server) = open().await;
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(client.write(b"x").await, Err(Error::BrokenPipe));
        server.read_exact(&mut buf[..8]).await.unwrap();
        assert_eq!(server.read(&mut buf).await, Ok(0));
        server.write_all(b"answer").await.unwrap();
        server.shutdown().await.unwrap();
        client.read_exact(&mut buf[..6]).await.unwrap();
        assert_eq!(client.read(&mut buf).await, Ok(0));
        assert_eq!(client.read(&mut buf).await, Ok(0));

        // Both at once.
        let (mut client, mut server) = open().await;
        client.shutdown().await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(client.read(&mut buf).await, Ok(0));
        assert_eq!(server.read(&mut buf).await, Ok(0));

        // Dropped with data on its way, which still arrives.
        let (mut client, server) = open().await;
        client.write_all(b"last words").await.unwrap();
        drop(client);
        let mut server = server;
        sleep(Duration::from_secs(1)).await;
        server.read_exact(&mut buf[..10]).await.unwrap();
        assert_eq!(server.read(&mut buf).await, Ok(0));

        // Dropped while the peer still sends: it is drained, not reset.
        let (mut client, server) = open().await;
        drop(server);
        for _ in 0..20 {
            client.write_all(&[7; 4096]).await.unwrap();
        }
        assert_eq!(client.read(&mut buf).await, Ok(0));
        drop(client);

        // Aborted.
        let (client, mut server) = open().await;
        client.abort();
        assert_eq!(server.read(&mut buf).await, Err(Error::ConnectionReset));

        // Reset when a listener goes that never accepted it.
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        sleep(Duration::from_millis(10)).await;
        drop(listener);
        assert_eq!(client.read(&mut buf).await, Err(Error::ConnectionReset));

        sleep(Duration::from_secs(70)).await;
        for stack in [&a, &b] {
            let stats = stack.stats();
            assert_eq!((stats.tcp_connections, stats.tcp_time_wait), (0, 0));
        }
    });
}

#[test]
fn what_waits_can_be_dropped() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        assert!(timeout(Duration::from_secs(1), listener.accept()).await.is_err());
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut buf = vec![0; 100_000];
        assert!(timeout(Duration::from_secs(1), client.read(&mut buf)).await.is_err());
        let big = vec![1; 300_000];
        assert!(timeout(Duration::from_secs(1), client.write_all(&big)).await.is_err());
        let mut got = 0;
        while let Ok(Ok(n)) = timeout(Duration::from_secs(1), server.read(&mut buf)).await {
            got += n;
        }
        assert!(got > 65_535 && got < 300_000, "{got}");
        client.write_all(b"on").await.unwrap();
        assert_eq!(server.read(&mut buf).await, Ok(2));
        // A connect that is dropped leaves nothing behind.
        assert!(
            timeout(Duration::from_millis(1), TcpStream::connect(&a, at([10, 0, 0, 77].into(), 80)))
                .await
                .is_err()
        );
        sleep(Duration::from_secs(40)).await;
        assert_eq!(a.stats().tcp_connections, 1);
    });
}

#[test]
fn one_address_one_listener() {
    run(async {
        let (_hub, _a, b) = pair(Faults::default()).await;
        let any = at([0, 0, 0, 0].into(), 80);
        let listener = TcpListener::bind(&b, any).unwrap();
        assert_eq!(TcpListener::bind(&b, any).unwrap_err(), Error::AddrInUse);
        assert_eq!(TcpListener::bind(&b, at(A, 80)).unwrap_err(), Error::AddrNotAvailable);
        drop(listener);
        TcpListener::bind(&b, any).unwrap();
    });
}
