//! ARP, ICMP, fragments, UDP, several interfaces, and cables that come and go.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, Instant, sleep, timeout};
use fata_netstack::testing::{Faults, Hub};
use fata_netstack::{Config, Error, Ipv4Config, Resolver, Stack, TcpListener, TcpStream, UdpSocket};
use std::net::{IpAddr, Ipv4Addr};

fn checksum(data: &[u8]) -> [u8; 2] {
    let mut sum = 0u64;
    for pair in data.chunks(2) {
        sum += u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (!(sum as u16)).to_be_bytes()
}

/// A packet from the stranger 10.0.0.9 to B; `cut` is the field of flags and offset.
fn packet(protocol: u8, ident: u16, cut: u16, payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 9, 10, 0, 0, 2];
    ip[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    ip[4..6].copy_from_slice(&ident.to_be_bytes());
    ip[6..8].copy_from_slice(&cut.to_be_bytes());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9, 8, 0];
    frame.extend(ip);
    frame.extend(payload);
    frame
}

fn echo_request(data: &[u8]) -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 1, 2, 3, 4];
    message.extend(data);
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    message
}

/// The fragments of a message, of `step` octets each.
fn fragments(protocol: u8, ident: u16, message: &[u8], step: usize) -> Vec<Vec<u8>> {
    let count = message.len().div_ceil(step);
    let cut = |n: usize| (n * step / 8) as u16 | if n + 1 < count { 0x2000 } else { 0 };
    message.chunks(step).enumerate().map(|(n, part)| packet(protocol, ident, cut(n), part)).collect()
}

/// B alone on a hub, with a stranger at 10.0.0.9 whose hardware address it knows.
async fn alone() -> (Hub, Stack) {
    let hub = Hub::default();
    let (b, ib) = host(&hub, 2, B, false);
    ib.configured().await;
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    frame.extend([2, 0, 0, 0, 0, 9, 10, 0, 0, 9, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    hub.inject(&frame);
    sleep(Duration::from_millis(1)).await;
    hub.capture();
    (hub, b)
}

/// What B sent to the stranger, put together.
async fn answer(hub: &Hub) -> Vec<u8> {
    sleep(Duration::from_millis(10)).await;
    let mut whole = Vec::new();
    for frame in hub.captured() {
        if frame[12..14] == [8, 0] && frame[26..30] == B.octets() {
            assert!(frame.len() <= 1514);
            assert_eq!(checksum(&frame[14..34]), [0, 0]);
            let offset = usize::from(u16::from_be_bytes([frame[20], frame[21]]) & 0x1fff) * 8;
            assert_eq!(offset, whole.len());
            whole.extend(&frame[34..]);
        }
    }
    whole
}

#[test]
fn pings_of_all_sizes() {
    run(async {
        let (hub, b) = alone().await;
        for len in [0, 56, 1472, 1473, 4000, 65_507] {
            let request = echo_request(&pattern(0, len));
            let mut frames = fragments(1, len as u16, &request, 1480);
            frames.reverse();
            frames.iter().for_each(|f| hub.inject(f));
            let reply = answer(&hub).await;
            assert_eq!(reply.len(), request.len(), "{len}");
            assert_eq!((reply[0], &reply[4..]), (0, &request[4..]));
            assert_eq!(checksum(&reply), [0, 0]);
        }
        assert_eq!(b.stats().icmp_echoes, 6);
        let request = echo_request(&[1, 2, 3]);
        let mut bad = packet(1, 0, 0, &request);
        *bad.last_mut().unwrap() ^= 1;
        hub.inject(&bad);
        assert_eq!(answer(&hub).await, []);
        assert_eq!(b.stats().rx_bad_checksum, 1);
    });
}

#[test]
fn fragments_that_overlap_or_never_end() {
    run(async {
        let (hub, b) = alone().await;
        let request = echo_request(&[7; 3000]);
        let mut frames = fragments(1, 1, &request, 1480);
        frames.insert(1, packet(1, 1, 0x2000 | 100, &[9; 800]));
        frames.iter().for_each(|f| hub.inject(f));
        assert_eq!(answer(&hub).await, []);
        for ident in 0..2000 {
            hub.inject(&packet(1, ident, 0x2000 | 1000, &[0; 1400]));
        }
        sleep(Duration::from_secs(31)).await;
        hub.captured();
        fragments(1, 9, &request, 1480).iter().for_each(|f| hub.inject(f));
        assert_eq!(answer(&hub).await.len(), request.len());
        assert!(b.stats().fragments_dropped > 0);
    });
}

#[test]
fn who_does_not_answer_arp_is_not_there() {
    run(async {
        let (_hub, a, _b) = pair(Faults::default()).await;
        let start = Instant::now();
        let nobody = at(Ipv4Addr::new(10, 0, 0, 77), 80);
        assert_eq!(TcpStream::connect(&a, nobody).await.unwrap_err(), Error::HostUnreachable);
        assert!(start.elapsed() < Duration::from_secs(5));
        let elsewhere = at(Ipv4Addr::new(192, 168, 0, 1), 80);
        assert_eq!(TcpStream::connect(&a, elsewhere).await.unwrap_err(), Error::NetworkUnreachable);
        assert_eq!(a.stats().tcp_connections, 0);
    });
}

#[test]
fn datagrams() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let server = UdpSocket::bind(&b, at(Ipv4Addr::UNSPECIFIED, 53)).unwrap();
        assert_eq!(UdpSocket::bind(&b, at(B, 53)).unwrap_err(), Error::AddrInUse);
        let client = UdpSocket::bind(&a, at(Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let mut buf = vec![0; 65_536];
        for len in [0, 1, 1472, 1473, 65_507] {
            let data = pattern(len, len);
            client.send_to(&data, at(B, 53)).await.unwrap();
            let (n, from) = server.recv_from(&mut buf).await.unwrap();
            assert_eq!((&buf[..n], from), (&data[..], at(A, client.local_addr().port())));
            server.send_to(&data, from).await.unwrap();
            assert_eq!(client.recv_from(&mut buf).await.unwrap(), (len, at(B, 53)));
        }
        assert_eq!(client.send_to(&[0; 65_508], at(B, 53)).await.unwrap_err(), Error::MessageTooLong);
        // Nobody there: a connected socket is told, and so is nobody else.
        assert_eq!(client.send(b"x").await.unwrap_err(), Error::NotConnected);
        client.connect(at(B, 54)).unwrap();
        client.send(b"x").await.unwrap();
        assert_eq!(client.recv(&mut buf).await, Err(Error::ConnectionRefused));
        assert_eq!(b.stats().udp_no_port, 1);
        // A queue that nobody reads is bounded.
        client.connect(at(B, 53)).unwrap();
        for _ in 0..1000 {
            client.send(&[1; 1000]).await.unwrap();
        }
        sleep(Duration::from_millis(10)).await;
        assert!(server.dropped() > 700 && server.dropped() == b.stats().udp_dropped);
    });
}

#[test]
fn unreachable_messages_are_rationed() {
    run(async {
        let (hub, b) = alone().await;
        for _ in 0..500 {
            hub.inject(&packet(17, 0, 0, &[0, 1, 0, 99, 0, 8, 0, 0]));
        }
        sleep(Duration::from_millis(10)).await;
        let stats = b.stats();
        assert_eq!(stats.udp_no_port, 500);
        assert!(stats.icmp_limited >= 440, "{}", stats.icmp_limited);
    });
}

#[test]
fn two_interfaces() {
    run(async {
        let (left, right) = (Hub::default(), Hub::default());
        let router = Ipv4Addr::new(10, 0, 1, 1);
        let (near, _) = host(&left, 1, A, false);
        let far = Stack::new();
        let ipv4 = |address: [u8; 4], gateway| Ipv4Config::Static {
            address: address.into(),
            prefix_len: 24,
            gateway,
        };
        let config = |ipv4| Config { ipv4, ..Config::default() };
        far.add_interface("main", Box::new(right.device(9, false)), config(ipv4([10, 0, 1, 1], None)));
        let middle = Stack::new();
        middle.add_interface("left", Box::new(left.device(2, false)), config(ipv4([10, 0, 0, 2], None)));
        middle.add_interface(
            "right",
            Box::new(right.device(3, true)),
            config(ipv4([10, 0, 1, 2], Some(router))),
        );
        for interface in middle.interfaces() {
            interface.configured().await;
        }
        sleep(Duration::from_millis(1)).await;
        let any = TcpListener::bind(&middle, at(Ipv4Addr::UNSPECIFIED, 80)).unwrap();
        let one = TcpListener::bind(&middle, at(Ipv4Addr::new(10, 0, 1, 2), 81)).unwrap();
        TcpStream::connect(&near, at(B, 80)).await.unwrap();
        assert_eq!(any.accept().await.unwrap().0.local_addr(), at(B, 80));
        TcpStream::connect(&far, at(Ipv4Addr::new(10, 0, 1, 2), 81)).await.unwrap();
        assert_eq!(one.accept().await.unwrap().1.ip(), router);
        assert_eq!(TcpStream::connect(&near, at(B, 81)).await.unwrap_err(), Error::ConnectionRefused);
        // Out by the interface that leads there; to strangers by the one with the gateway.
        let listener = TcpListener::bind(&far, at(router, 80)).unwrap();
        let stream = TcpStream::connect(&middle, at(router, 80)).await.unwrap();
        assert_eq!(stream.local_addr().ip(), Ipv4Addr::new(10, 0, 1, 2));
        drop(listener);
        right.capture();
        let socket = UdpSocket::bind(&middle, at(Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.send_to(b"hi", at(Ipv4Addr::new(8, 8, 8, 8), 53)).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        assert!(right.captured().iter().any(|f| f[..6] == [2, 0, 0, 0, 0, 9] && f[30..34] == [8; 4]));
    });
}

#[test]
fn a_cable_out_and_in_again() {
    run(async {
        let (hub, a, b) = pair(Faults::default()).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        for n in 0..5u8 {
            hub.set_up(1, false);
            client.write_all(&[n; 1000]).await.unwrap();
            sleep(Duration::from_secs(2)).await;
            hub.capture();
            hub.set_up(1, true);
            let mut buf = [0; 1000];
            server.read_exact(&mut buf).await.unwrap();
            assert_eq!(buf, [n; 1000]);
            let announced =
                |f: &Vec<u8>| f[12..14] == [8, 6] && f[28..32] == B.octets() && f[38..42] == B.octets();
            sleep(Duration::from_secs(5)).await;
            let count = hub.captured().iter().filter(|f| announced(f)).count();
            assert_eq!(count, 2, "it says that it is there, and once more");
        }
        // Long enough to be given up, and no connection is made meanwhile.
        hub.set_up(0, false);
        client.write_all(b"lost").await.unwrap();
        let start = Instant::now();
        assert_eq!(TcpStream::connect(&a, at(B, 80)).await.unwrap_err(), Error::TimedOut);
        assert_eq!(client.read(&mut [0]).await, Err(Error::TimedOut));
        assert_eq!(start.elapsed().as_secs(), 100);
        assert_eq!(a.stats().tcp_connections, 0);
    });
}

#[test]
fn a_device_with_little_room_loses_nothing() {
    run(async {
        let hub = Hub::default();
        let device = hub.device(1, true);
        device.set_room(2);
        let a = Stack::new();
        a.add_interface("main", Box::new(device), fixed(A)).configured().await;
        let (b, ib) = host(&hub, 2, B, true);
        ib.configured().await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let reader = spawn(async move {
            let (mut buf, mut got) = (vec![0; 5000], 0);
            while let Ok(n @ 1..) = server.read(&mut buf).await {
                assert_eq!(buf[..n], pattern(got, n));
                got += n;
            }
            got
        });
        client.write_all(&pattern(0, 1 << 20)).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(reader.await, 1 << 20);
        assert_eq!(a.stats().tcp_retransmits, 0);
    });
}

/// A name server that knows a few names, after staying silent so many times.
async fn name_server(stack: Stack, mut silent: u32) {
    let socket = UdpSocket::bind(&stack, at(B, 53)).unwrap();
    let mut buf = [0; 512];
    loop {
        let (len, from) = socket.recv_from(&mut buf).await.unwrap();
        if silent > 0 {
            silent -= 1;
            continue;
        }
        let mut reply = buf[..len].to_vec();
        reply[2..4].copy_from_slice(&[0x81, 0x80]);
        let record: &[u8] = match buf[12..len - 4].as_ref() {
            b"\x03www\x07example\0" => b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x06\x03web\xc0\x10",
            b"\x03web\x07example\0" => b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x07",
            b"\x04mute\0" => continue,
            b"\x04long\0" | b"\x06longer\0" => {
                reply[2] = 0x83;
                socket.send_to(&reply, from).await.unwrap();
                continue;
            }
            b"\x04deny\0" => {
                reply[3] = 0x85;
                socket.send_to(&reply, from).await.unwrap();
                continue;
            }
            _ => &[],
        };
        if record.is_empty() {
            reply[3] = 0x83;
        } else {
            reply[7] = 1;
            reply.extend(record);
        }
        // A forger who does not know the number is not believed.
        let mut forged = reply.clone();
        forged[0] ^= 1;
        socket.send_to(&forged, from).await.unwrap();
        socket.send_to(&reply, from).await.unwrap();
    }
}

/// Knows what does not fit into a datagram: of `longer` only half an answer.
async fn name_server_over_tcp(stack: Stack) {
    let listener = TcpListener::bind(&stack, at(B, 53)).unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut len = [0; 2];
        stream.read_exact(&mut len).await.unwrap();
        let mut reply = vec![0; u16::from_be_bytes(len).into()];
        stream.read_exact(&mut reply).await.unwrap();
        let is_longer = reply[12] == 6;
        reply[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
        reply.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x08");
        stream.write_all(&(reply.len() as u16).to_be_bytes()).await.unwrap();
        reply.truncate(reply.len() / if is_longer { 2 } else { 1 });
        stream.write_all(&reply).await.unwrap();
    }
}

#[test]
fn what_does_not_fit_into_a_datagram_is_asked_for_over_tcp() {
    run(async {
        let hub = Hub::default();
        let a = Stack::new();
        let config = Config { dns: vec![B.into()], ..fixed(A) };
        a.add_interface("main", Box::new(hub.device(1, false)), config).configured().await;
        let (b, ib) = host(&hub, 2, B, false);
        ib.configured().await;
        spawn(name_server(b.clone(), 0)).detach();
        let resolver = Resolver::new(&a);
        assert_eq!(resolver.resolve("long").await, Err(Error::ResolveFailed), "nothing listens there");
        spawn(name_server_over_tcp(b.clone())).detach();
        assert_eq!(resolver.resolve("long").await, Ok(vec![IpAddr::from([10, 0, 0, 8])]));
        assert_eq!(resolver.resolve("longer").await, Err(Error::ResolveFailed));
        assert_eq!(resolver.resolve("long").await, Ok(vec![IpAddr::from([10, 0, 0, 8])]));
        assert_eq!(a.stats().dns_queries, 5);
    });
}

#[test]
fn servers_that_refuse_are_not_asked_again() {
    run(async {
        let hub = Hub::default();
        let a = Stack::new();
        let config = Config { dns: vec![B.into()], ..fixed(A) };
        a.add_interface("main", Box::new(hub.device(1, false)), config).configured().await;
        let (b, ib) = host(&hub, 2, B, false);
        ib.configured().await;
        spawn(name_server(b.clone(), 0)).detach();
        assert_eq!(Resolver::new(&a).resolve("deny").await, Err(Error::ResolveFailed));
        assert_eq!(a.stats().dns_queries, 1);
    });
}

#[test]
fn names() {
    run(async {
        let hub = Hub::default();
        let a = Stack::new();
        let dead = IpAddr::from([10, 0, 0, 99]);
        let config = Config { dns: vec![dead, B.into()], ..fixed(A) };
        a.add_interface("main", Box::new(hub.device(1, false)), config).configured().await;
        let (b, ib) = host(&hub, 2, B, false);
        ib.configured().await;
        spawn(name_server(b.clone(), 1)).detach();
        let resolver = Resolver::new(&a);
        let web = vec![IpAddr::from([10, 0, 0, 7])];
        assert_eq!(resolver.resolve("www.example").await, Ok(web.clone()));
        let asked = a.stats().dns_queries;
        assert_eq!(resolver.resolve("WEB.example.").await, Ok(web.clone()));
        assert_eq!(resolver.resolve("10.1.2.3").await, Ok(vec![IpAddr::from([10, 1, 2, 3])]));
        assert_eq!(a.stats().dns_queries, asked, "from the cache");
        sleep(Duration::from_secs(61)).await;
        assert_eq!(resolver.resolve("web.example").await, Ok(web));
        assert!(a.stats().dns_queries > asked);
        assert_eq!(resolver.resolve("nobody.example").await, Err(Error::NameNotFound));
        let asked = a.stats().dns_queries;
        assert_eq!(resolver.resolve("nobody.example").await, Err(Error::NameNotFound));
        assert_eq!(a.stats().dns_queries, asked);
        assert_eq!(resolver.resolve("no good").await, Err(Error::InvalidInput));
        let start = Instant::now();
        assert_eq!(resolver.resolve("mute").await, Err(Error::TimedOut));
        assert_eq!(start.elapsed(), Duration::from_secs(14));
        assert!(timeout(Duration::from_secs(1), resolver.resolve("mute")).await.is_err(), "not remembered");
    });
}
