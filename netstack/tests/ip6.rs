//! IPv6: addresses, neighbours, routers, ICMPv6, fragments, and sockets of both versions.

mod common;

use common::ipv6::*;
use common::pattern;
use embedded_io_async::{Read, Write};
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep, timeout};
use fata_netstack::testing::{Faults, Hub};
use fata_netstack::{Config, Error, Ipv4Config, Ipv6Config, Stack, TcpListener, TcpStream, UdpSocket};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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

/// Who is asked where he was known to be may leave out where that is, as Linux does: he is there all the same.
#[test]
fn a_neighbour_that_answers_stays() {
    run(async {
        let (hub, b, _) = alone(Ipv6Config::fixed(B, 64, None)).await;
        let ask = question(B);
        hub.inject(&icmp(STRANGER, B, 255, &ask));
        let socket = UdpSocket::bind(&b, at(B, 9)).unwrap();
        let mut probes = 0;
        for _ in 0..400 {
            socket.send_to(b"x", at(STRANGER, 9)).await.unwrap();
            for (.., message) in sent(&hub).await.iter().filter(|(.., protocol, _)| *protocol == ICMPV6) {
                if message[0] == 135 {
                    probes += 1;
                    let mut answer = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
                    answer.extend(STRANGER.octets());
                    hub.inject(&icmp(STRANGER, B, 255, &answer));
                }
            }
            sleep(Duration::from_millis(980)).await;
        }
        assert!((5..9).contains(&probes), "{probes} in 400 s");
        assert_eq!((b.stats().arp_unanswered, b.stats().arp_dropped), (0, 0));
    });
}

/// After the link was down the address is asked for again: what was there goes on then, unless it is another's now.
#[test]
fn connections_outlive_the_link_but_not_the_address() {
    run(async {
        let (hub, _hosts, mut stream, mut there) = connected().await;
        let mut buf = [0; 9];
        for taken in [false, true] {
            hub.set_up(0, false);
            sleep(Duration::from_secs(1)).await;
            stream.write_all(b"x").await.unwrap();
            hub.set_up(0, true);
            hub.capture();
            sleep(Duration::from_millis(500)).await;
            let early = packets(&hub.captured());
            assert!(
                early.iter().all(|(source, _, protocol, _)| *source != A || *protocol == ICMPV6),
                "{early:?}"
            );
            if taken {
                let mut claim = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
                claim.extend(A.octets());
                claim.extend([2, 1, 2, 0, 0, 0, 0, 9]);
                hub.inject(&icmp(A, ALL_NODES, 255, &claim));
                assert_eq!(stream.read(&mut buf).await, Err(Error::ConnectionAborted));
            } else {
                let read = timeout(Duration::from_millis(1200), there.read(&mut buf)).await;
                assert_eq!(read.expect("it goes on at once"), Ok(1));
            }
        }
    });
}

/// Who is given an address and a router believes nobody else about either.
#[test]
fn what_is_given_is_not_learned() {
    run(async {
        let router = "2001:db8::fffe".parse().unwrap();
        let (hub, b, ib) = alone(Ipv6Config::fixed(B, 64, Some(router))).await;
        hub.inject(&advertisement(1800, 7200));
        sleep(Duration::from_secs(3)).await;
        let of_b = ib.addressing().unwrap();
        assert_eq!((of_b.gateway, of_b.dns.len(), addresses(&ib).len()), (Some(IpAddr::V6(router)), 0, 2));
        hub.captured();
        let socket = UdpSocket::bind(&b, at(B, 9)).unwrap();
        socket.send_to(b"x", "[2001:db8:1::7]:9".parse().unwrap()).await.unwrap();
        let asked: Vec<_> =
            sent(&hub).await.into_iter().map(|(.., message)| message[8..24].to_vec()).collect();
        assert_eq!(asked, [router.octets().to_vec()]);
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
        let listener = TcpListener::bind(&b, at(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
        let _stream = TcpStream::connect(&c, at(LOCAL_B, 7)).await.unwrap();
        listener.accept().await.unwrap();
    });
}

#[test]
fn addresses_routers_and_name_servers_come_from_a_router_and_go_with_their_time() {
    run(async {
        let (hub, b, ib) = alone(Ipv6Config::auto()).await;
        let local: Vec<IpAddr> = addresses(&ib).iter().map(|a| a.address).collect();
        assert_eq!(local, [IpAddr::V6(LOCAL_B)]);
        assert_eq!(ib.addressing(), None);
        hub.inject(&advertisement(1800, 7200));
        let addressing = ib.configured().await;
        let own: Ipv6Addr = "2001:db8:1::ff:fe00:2".parse().unwrap();
        assert_eq!((addressing.address, addressing.prefix_len), (IpAddr::V6(own), 64));
        assert_eq!(addressing.gateway, Some(IpAddr::V6(ROUTER)));
        assert_eq!(addressing.dns, ["2001:db8:1::53".parse::<IpAddr>().unwrap()]);
        // By the router, in packets as small as it says.
        let socket = UdpSocket::bind(&b, at(Ipv6Addr::UNSPECIFIED, 5)).unwrap();
        let far: SocketAddr = "[2001:db8:9::1]:9".parse().unwrap();
        hub.captured();
        socket.send_to(&[7; 1400], far).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        let frames = hub.captured();
        let mine =
            frames.iter().filter(|f| f[38..54] == "2001:db8:9::1".parse::<Ipv6Addr>().unwrap().octets());
        let sizes: Vec<_> = mine.map(|f| (f[..6].to_vec(), f.len() - 14)).collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|(to, len)| *to == [2, 0, 0, 0, 0, 9] && *len <= 1400), "{sizes:?}");
        sleep(Duration::from_secs(1801)).await;
        assert_eq!(socket.send_to(b"x", far).await, Err(Error::NetworkUnreachable));
        assert!(ib.addressing().is_some());
        sleep(Duration::from_secs(5400)).await;
        assert_eq!((ib.addressing(), addresses(&ib).len()), (None, 1));
    });
}

#[test]
fn a_router_is_asked_for_until_one_answers() {
    run(async {
        let hub = Hub::default();
        hub.capture();
        let (_b, _) = host(&hub, 2, only(Ipv6Config::auto()));
        sleep(Duration::from_secs(40)).await;
        let count = |all: &[(Ipv6Addr, Ipv6Addr, u8, Vec<u8>)]| {
            all.iter().filter(|(.., protocol, message)| *protocol == ICMPV6 && message[0] == 133).count()
        };
        let all = sent(&hub).await;
        assert!((3..=6).contains(&count(&all)), "{}", count(&all));
        for (source, destination, protocol, message) in &all {
            if *protocol == ICMPV6 {
                assert_eq!(checksum(*source, *destination, ICMPV6, message), [0, 0]);
            }
        }
        // Its groups are told to routers of multicast: behind a header with a router alert.
        let reports = all.iter().filter(|(.., protocol, payload)| *protocol == 0 && payload[8] == 143);
        assert!(reports.count() >= 2);
        hub.inject(&advertisement(1800, 7200));
        sleep(Duration::from_secs(5)).await;
        sent(&hub).await;
        sleep(Duration::from_secs(4000)).await;
        assert_eq!(count(&sent(&hub).await), 0);
    });
}

#[test]
fn an_address_that_another_has_is_not_used() {
    run(async {
        let hub = Hub::default();
        let (_a, _) = host(&hub, 1, only(Ipv6Config::fixed(A, 64, None)));
        sleep(Duration::from_secs(3)).await;
        let (_b, ib) = host(&hub, 2, only(Ipv6Config::fixed(A, 64, None)));
        sleep(Duration::from_secs(3)).await;
        assert_eq!(ib.addressing(), None);
        assert_eq!(addresses(&ib).len(), 1, "the link-local one");
    });
}

/// Who says that it has an address of ours is answered once, however often it says so.
#[test]
fn an_address_is_defended() {
    run(async {
        let (hub, b, ib) = alone(Ipv6Config::fixed(B, 64, None)).await;
        // As one does who has it: from it.
        let mut claim = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
        claim.extend(B.octets());
        claim.extend([2, 1, 2, 0, 0, 0, 0, 9]);
        for _ in 0..1000 {
            hub.inject(&icmp(B, ALL_NODES, 255, &claim));
        }
        let all = sent(&hub).await;
        let (source, destination, _, message) = &all[0];
        assert_eq!((all.len(), *source, *destination), (1, B, ALL_NODES));
        assert_eq!(
            (&message[..5], &message[8..24]),
            (&[136, 0, message[2], message[3], 0x20][..], &B.octets()[..])
        );
        assert_eq!(b.stats().arp_conflicts, 1000);
        assert_eq!(ib.addressing().map(|a| a.address), Some(IpAddr::V6(B)));
    });
}

#[test]
fn neighbours_are_answered_and_remembered() {
    run(async {
        let (hub, _b, _) = alone(Ipv6Config::fixed(B, 64, None)).await;
        let group = Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0002);
        let mut ask = question(B);
        hub.inject(&icmp(STRANGER, group, 255, &ask));
        let all = sent(&hub).await;
        let (source, destination, _, message) = &all[0];
        assert_eq!((all.len(), *source, *destination, message[0], message[4]), (1, B, STRANGER, 136, 0x60));
        assert_eq!((&message[8..24], &message[24..]), (&B.octets()[..], &[2, 1, 2, 0, 0, 0, 0, 2][..]));
        // From beyond the link, for somebody else, with a wrong sum: no answer.
        hub.inject(&icmp(STRANGER, group, 254, &ask));
        let mut wrong = icmp(STRANGER, group, 255, &ask);
        *wrong.last_mut().unwrap() ^= 1;
        hub.inject(&wrong);
        ask[8..24].copy_from_slice(&A.octets());
        hub.inject(&icmp(STRANGER, group, 255, &ask));
        assert_eq!(sent(&hub).await, []);
        // The stranger is known by his question: the answer to his echo goes to him at once.
        hub.inject(&icmp(STRANGER, B, 64, &[128, 0, 0, 0, 1, 2, 3, 4, 5]));
        let all = sent(&hub).await;
        let reply = all.iter().find(|(.., message)| message[0] == 129).expect("a reply");
        assert_eq!((reply.0, reply.1, &reply.3[4..]), (B, STRANGER, &[1, 2, 3, 4, 5][..]));
        assert_eq!(checksum(B, STRANGER, ICMPV6, &reply.3), [0, 0]);
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
