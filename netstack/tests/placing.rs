//! Data that goes from the frame to its place in a connection's buffer, or a socket's, and is read there: one copy, or none.

mod common;

use common::*;
use embedded_io_async::Write;
use fata_libos::net::Checksum;
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep, timeout};
use fata_netstack::testing::Faults;
use fata_netstack::{Error, Stack, TcpListener, TcpStream, UdpSocket};

async fn connected(a: &Stack, b: &Stack) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(b, at(B, 80)).unwrap();
    let client = TcpStream::connect(a, at(B, 80)).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

fn send(mut stream: TcpStream, len: usize) {
    spawn(async move {
        for start in (0..len).step_by(10_000) {
            stream.write_all(&pattern(start, 10_000.min(len - start))).await.unwrap();
        }
    })
    .detach();
}

/// Reads to the end in place, a third of what is shown at a time; how much that was, and in how many looks.
async fn read_in_place(stream: &mut TcpStream) -> (usize, usize) {
    let (mut got, mut looks) = (0, 0);
    loop {
        let used = stream
            .read_with(|shown| {
                assert!(*shown == pattern(got, shown.len())[..], "at {got}");
                let used = shown.len().div_ceil(3);
                (used, used)
            })
            .await;
        match used.unwrap() {
            0 => return (got, looks),
            used => (got, looks) = (got + used, looks + 1),
        }
    }
}

#[test]
fn a_frame_whose_headers_change_after_they_were_read_is_the_one_that_was_read() {
    for faults in [
        Faults { delay: Duration::from_millis(1), ..Faults::default() },
        Faults { lose: 100, double: 100, reorder: 300, corrupt: 50, delay: Duration::from_millis(1) },
    ] {
        run(async move {
            let (hub, a, b) = pair_with(faults, true).await;
            let (client, mut server) = connected(&a, &b).await;
            send(client, 1 << 20);
            let (got, looks) = read_in_place(&mut server).await;
            assert_eq!(got, 1 << 20);
            assert!(looks > 100, "{looks}");
            // All but those that the wire broke, whose checksum had to be looked at.
            assert!(hub.placed(1) > 650, "{} of some 720 frames", hub.placed(1));
            assert_eq!(hub.placed(0), 0, "acknowledgements are short");
        });
    }
}

/// Of a device that overwrites headers as soon as they were read.
#[test]
fn long_datagrams_are_copied_once() {
    run(async {
        let (hub, a, b) = pair_with(Faults::default(), true).await;
        let client = UdpSocket::bind(&a, at(A, 0)).unwrap();
        let server = UdpSocket::bind(&b, at(B, 5)).unwrap();
        client.send_to(&pattern(0, 1400), at(B, 5)).await.unwrap();
        server.recv_from(&mut [0; 9]).await.unwrap();
        let (before, counted) = (hub.placed(1), b.stats());
        for n in 0..200 {
            client.send_to(&pattern(n, 1000 + n), at(B, 5)).await.unwrap();
            let from = client.local_addr();
            // Data is what stands there when it is copied, also where it is so near to the headers that they were read with it.
            let as_sent = |data: &[u8]| data[..24] == [0xee; 24] && data[24..] == pattern(n, 1000 + n)[24..];
            let (is_as_sent, peer) = server.recv_with(|data, peer| (as_sent(data), peer)).await.unwrap();
            assert!(is_as_sent && peer == from, "datagram {n}");
        }
        assert_eq!(hub.placed(1) - before, 200);
        let after = b.stats();
        assert_eq!(after.udp_received - counted.udp_received, 200);
        assert_eq!(after.rx_packets - counted.rx_packets, 200);
        // What is short, for nobody, or in fragments comes whole, as before.
        for (len, port) in [(100, 5), (1000, 6), (4000, 5)] {
            client.send_to(&pattern(0, len), at(B, port)).await.unwrap();
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(hub.placed(1) - before, 200);
        let mut lens = Vec::new();
        server.recv_many(9, |data, _| lens.push(data.len())).await.unwrap();
        assert_eq!((lens, b.stats().udp_no_port), (vec![100, 4000], 1));
        // A queue that is full drops, and says so, here too.
        server.set_queue_datagrams(1);
        for _ in 0..2 {
            client.send_to(&pattern(0, 1400), at(B, 5)).await.unwrap();
        }
        sleep(Duration::from_millis(10)).await;
        assert_eq!((hub.placed(1) - before, server.dropped()), (202, 1));
        assert_eq!((b.stats().udp_dropped, b.stats().udp_received), (1, after.udp_received + 3));
    });
}

#[test]
fn a_capture_gets_frames_whole() {
    run(async {
        let (hub, a, b) = pair_with(Faults::default(), true).await;
        let capture = b.capture(2 << 20, 9000).unwrap();
        let (client, mut server) = connected(&a, &b).await;
        send(client, 300_000);
        assert_eq!(read_in_place(&mut server).await.0, 300_000);
        assert_eq!(hub.placed(1), 0);
        assert!(capture.snapshot().unwrap().len() > 300_000);
    });
}

#[test]
fn what_is_not_known_to_be_good_is_looked_at_whole() {
    run(async {
        let (hub, a, b) = pair(Faults { corrupt: 100, ..Faults::default() }).await;
        let (client, mut server) = connected(&a, &b).await;
        send(client, 300_000);
        assert_eq!(read_in_place(&mut server).await.0, 300_000);
        assert_eq!(hub.placed(1), 0);
    });
}

#[test]
fn reading_in_place_waits_ends_and_fails_as_reading_does() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let (mut client, server) = connected(&a, &b).await;
        let (mut server, _writer) = server.into_split();
        let reader = spawn(async move {
            let first = server.read_with(|shown| (2, shown.to_vec())).await;
            // More than there is, is all.
            let again = server.read_with(|shown| (0, shown.to_vec())).await;
            let more = server.read_with(|shown| (usize::MAX, shown.to_vec())).await;
            let end = server.read_with(|shown| (5, shown.len())).await;
            (first, again, more, end)
        });
        sleep(Duration::from_millis(10)).await;
        client.write_all(b"abcd").await.unwrap();
        sleep(Duration::from_millis(5)).await;
        client.write_all(b"ef").await.unwrap();
        client.shutdown().await.unwrap();
        let (first, again, more, end) = reader.await;
        assert_eq!((&first.unwrap()[..], &again.unwrap()[..]), (&b"abcd"[..], &b"cd"[..]));
        assert_eq!((&more.unwrap()[..], end.unwrap()), (&b"cdef"[..], 0));
        let (mut client, mut server) = {
            let listener = TcpListener::bind(&b, at(B, 81)).unwrap();
            let client = TcpStream::connect(&a, at(B, 81)).await.unwrap();
            (client, listener.accept().await.unwrap().0)
        };
        let (mut reader, _writer) = client.split();
        let waits = reader.read_with(|shown| (0, shown.len()));
        server.write_all(b"x").await.unwrap();
        assert_eq!(waits.await.unwrap(), 1);
        server.abort();
        sleep(Duration::from_millis(10)).await;
        assert_eq!(reader.read_with(|_| (0, ())).await, Err(Error::ConnectionReset));
    });
}

#[test]
fn a_frame_is_judged_by_what_was_copied_of_it() {
    run(async {
        let (hub, a, b) = pair_with(Faults::default(), true).await;
        hub.capture();
        let (client, mut server) = connected(&a, &b).await;
        send(client, 2000);
        assert_eq!(read_in_place(&mut server).await.0, 2000);
        // Of no connection: it is looked at, refused, and copied whole.
        let mut stray = hub.captured().into_iter().find(|frame| frame.len() > 600).unwrap();
        stray[34..36].copy_from_slice(&9_u16.to_be_bytes());
        for (resets, not_ours) in [(1, 0), (0, 1)] {
            let before = b.stats();
            hub.inject_with(&stray, Checksum::Verified);
            sleep(Duration::from_millis(10)).await;
            let after = b.stats();
            assert_eq!(after.tcp_resets_sent - before.tcp_resets_sent, resets);
            assert_eq!(after.rx_not_ours - before.rx_not_ours, not_ours);
            hub.set_treacherous(1);
        }
    });
}

#[test]
fn packets_are_counted_alike_either_way() {
    let counts = [false, true].map(|captures| {
        run(async move {
            let (hub, a, b) =
                pair_with(Faults { delay: Duration::from_millis(1), ..Faults::default() }, true).await;
            let _capture = captures.then(|| b.capture(1 << 20, 9000).unwrap());
            let (client, mut server) = connected(&a, &b).await;
            send(client, 300_000);
            assert_eq!(read_in_place(&mut server).await.0, 300_000);
            assert_eq!(hub.placed(1) == 0, captures);
            (b.stats().rx_packets, b.stats().tcp_outside)
        })
    });
    assert_eq!(counts[0], counts[1]);
    assert!(counts[0].0 > 200);
}

#[test]
fn who_reads_and_writes_in_place_may_use_the_stack_and_the_connection() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let (client, server) = connected(&a, &b).await;
        let (mut reader, mut writer) = client.into_split();
        let (mut peer_reader, mut peer_writer) = server.into_split();
        let mut rows = 0;
        let text = writer.write_with(100, |room| {
            a.connections(10, &mut |_| rows += 1);
            room[..3].copy_from_slice(b"abc");
            (3, room.len())
        });
        assert_eq!(text.await.unwrap(), 100);
        assert_eq!(rows, 1);
        assert_eq!(peer_reader.read_with(|shown| (3, shown.to_vec())).await.unwrap(), b"abc");
        peer_writer.write_all(b"end").await.unwrap();
        drop(peer_writer);
        // Whoever is shown the end may finish as well, and drop what he has.
        let seen = reader.read_with(move |shown| {
            drop(writer);
            (shown.len(), shown.to_vec())
        });
        assert_eq!(seen.await.unwrap(), b"end");
        assert_eq!(reader.read_with(|shown| (0, shown.len())).await.unwrap(), 0);
        assert_eq!(peer_reader.read_with(|shown| (0, shown.len())).await.unwrap(), 0);
        // One that is reset by who writes into it.
        let (mut client, _server) = {
            let listener = TcpListener::bind(&b, at(B, 81)).unwrap();
            let client = TcpStream::connect(&a, at(B, 81)).await.unwrap();
            (client, listener.accept().await.unwrap().0)
        };
        let written = client.write_with(100, |room| {
            a.abort_all();
            (room.len(), ())
        });
        assert_eq!(written.await, Err(Error::BrokenPipe));
    });
}

#[test]
fn who_uses_nothing_is_shown_more_and_all_in_one_piece() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let (mut client, mut server) = connected(&a, &b).await;
        client.write_all(&pattern(0, 2000)).await.unwrap();
        sleep(Duration::from_millis(10)).await;
        let mut buf = [0; 1500];
        embedded_io_async::Read::read_exact(&mut server, &mut buf).await.unwrap();
        // The buffer has 2048 octets: this lies around its end.
        client.write_all(&pattern(2000, 1400)).await.unwrap();
        sleep(Duration::from_millis(10)).await;
        assert_eq!(server.read_with(|shown| (0, shown.len())).await.unwrap(), 548);
        let all = server.read_with(|shown| (0, shown.to_vec())).await.unwrap();
        assert_eq!(all, pattern(1500, 1900));
        let more = timeout(Duration::from_secs(1), server.read_with(|shown| (0, shown.len()))).await;
        assert!(more.is_err(), "nothing has come");
        client.write_all(&pattern(3400, 100)).await.unwrap();
        assert_eq!(server.read_with(|shown| (0, shown.len())).await.unwrap(), 2000);
        client.shutdown().await.unwrap();
        sleep(Duration::from_millis(10)).await;
        let last = server.read_with(|shown| (2000, shown.to_vec())).await.unwrap();
        assert_eq!(last, pattern(1500, 2000));
        assert_eq!(server.read_with(|shown| (0, shown.len())).await.unwrap(), 0);
    });
}

#[test]
fn what_is_written_in_place_arrives_as_it_was() {
    for faults in [Faults::default(), Faults { lose: 200, reorder: 300, ..Faults::default() }] {
        run(async move {
            let (_hub, a, b) = pair_with(faults, true).await;
            let (mut client, mut server) = connected(&a, &b).await;
            let sender = spawn(async move {
                let (mut sent, mut turns) = (0, 0_usize);
                while sent < 700_000 {
                    turns += 1;
                    let len = client.write_with(1 + turns * 7919 % 30_000, |room| {
                        assert!(!room.is_empty() && room.len() <= 1 + turns * 7919 % 30_000);
                        let len = room.len().div_ceil(2).min(700_000 - sent);
                        room[..len].copy_from_slice(&pattern(sent, len));
                        // What is not said to be written is not sent.
                        room[len..].fill(0xee);
                        (len, len)
                    });
                    sent += len.await.unwrap();
                }
                client.write_with(10, |_| (0, ())).await.unwrap();
                client.shutdown().await.unwrap();
                assert_eq!(client.write_with(1, |_| (1, ())).await, Err(Error::BrokenPipe));
                assert_eq!(client.write(&[]).await, Ok(0));
            });
            assert_eq!(read_in_place(&mut server).await.0, 700_000);
            sender.await;
        });
    }
}
