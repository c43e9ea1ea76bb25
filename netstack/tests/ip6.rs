//! IPv6: streams and datagrams, ICMPv6, extension headers, and sockets of both versions.

mod common;

use common::ipv6::*;
use common::pattern;
use embedded_io_async::{Read, Write};
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep, timeout};
use fata_netstack::testing::{Faults, Hub};
use fata_netstack::{Config, Error, Ipv4Config, Ipv6Config, Stack, TcpListener, TcpStream, UdpSocket};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

#[test]
fn streams_on_a_line_that_loses() {
    run(async {
        let faults = Faults { lose: 100, reorder: 100, ..Faults::default() };
        let hub = Hub::default();
        let (a, b) = pair(&hub).await;
        hub.set_faults(faults);
        let listener = TcpListener::bind(&b, at(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
        spawn(async move {
            let (stream, peer) = listener.accept().await.unwrap();
            assert_eq!(peer.ip(), IpAddr::V6(A));
            echo(stream).await;
        })
        .detach();
        let mut stream = TcpStream::connect(&a, at(B, 7)).await.unwrap();
        assert_eq!((stream.local_addr().ip(), stream.peer_addr()), (IpAddr::V6(A), at(B, 7)));
        let (mut back, mut sent) = (Vec::<u8>::new(), 0);
        let data = pattern(0, 300_000);
        while back.len() < data.len() {
            if sent - back.len() < 8192 && sent < data.len() {
                sent += stream.write(&data[sent..data.len().min(sent + 4096)]).await.unwrap();
            } else {
                let mut buf = [0; 4096];
                let len = stream.read(&mut buf).await.unwrap();
                back.extend(&buf[..len]);
            }
        }
        assert!(back == data);
        assert_eq!(a.stats().rx_bad_checksum + b.stats().rx_bad_checksum, 0);
    });
}

#[test]
fn segments_fill_the_link_and_no_more() {
    for large in [0, 60_000] {
        run(async {
            let hub = Hub::default();
            let stack = |n: u8, address, large| {
                let (stack, device) = (Stack::new(), hub.device(n, large > 0));
                if large > 0 {
                    device.set_large(large);
                }
                stack.add_interface("main", Box::new(device), only(Ipv6Config::fixed(address, 64, None)));
                stack
            };
            // What the device cuts up arrives in pieces of the link's size, which the hub looks at.
            let (a, b) = (stack(1, A, large), stack(2, B, 0));
            sleep(Duration::from_secs(3)).await;
            let listener = TcpListener::bind(&b, at(B, 7)).unwrap();
            spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut all = Vec::<u8>::new();
                let mut buf = [0; 4096];
                while let Ok(len @ 1..) = stream.read(&mut buf).await {
                    all.extend(&buf[..len]);
                }
                assert!(all == pattern(0, 200_000));
                stream.write_all(b"whole").await.unwrap();
            })
            .detach();
            hub.capture();
            let mut stream = TcpStream::connect(&a, at(B, 7)).await.unwrap();
            stream.write_all(&pattern(0, 200_000)).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"whole");
            let longest = hub.captured().iter().map(Vec::len).max().unwrap();
            match large {
                0 => assert_eq!(longest, 1514),
                _ => assert!(longest > 30_000, "{longest}"),
            }
        });
    }
}

#[test]
fn datagrams_of_all_sizes() {
    run(async {
        let hub = Hub::default();
        let (a, b) = pair(&hub).await;
        let here = UdpSocket::bind(&a, at(Ipv6Addr::UNSPECIFIED, 5)).unwrap();
        let there = UdpSocket::bind(&b, at(B, 6)).unwrap();
        hub.capture();
        for len in [0, 1, 1452, 1453, 9000, 65_507] {
            let data = pattern(len, len);
            here.send_to(&data, at(B, 6)).await.unwrap();
            let mut buf = vec![0; 65_535];
            let (got, from) = there.recv_from(&mut buf).await.unwrap();
            assert_eq!((&buf[..got], from), (&data[..], at(A, 5)));
            there.send_to(&data, from).await.unwrap();
            let (got, from) = here.recv_from(&mut buf).await.unwrap();
            assert_eq!((&buf[..got], from), (&data[..], at(B, 6)));
        }
        assert!(hub.captured().iter().all(|frame| frame.len() <= 1514));
        assert!(b.stats().fragments_reassembled >= 3);
        here.connect(at(B, 9)).unwrap();
        here.send(b"nobody").await.unwrap();
        assert_eq!(here.recv(&mut [0; 9]).await, Err(Error::ConnectionRefused));
    });
}

#[test]
fn nobody_there_and_no_way() {
    run(async {
        let hub = Hub::default();
        let (a, _b) = pair(&hub).await;
        let refused = TcpStream::connect(&a, at(B, 7)).await.err();
        assert_eq!(refused, Some(Error::ConnectionRefused));
        let silent = TcpStream::connect(&a, at(STRANGER, 7)).await.err();
        assert_eq!(silent, Some(Error::HostUnreachable));
        let elsewhere = TcpStream::connect(&a, at("2001:db8:9::1".parse().unwrap(), 7)).await.err();
        assert_eq!(elsewhere, Some(Error::NetworkUnreachable));
        let of_four = TcpStream::connect(&a, "10.0.0.1:7".parse().unwrap()).await.err();
        assert_eq!(of_four, Some(Error::NetworkUnreachable));
    });
}

/// A socket of one address sends from that one alone, and one of IPv4 to nothing else.
#[test]
fn datagrams_do_not_change_their_version() {
    run(async {
        let hub = Hub::default();
        let ipv4 = Ipv4Config::Static { address: common::A, prefix_len: 24, gateway: None };
        let (a, _) = host(&hub, 1, Config { ipv4, ..only(Ipv6Config::fixed(A, 64, None)) });
        sleep(Duration::from_secs(3)).await;
        hub.capture();
        let four = SocketAddr::new(common::B.into(), 7);
        let of_six = UdpSocket::bind(&a, at(A, 0)).unwrap();
        let of_four = UdpSocket::bind(&a, SocketAddr::new(common::A.into(), 0)).unwrap();
        let all_of_four = UdpSocket::bind(&a, (Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        assert_eq!(of_six.send_to(b"x", four).await, Err(Error::NetworkUnreachable));
        assert_eq!(of_four.send_to(b"x", at(B, 7)).await, Err(Error::Unsupported));
        assert_eq!(all_of_four.send_to(b"x", at(B, 7)).await, Err(Error::Unsupported));
        assert_eq!(sent(&hub).await, []);
    });
}

#[test]
fn a_listener_of_all_addresses_hears_both_versions_and_one_of_ipv4_that_alone() {
    run(async {
        let hub = Hub::default();
        let both = |n: u8, six: Ipv6Addr| {
            let address = Ipv4Addr::new(10, 0, 0, n);
            let ipv4 = Ipv4Config::Static { address, prefix_len: 24, gateway: None };
            host(&hub, n, Config { ipv4, ..only(Ipv6Config::fixed(six, 64, None)) }).0
        };
        let (a, b) = (both(1, A), both(2, B));
        sleep(Duration::from_secs(3)).await;
        let all = TcpListener::bind(&b, at(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
        assert_eq!(TcpListener::bind(&b, (Ipv4Addr::UNSPECIFIED, 7).into()).err(), Some(Error::AddrInUse));
        let _four = TcpListener::bind(&b, (Ipv4Addr::UNSPECIFIED, 8).into()).unwrap();
        let four_b = SocketAddr::from(([10, 0, 0, 2], 7));
        let _one = TcpStream::connect(&a, four_b).await.unwrap();
        assert_eq!(all.accept().await.unwrap().1.ip(), IpAddr::from([10, 0, 0, 1]));
        let _two = TcpStream::connect(&a, at(B, 7)).await.unwrap();
        assert_eq!(all.accept().await.unwrap().1.ip(), IpAddr::V6(A));
        // An address of IPv4 in IPv6's way of writing is one of IPv4.
        let mapped = SocketAddr::new(Ipv4Addr::new(10, 0, 0, 2).to_ipv6_mapped().into(), 7);
        let _three = TcpStream::connect(&a, mapped).await.unwrap();
        assert_eq!(all.accept().await.unwrap().1.ip(), IpAddr::from([10, 0, 0, 1]));
        let not_there = TcpStream::connect(&a, at(B, 8)).await.err();
        assert_eq!(not_there, Some(Error::ConnectionRefused));

        let all = UdpSocket::bind(&b, at(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
        assert_eq!(UdpSocket::bind(&b, (Ipv4Addr::UNSPECIFIED, 7).into()).err(), Some(Error::AddrInUse));
        let _four = UdpSocket::bind(&b, (Ipv4Addr::UNSPECIFIED, 8).into()).unwrap();
        let here = UdpSocket::bind(&a, at(Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let mut buf = [0; 9];
        for (to, from) in [(four_b, IpAddr::from([10, 0, 0, 1])), (at(B, 7), IpAddr::V6(A))] {
            here.send_to(b"hello", to).await.unwrap();
            let (_, seen) = all.recv_from(&mut buf).await.unwrap();
            assert_eq!(seen.ip(), from);
            all.send_to(b"back", seen).await.unwrap();
            assert_eq!(here.recv_from(&mut buf).await.unwrap().1, to);
        }
        here.connect(at(B, 8)).unwrap();
        here.send(b"hello").await.unwrap();
        assert_eq!(here.recv(&mut buf).await, Err(Error::ConnectionRefused));
    });
}

#[test]
fn link_local_addresses_know_their_link() {
    run(async {
        let (one, two) = (Hub::default(), Hub::default());
        let b = Stack::new();
        add(&b, &one, 2, only(Ipv6Config::auto()));
        b.add_interface("back", Box::new(two.device(2, false)), only(Ipv6Config::auto()));
        let (c, _) = host(&two, 3, only(Ipv6Config::auto()));
        sleep(Duration::from_secs(3)).await;
        let there = UdpSocket::bind(&b, at(Ipv6Addr::UNSPECIFIED, 6)).unwrap();
        let here = UdpSocket::bind(&c, at(Ipv6Addr::UNSPECIFIED, 6)).unwrap();
        let mut buf = [0; 9];
        here.send_to(b"hello", at(LOCAL_B, 6)).await.unwrap();
        let (_, from) = there.recv_from(&mut buf).await.unwrap();
        assert!(matches!(from, SocketAddr::V6(from) if from.scope_id() == 2), "{from}");
        // The answer goes where the question came from, not by the first link that there is.
        there.send_to(b"back", from).await.unwrap();
        let answered = timeout(Duration::from_secs(1), here.recv_from(&mut buf)).await;
        assert_eq!(answered.unwrap().unwrap().1.ip(), IpAddr::V6(LOCAL_B));
        // So does what is for all of a link.
        let all_of_two = SocketAddrV6::new(ALL_NODES, 6, 0, 2).into();
        there.send_to(b"all", all_of_two).await.unwrap();
        let heard = timeout(Duration::from_secs(1), here.recv_from(&mut buf)).await;
        assert_eq!(heard.unwrap().unwrap().0, 3);
        let listener = TcpListener::bind(&b, at(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
        let _stream = TcpStream::connect(&c, at(LOCAL_B, 7)).await.unwrap();
        listener.accept().await.unwrap();
    });
}

#[test]
fn a_router_in_the_way_makes_packets_smaller() {
    run(async {
        let (hub, _hosts, mut stream, mut there) = connected().await;
        hub.capture();
        hub.set_faults(Faults { delay: Duration::from_millis(20), ..Faults::default() });
        there.write_all(&pattern(0, 20_000)).await.unwrap();
        sleep(Duration::from_millis(5)).await;
        let large = hub.captured().into_iter().find(|frame| frame.len() == 1514).expect("a full one");
        let mut error = vec![2, 0, 0, 0, 0, 0, 0x05, 0x14];
        error.extend(&large[14..14 + 100]);
        hub.inject(&icmp(STRANGER, B, 64, &error));
        let mut all = vec![0; 20_000];
        stream.read_exact(&mut all).await.unwrap();
        hub.captured();
        there.write_all(&pattern(0, 20_000)).await.unwrap();
        stream.read_exact(&mut all).await.unwrap();
        let longest = hub.captured().iter().map(Vec::len).max();
        assert_eq!(longest, Some(14 + 1300));
    });
}

#[test]
fn strange_headers_are_skipped_refused_or_told() {
    run(async {
        let (hub, b, _) = alone(Ipv6Config::fixed(B, 64, None)).await;
        let ask = question(B);
        hub.inject(&icmp(STRANGER, B, 255, &ask));
        sent(&hub).await;
        let mut datagram = vec![0, 9, 0, 9, 0, 9, 0, 0, 7];
        let sum = checksum(STRANGER, B, UDP, &datagram);
        datagram[6..8].copy_from_slice(&sum);
        let socket = UdpSocket::bind(&b, at(B, 9)).unwrap();
        let mut buf = [0; 9];
        let received = |buf: &mut [u8]| socket.try_recv_from(buf).unwrap().is_some();
        // Options to skip, and a route that has ended.
        let skipped = [&[43, 0, 1, 4, 0, 0, 0, 0, 17, 0, 4, 0, 0, 0, 0, 0][..], &datagram].concat();
        hub.inject(&frame(STRANGER, B, 60, 64, &skipped));
        assert_eq!(sent(&hub).await, []);
        assert!(received(&mut buf));
        // One that goes on; an option that has to be told of; no protocol that is known.
        for (protocol, headers, code, pointer) in [
            (43, &[17, 0, 0, 1, 0, 0, 0, 0][..], 0, 42),
            (60, &[17, 0, 0x80, 4, 0, 0, 0, 0][..], 2, 42),
            (200, &[][..], 1, 6),
        ] {
            hub.inject(&frame(STRANGER, B, protocol, 64, &[headers, &datagram[..]].concat()));
            let all = sent(&hub).await;
            let (.., message) = &all[0];
            assert_eq!(
                (all.len(), &message[..2], &message[4..8]),
                (1, &[4, code][..], &[0, 0, 0, pointer][..])
            );
            assert!(!received(&mut buf));
        }
        // Without a sum there is no datagram over IPv6.
        datagram[6..8].fill(0);
        hub.inject(&frame(STRANGER, B, UDP, 64, &datagram));
        sent(&hub).await;
        assert!(!received(&mut buf));
        assert_eq!(b.stats().rx_bad_checksum, 1);
    });
}

#[test]
fn an_interface_without_ipv6_takes_none_of_it() {
    run(async {
        let hub = Hub::default();
        let (b, _) = common::host(&hub, 2, common::B, false);
        sleep(Duration::from_secs(1)).await;
        hub.capture();
        hub.inject(&advertisement(1800, 7200));
        hub.inject(&icmp(STRANGER, LOCAL_B, 64, &[128, 0, 0, 0, 1, 2, 3, 4, 5]));
        assert_eq!(sent(&hub).await, []);
        assert_eq!(b.stats().rx_unknown, 2);
        let connect = TcpStream::connect(&b, at(A, 7)).await.err();
        assert_eq!(connect, Some(Error::NetworkUnreachable));
    });
}

/// Whatever a frame of an exchange is turned into, nothing panics, nothing grows, and the host still answers.
#[test]
fn frames_with_every_bit_turned() {
    run(async {
        let (hub, b, _) = alone(Ipv6Config::auto()).await;
        let _udp = UdpSocket::bind(&b, at(Ipv6Addr::UNSPECIFIED, 9)).unwrap();
        let _tcp = TcpListener::bind(&b, at(Ipv6Addr::UNSPECIFIED, 9)).unwrap();
        let ask = question(LOCAL_B);
        let query = [vec![58, 0, 5, 2, 0, 0, 1, 0, 130, 0, 0, 0, 0, 10, 0, 0], vec![0; 20]].concat();
        let piece = [vec![17, 0, 0, 1, 9, 9, 9, 9], vec![0; 64]].concat();
        let frames = [
            advertisement(1800, 7200),
            icmp(ROUTER, LOCAL_B, 255, &ask),
            icmp(ROUTER, LOCAL_B, 64, &[128, 0, 0, 0, 1, 2, 3, 4, 5]),
            frame(ROUTER, ALL_NODES, 0, 1, &query),
            frame(ROUTER, LOCAL_B, 44, 64, &piece),
            frame(ROUTER, LOCAL_B, 60, 64, &[17, 0, 1, 4, 0, 0, 0, 0, 0, 9, 0, 9, 0, 8, 0, 0]),
        ];
        for good in &frames {
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                // With a right sum too, where it is an ICMPv6 message.
                if bad.len() > 58 && bad[20] == ICMPV6 {
                    let address =
                        |from: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&bad[from..from + 16]).unwrap());
                    let (source, destination) = (address(22), address(38));
                    let mut message = bad[54..].to_vec();
                    message[2..4].fill(0);
                    let sum = checksum(source, destination, ICMPV6, &message);
                    bad[56..58].copy_from_slice(&sum);
                }
                hub.inject(&bad);
            }
            for len in 0..good.len() {
                hub.inject(&good[..len]);
            }
            sleep(Duration::from_millis(50)).await;
        }
        hub.captured();
        sleep(Duration::from_secs(2)).await;
        hub.captured();
        hub.inject(&icmp(ROUTER, LOCAL_B, 64, &[128, 0, 0, 0, 1, 2, 3, 4, 5]));
        sleep(Duration::from_secs(4)).await;
        assert!(sent(&hub).await.iter().any(|(.., message)| message[0] == 129));
    });
}
