//! Single segments, as a stranger or somebody who means harm may send them.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep, timeout};
use fata_netstack::testing::{Faults, Hub};
use fata_netstack::{Error, Stack, TcpListener, TcpStream};

/// The checksum of a message, pseudo-header or not already summed in.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// A segment from a stranger's host 10.0.0.`host` to B.
fn segment(host: u8, ports: (u16, u16), seq: u32, ack: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    segment_with(host, ports, seq, ack, flags, 8192, data)
}

fn segment_with(
    host: u8,
    ports: (u16, u16),
    seq: u32,
    ack: u32,
    flags: u8,
    window: u16,
    data: &[u8],
) -> Vec<u8> {
    let (source, destination) = ([10, 0, 0, host], B.octets());
    let mut tcp = Vec::new();
    tcp.extend(ports.0.to_be_bytes());
    tcp.extend(ports.1.to_be_bytes());
    tcp.extend(seq.to_be_bytes());
    tcp.extend(ack.to_be_bytes());
    tcp.extend([0x50, flags]);
    tcp.extend(window.to_be_bytes());
    tcp.extend([0; 4]);
    tcp.extend(data);
    let pseudo = [&source[..], &destination[..], &[0, 6], &(tcp.len() as u16).to_be_bytes()].concat();
    let sum = checksum(&[&pseudo, &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0];
    ip[2..4].copy_from_slice(&(20 + tcp.len() as u16).to_be_bytes());
    ip.extend(source);
    ip.extend(destination);
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, host, 8, 0];
    frame.extend(ip);
    frame.extend(tcp);
    frame
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

#[test]
fn a_flood_of_syns_is_bounded_and_stops_nobody_who_is_connected() {
    run(async {
        let (hub, a, b) = pair(Faults::default()).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        for n in 0..5000u32 {
            hub.inject(&segment(100 + (n % 100) as u8, (1000 + n as u16, 80), n, 0, SYN, &[]));
            if n % 100 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        sleep(Duration::from_millis(10)).await;
        let stats = b.stats();
        assert_eq!(stats.tcp_half_open, 1024);
        assert!(stats.tcp_cookies >= 3900);
        assert!(stats.tcp_buffer_octets < 64 << 10, "no buffers for who has not answered");
        client.write_all(b"still here").await.unwrap();
        let mut buf = [0; 10];
        server.read_exact(&mut buf).await.unwrap();
        // Nor does it keep out those who come.
        hub.capture();
        let mut late = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let seen = hub.captured();
        let answer =
            seen.iter().find(|f| f[23] == 6 && f[26..30] == B.octets() && f[47] == SYN | ACK).unwrap();
        let options = fata_netstack::testing::tcp::Header::parse(&answer[34..]).unwrap().header.options;
        assert!(options.scale.is_some() && options.sack_permitted, "{options:?}");
        assert_eq!((b.stats().tcp_half_open, b.stats().tcp_cookies_good), (1024, 1));
        assert_eq!(window_of(&b, &late), 10 * 1448, "as after any other handshake");
        let data = pattern(0, 300_000);
        let echo = spawn(async move {
            let mut buf = vec![0; 300_000];
            server.read_exact(&mut buf).await.unwrap();
            server.write_all(&buf).await.unwrap();
        });
        let mut got = vec![0; 300_000];
        late.write_all(&data).await.unwrap();
        late.read_exact(&mut got).await.unwrap();
        assert!(got == data);
        echo.await;
        // Nobody gets in with an acknowledgement of nothing.
        let opened = b.stats().tcp_opened;
        for n in 0..1000 {
            hub.inject(&segment(90, (n, 80), 77, u32::from(n) << 16, ACK, &[]));
        }
        sleep(Duration::from_secs(15)).await;
        assert_eq!((b.stats().tcp_half_open, b.stats().tcp_half_open_expired), (0, 1024));
        assert_eq!((b.stats().tcp_opened, b.stats().tcp_cookies_good), (opened, 1));
        TcpStream::connect(&a, at(B, 80)).await.unwrap();
    });
}

#[test]
fn a_late_copy_reopens_nothing_while_cookies_are_given() {
    run(async {
        let hub = Hub::default();
        let (b, ib) = host(&hub, 2, B, false);
        ib.configured().await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        for n in 0..1100u32 {
            hub.inject(&segment(100 + (n % 100) as u8, (1000 + n as u16, 80), n, 0, SYN, &[]));
            if n % 100 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        sleep(Duration::from_millis(10)).await;
        hub.capture();
        let ports = (1234, 80);
        let word = |frame: &[u8], at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        let open = async |isn: u32| {
            hub.inject(&segment(9, ports, isn, 0, SYN, &[]));
            hub.inject(&arp_reply(9));
            sleep(Duration::from_millis(10)).await;
            let answer = last_from_b(&hub);
            assert_eq!((answer[47], word(&answer, 42)), (SYN | ACK, isn + 1));
            let iss = word(&answer, 38);
            let request = segment(9, ports, isn + 1, iss + 1, ACK, b"hello");
            hub.inject(&request);
            let (server, _) = listener.accept().await.unwrap();
            (server, iss, request)
        };
        let (mut server, iss, request) = open(5000).await;
        assert_eq!(b.stats().tcp_cookies_good, 1);
        server.read_exact(&mut [0; 5]).await.unwrap();
        drop(server);
        sleep(Duration::from_millis(10)).await;
        hub.inject(&segment(9, ports, 5006, iss + 2, FIN | ACK, &[]));
        sleep(Duration::from_millis(10)).await;
        assert_eq!((b.stats().tcp_connections, b.stats().tcp_time_wait), (0, 1));
        hub.captured();
        // The network has doubled the request.
        hub.inject(&request);
        assert!(timeout(Duration::from_secs(1), listener.accept()).await.is_err(), "the request came twice");
        let answer = last_from_b(&hub);
        assert_eq!((answer[47], word(&answer, 38), word(&answer, 42)), (ACK, iss + 2, 5007));
        assert_eq!((b.stats().tcp_connections, b.stats().tcp_time_wait), (0, 1));
        // The client itself may come again, with a cookie as well.
        let (mut server, ..) = open(9000).await;
        server.read_exact(&mut [0; 5]).await.unwrap();
        assert_eq!((b.stats().tcp_cookies_good, b.stats().tcp_time_wait), (2, 0));
    });
}

/// The congestion window of the other end of this connection.
fn window_of(server: &Stack, client: &TcpStream) -> usize {
    let mut window = None;
    server.connections(usize::MAX, &mut |row| {
        if row.remote == client.local_addr() {
            window = row.cwnd;
        }
    });
    window.unwrap()
}

#[test]
fn handshakes_that_are_reset_leave_nothing_behind() {
    run(async {
        let (hub, a, b) = pair(Faults::default()).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        for n in 0..5000u32 {
            let (host, ports) = (100 + (n % 100) as u8, (1000 + n as u16, 80));
            hub.inject(&segment(host, ports, n, 0, SYN, &[]));
            hub.inject(&segment(host, ports, n + 1, 0, RST, &[]));
            if n % 100 == 0 {
                sleep(Duration::from_millis(1)).await;
                let stats = b.stats();
                assert!(stats.tcp_timers <= stats.tcp_half_open, "{stats:?}");
            }
        }
        sleep(Duration::from_millis(10)).await;
        assert_eq!((b.stats().tcp_half_open, b.stats().tcp_timers), (0, 0));
        // A handshake that is completed has no timer of its own either.
        let _client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let _server = listener.accept().await.unwrap();
        assert!(b.stats().tcp_timers <= 1);
    });
}

/// The last segment that A sent to B: its source port, sequence and acknowledgement numbers.
fn last_from_a(hub: &Hub) -> (u16, u32, u32) {
    let frames = hub.captured();
    let frame = frames.iter().rev().find(|f| f.len() > 53 && f[23] == 6 && f[26..30] == A.octets()).unwrap();
    let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
    (u16::from_be_bytes([frame[34], frame[35]]), word(38), word(42))
}

#[test]
fn resets_and_syns_are_believed_only_if_they_hit_the_mark() {
    run(async {
        let (hub, a, b) = pair(Faults::default()).await;
        hub.capture();
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let mut buf = [0; 5];
        server.read_exact(&mut buf).await.unwrap();
        sleep(Duration::from_millis(100)).await;
        let (port, seq, ack) = last_from_a(&hub);
        let next = seq + 5;
        for guess in [next.wrapping_sub(1), next + 1, next + 1000, next.wrapping_sub(70_000), next + 70_000] {
            hub.inject(&segment(1, (port, 80), guess, ack, RST, &[]));
            hub.inject(&segment(1, (port, 80), guess, 0, SYN, &[]));
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(b.stats().tcp_resets_ignored, 10);
        server.write_all(b"there").await.unwrap();
        client.read_exact(&mut buf).await.unwrap();
        hub.inject(&segment(1, (port, 80), next, ack, RST, &[]));
        assert_eq!(server.read(&mut buf).await, Err(Error::ConnectionReset));
        assert_eq!(server.write(&buf).await, Err(Error::ConnectionReset));
        assert_eq!(b.stats().tcp_connections, 0);
    });
}

#[test]
fn a_reset_of_no_connection_is_dropped_with_its_reason() {
    run(async {
        let hub = Hub::default();
        let (b, ib) = host(&hub, 2, B, false);
        ib.configured().await;
        let _listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        hub.capture();
        for (port, flags) in [(80, RST), (81, RST), (80, RST | ACK)] {
            hub.inject(&segment(9, (4000, port), 1000, 7, flags, &[]));
        }
        sleep(Duration::from_millis(10)).await;
        assert_eq!(dropped(&ib, "tcp", "no_connection"), 3);
        assert_eq!((b.stats().tcp_resets_ignored, dropped(&ib, "tcp", "not_believed")), (3, 0));
        assert_eq!((b.stats().tcp_resets_sent, b.stats().tcp_connections), (0, 0));
        // What is no reset gets one, and is none of these.
        hub.inject(&segment(9, (4000, 81), 1000, 0, SYN, &[]));
        sleep(Duration::from_millis(10)).await;
        assert_eq!((b.stats().tcp_resets_sent, dropped(&ib, "tcp", "no_connection")), (1, 3));
    });
}

/// A stranger, who is there, opens a connection by hand with the number 1000: the number of the answer.
async fn first_answer(hub: &Hub, ports: (u16, u16)) -> u32 {
    hub.capture();
    hub.inject(&segment(9, ports, 1000, 0, SYN, &[]));
    hub.inject(&arp_reply(9));
    sleep(Duration::from_millis(10)).await;
    u32::from_be_bytes(last_from_b(hub)[38..42].try_into().unwrap())
}

#[test]
fn a_peer_that_restarted_is_let_in() {
    run(async {
        let hub = Hub::default();
        let (b, ib) = host(&hub, 2, B, false);
        ib.configured().await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        // A stranger opens, vanishes, and opens from the same port with another number: a challenge, its answer, and in.
        let ports = (1234, 80);
        let iss = first_answer(&hub, ports).await;
        hub.inject(&segment(9, ports, 1001, iss + 1, ACK, &[]));
        let (mut first, _) = listener.accept().await.unwrap();
        hub.inject(&segment(9, ports, 9000, 0, SYN, &[]));
        sleep(Duration::from_millis(10)).await;
        let challenge = last_from_b(&hub);
        let word = |at: usize| u32::from_be_bytes(challenge[at..at + 4].try_into().unwrap());
        assert_eq!((challenge[47], word(38), word(42)), (ACK, iss + 1, 1001));
        hub.inject(&segment(9, ports, 1001, 0, RST, &[]));
        assert_eq!(first.read(&mut [0]).await, Err(Error::ConnectionReset));
        hub.inject(&segment(9, ports, 9000, 0, SYN, &[]));
        sleep(Duration::from_millis(10)).await;
        assert_eq!(last_from_b(&hub)[47], SYN | ACK);
    });
}

#[test]
fn a_window_that_closes_on_our_end_is_not_probed_for_ever() {
    run(async {
        let hub = Hub::default();
        let (b, ib) = host(&hub, 2, B, false);
        ib.configured().await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let ports = (1234, 80);
        let iss = first_answer(&hub, ports).await;
        hub.inject(&segment_with(9, ports, 1001, iss + 1, ACK, 0, &[]));
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(b"abc").await.unwrap();
        server.shutdown().await.unwrap();
        sleep(Duration::from_secs(10)).await;
        assert!(hub.captured().len() < 10, "a probe now and then");
        // What was never sent cannot be acknowledged.
        hub.inject(&segment_with(9, ports, 1001, iss + 5, ACK, 0, &[]));
        sleep(Duration::from_millis(10)).await;
        hub.inject(&segment_with(9, ports, 1001, iss + 1, ACK, 100, &[]));
        sleep(Duration::from_millis(10)).await;
        hub.inject(&segment_with(9, ports, 1001, iss + 5, ACK, 0, &[]));
        sleep(Duration::from_millis(10)).await;
        hub.captured();
        sleep(Duration::from_secs(600)).await;
        assert_eq!(hub.captured().len(), 0, "all is said");
        drop(server);
        sleep(Duration::from_secs(31)).await;
        assert_eq!(b.stats().tcp_connections, 0);
    });
}

/// A peer that answers and never acknowledges is given up (R2 of RFC 9293, 3.8.3); while its window is closed it may take its
/// time (3.8.6.1).
#[test]
fn who_is_there_and_acknowledges_nothing_is_given_up() {
    run(async {
        let hub = Hub::default();
        let (b, ib) = host(&hub, 2, B, false);
        ib.configured().await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let ports = (1234, 80);
        let iss = first_answer(&hub, ports).await;
        hub.inject(&segment(9, ports, 1001, iss + 1, ACK, &[]));
        let (mut server, _) = listener.accept().await.unwrap();
        let says = async |acked: u32, window: u16, times: u32| {
            for _ in 0..times {
                hub.inject(&arp_reply(9));
                hub.inject(&segment_with(9, ports, 1001, iss + 1 + acked, ACK, window, &[]));
                sleep(Duration::from_secs(30)).await;
            }
        };
        server.write_all(b"abc").await.unwrap();
        says(3, 0, 1).await;
        server.write_all(b"def").await.unwrap();
        says(3, 0, 20).await;
        assert_eq!(b.stats().tcp_connections, 1, "its window is closed");
        says(3, 1, 3).await;
        assert_eq!(b.stats().tcp_connections, 1, "it has been open for less than 100 s");
        says(4, 100, 3).await;
        assert_eq!(b.stats().tcp_connections, 1, "it has taken something since");
        says(4, 100, 1).await;
        assert_eq!((b.stats().tcp_connections, b.stats().tcp_timed_out), (0, 1));
        assert_eq!(server.read(&mut [0]).await, Err(Error::TimedOut));
    });
}

fn arp_reply(host: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, host, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
    frame.extend([2, 0, 0, 0, 0, host, 10, 0, 0, host, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2]);
    frame
}

fn last_from_b(hub: &Hub) -> Vec<u8> {
    let frames = hub.captured();
    frames.into_iter().rev().find(|f| f.len() > 53 && f[23] == 6 && f[26..30] == B.octets()).unwrap()
}

#[test]
fn an_acknowledgement_outside_of_the_window_loses_nothing() {
    run(async {
        let (hub, a, b) = pair(Faults::default()).await;
        hub.capture();
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let mut buf = [0; 16];
        server.read_exact(&mut buf[..5]).await.unwrap();
        sleep(Duration::from_millis(100)).await;
        let (port, seq, ack) = last_from_a(&hub);
        hub.set_faults(Faults { lose: 10_000, ..Faults::default() });
        server.write_all(b"important").await.unwrap();
        sleep(Duration::from_millis(50)).await;
        hub.set_faults(Faults::default());
        // Off path: a wrong sequence number, an acknowledgement of what is in flight.
        hub.inject(&segment(1, (port, 80), seq.wrapping_add(500_000_000), ack + 9, ACK, &[]));
        sleep(Duration::from_millis(50)).await;
        client.write_all(b"x").await.unwrap();
        timeout(Duration::from_secs(60), client.read_exact(&mut buf[..9])).await.unwrap().unwrap();
    });
}

#[test]
fn data_with_an_ancient_acknowledgement_is_not_taken() {
    run(async {
        let (hub, a, b) = pair(Faults::default()).await;
        hub.capture();
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let mut buf = [0; 16];
        server.read_exact(&mut buf[..5]).await.unwrap();
        sleep(Duration::from_millis(100)).await;
        let (port, seq, ack) = last_from_a(&hub);
        hub.inject(&segment(1, (port, 80), seq + 5, ack.wrapping_sub(1 << 30), ACK, b"evil"));
        assert!(timeout(Duration::from_secs(1), server.read(&mut buf)).await.is_err());
    });
}

/// A server that has answered a stranger's SYN 1000, then one with the number 9000 from the same port; and its first number.
async fn two_syns_from_one_port(
    hub: &Hub,
    b: &fata_netstack::Stack,
    ports: (u16, u16),
) -> (TcpListener, u32) {
    let listener = TcpListener::bind(b, at(B, 80)).unwrap();
    hub.capture();
    hub.inject(&segment(9, ports, 1000, 0, SYN, &[]));
    hub.inject(&arp_reply(9));
    sleep(Duration::from_millis(10)).await;
    hub.inject(&segment(9, ports, 9000, 0, SYN, &[]));
    sleep(Duration::from_millis(10)).await;
    let answer = last_from_b(hub);
    let word = |at: usize| u32::from_be_bytes(answer[at..at + 4].try_into().unwrap());
    assert_eq!((answer[47], word(42)), (SYN | ACK, 1001));
    (listener, word(38))
}

#[test]
fn a_handshake_does_not_give_way_to_a_forged_syn() {
    run(async {
        let hub = Hub::default();
        let (b, ib) = host(&hub, 2, B, false);
        ib.configured().await;
        let ports = (1234, 80);
        let (listener, iss) = two_syns_from_one_port(&hub, &b, ports).await;
        hub.inject(&segment(9, ports, 1001, iss + 1, ACK, &[]));
        let _stream = listener.accept().await.unwrap();
        // Which answer it acknowledges is not known, so its round trip has no time.
        let mut times = vec![];
        b.connections(9, &mut |connection| times.push(connection.srtt));
        assert_eq!(times, [None]);
        assert_eq!((b.stats().tcp_half_open, b.stats().tcp_connections), (0, 1));
    });
}

#[test]
fn a_client_that_begins_a_handshake_anew_is_let_in() {
    run(async {
        let hub = Hub::default();
        let (b, ib) = host(&hub, 2, B, false);
        ib.configured().await;
        let ports = (1234, 80);
        let (listener, _) = two_syns_from_one_port(&hub, &b, ports).await;
        // It does not know what is acknowledged there; then it tries again.
        hub.inject(&segment(9, ports, 1001, 0, RST, &[]));
        hub.inject(&segment(9, ports, 9000, 0, SYN, &[]));
        sleep(Duration::from_millis(10)).await;
        let answer = last_from_b(&hub);
        let word = |at: usize| u32::from_be_bytes(answer[at..at + 4].try_into().unwrap());
        assert_eq!((answer[47], word(42)), (SYN | ACK, 9001));
        hub.inject(&segment(9, ports, 9001, word(38) + 1, ACK, &[]));
        listener.accept().await.unwrap();
        assert_eq!((b.stats().tcp_half_open, b.stats().tcp_connections), (0, 1));
    });
}
