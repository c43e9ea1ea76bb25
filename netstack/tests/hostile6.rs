//! What a neighbour that means ill, or somebody beyond the link, does to a host of IPv6.

mod common;

use common::ipv6::*;
use common::pattern;
use embedded_io_async::{Read, Write};
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, Instant, sleep, timeout};
use fata_netstack::testing::Hub;
use fata_netstack::{
    Config, Error, Interface, Ipv4Config, Ipv6Config, Stack, TcpListener, TcpStream, UdpSocket,
};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The group in which B's address is asked for.
const GROUP_B: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 2);
/// The next header of fragments (RFC 8200 section 4.5).
const FRAGMENT: u8 = 44;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// A message about a neighbour, with its hardware address if one is named.
fn about(kind: u8, flags: u8, target: Ipv6Addr, mac: Option<[u8; 6]>) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    if let Some(mac) = mac {
        message.extend([kind - 134, 1]);
        message.extend(mac);
    }
    message
}

fn host_of(net: u128, n: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(net << 64 | 0xbad << 32 | u128::from(n))
}

/// One of many on the link, and its hardware address.
fn one_of_many(n: u32) -> (Ipv6Addr, [u8; 6]) {
    let [a, b, c, d] = n.to_be_bytes();
    (host_of(0x2001_0db8_0000_0000, n), [2, 7, a, b, c, d])
}

/// What B sent: where it goes on the link, and the packet.
fn of_b(hub: &Hub) -> Vec<([u8; 6], Vec<u8>)> {
    let mut frames = hub.captured();
    frames.retain(|frame| frame[6..12] == [2, 0, 0, 0, 0, 2] && frame[12..14] == [0x86, 0xdd]);
    frames.into_iter().map(|f| (f[..6].try_into().unwrap(), f[14..].to_vec())).collect()
}

/// Whether a packet asks for that neighbour.
fn asks_for(packet: &[u8], target: Ipv6Addr) -> bool {
    packet[6] == ICMPV6 && packet[40] == SOLICITATION && packet[48..64] == target.octets()
}

/// RFC 4861, 4.4: who is asked for where it is need not say where that is. Linux does not.
#[test]
fn a_neighbour_that_answers_without_saying_where_stays_known() {
    run(async {
        let (hub, b, _) = alone(Ipv6Config::fixed(B, 64, None)).await;
        let socket = UdpSocket::bind(&b, at(B, 5)).unwrap();
        let (mut to_group, mut to_host, mut datagrams) = (0, 0, 0);
        for tick in 0..30_000 {
            if tick % 100 == 0 {
                socket.send_to(b"hello", at(STRANGER, 9)).await.unwrap();
            }
            sleep(Duration::from_millis(10)).await;
            for (to, packet) in of_b(&hub) {
                datagrams += usize::from(packet[6] == UDP);
                if asks_for(&packet, STRANGER) {
                    let is_for_group = to[0] == 0x33;
                    let mac = is_for_group.then_some([2, 0, 0, 0, 0, 9]);
                    to_group += usize::from(is_for_group);
                    to_host += usize::from(!is_for_group);
                    hub.inject(&icmp(STRANGER, B, 255, &about(ADVERTISEMENT, 0x60, STRANGER, mac)));
                }
            }
        }
        assert_eq!((to_group, datagrams, b.stats().arp_unanswered), (1, 300, 0), "{to_host}");
        assert!((4..=5).contains(&to_host), "{to_host}");
    });
}

#[test]
fn floods_about_neighbours_do_not_push_out_who_is_talked_to() {
    run(async {
        let hub = Hub::default();
        let (a, b) = pair(&hub).await;
        let listener = TcpListener::bind(&b, at(B, 7)).unwrap();
        spawn(async move { echo(listener.accept().await.unwrap().0).await }).detach();
        let mut stream = TcpStream::connect(&a, at(B, 7)).await.unwrap();
        let mut n = 0;
        hub.capture();
        for second in 0..150 {
            for _ in 0..10 {
                for _ in 0..40 {
                    n += 1;
                    let (source, mac) = one_of_many(n);
                    let local = Ipv6Addr::from_bits(source.to_bits() & u128::from(u64::MAX) | 0xfe80 << 112);
                    hub.inject(&icmp(source, GROUP_B, 255, &about(SOLICITATION, 0, B, Some(mac))));
                    hub.inject(&icmp(source, B, 255, &about(ADVERTISEMENT, 0x60, source, Some(mac))));
                    if n % 4 == 0 {
                        let mut router = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
                        router.extend(mac);
                        hub.inject(&icmp(local, ALL_NODES, 255, &router));
                    }
                }
                sleep(Duration::from_millis(100)).await;
            }
            stream.write_all(b"still").await.unwrap();
            timeout(Duration::from_millis(50), stream.read_exact(&mut [0; 5]))
                .await
                .expect("at once")
                .unwrap();
            for (to, packet) in of_b(&hub) {
                assert!(!(asks_for(&packet, A) && to[0] == 0x33), "A was forgotten after {second} s");
            }
        }
        // 1024 neighbours, 8 routers, a connection.
        assert!(b.stats().memory_octets < 250_000, "{:?}", b.stats());
    });
}

#[test]
fn nothing_of_neighbours_is_believed_from_beyond_the_link_or_in_fragments() {
    run(async {
        let (hub, b, ib) = alone(Ipv6Config::auto()).await;
        let far = icmp(ROUTER, ALL_NODES, 64, &advertisement(1800, 7200)[54..]);
        hub.inject(&far);
        // With the right hop limit, but behind a fragment header: both in one part and in two.
        let whole = &advertisement(1800, 7200)[54..];
        let piece = |offset: u8, more: u8, part: &[u8]| {
            frame(
                ROUTER,
                ALL_NODES,
                44,
                255,
                &[&[ICMPV6, 0, 0, (offset * 8) | more, 0, 0, 0, 1][..], part].concat(),
            )
        };
        hub.inject(&piece(0, 1, &whole[..40]));
        hub.inject(&piece(5, 0, &whole[40..]));
        sleep(Duration::from_secs(3)).await;
        assert_eq!(addresses(&ib).len(), 1, "the link-local one");
        let bad = b.stats().rx_bad;
        assert!(bad >= 2, "{bad}");
        // A neighbour that is known stays where it is.
        let ask = about(SOLICITATION, 0, LOCAL_B, Some([2, 0, 0, 0, 0, 9]));
        hub.inject(&icmp(ROUTER, LOCAL_B, 255, &ask));
        let lie = about(ADVERTISEMENT, 0x60, ROUTER, Some([2, 0, 0, 0, 0, 66]));
        hub.inject(&icmp(ROUTER, LOCAL_B, 254, &lie));
        hub.inject(&icmp(ROUTER, LOCAL_B, 64, &[128, 0, 0, 0, 1, 2, 3, 4, 5]));
        sleep(Duration::from_millis(20)).await;
        let sent = of_b(&hub);
        let (to, _) = sent.iter().find(|(_, packet)| packet[40] == 129).expect("a reply");
        assert_eq!(*to, [2, 0, 0, 0, 0, 9]);
    });
}

/// An atomic fragment is no fragment, but neighbour discovery has no place in one (RFC 6980, 5).
#[test]
fn nothing_of_neighbours_is_believed_behind_a_fragment_header() {
    run(async {
        let (hub, _b, ib) = alone(Ipv6Config::auto()).await;
        let whole = &advertisement(1800, 7200)[54..];
        hub.inject(&frame(ROUTER, ALL_NODES, 44, 255, &[&[ICMPV6, 0, 0, 0, 0, 0, 0, 1][..], whole].concat()));
        sleep(Duration::from_secs(3)).await;
        assert_eq!(addresses(&ib).len(), 1, "the link-local one");
    });
}

/// What an address of IPv4 is in IPv6's way of writing is no neighbour of IPv6, although the table's keys are the same.
#[test]
fn no_message_of_ipv6_moves_a_neighbour_of_ipv4() {
    run(async {
        let hub = Hub::default();
        let ipv4 = Ipv4Config::Static { address: Ipv4Addr::new(10, 0, 0, 2), prefix_len: 24, gateway: None };
        let (b, _) = host(&hub, 2, Config { ipv4, ..only(Ipv6Config::fixed(B, 64, None)) });
        let (_a, _) = common::host(&hub, 1, common::A, false);
        sleep(Duration::from_secs(3)).await;
        let socket = UdpSocket::bind(&b, (Ipv4Addr::UNSPECIFIED, 5).into()).unwrap();
        socket.send_to(b"hello", common::at(common::A, 9)).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        let target = common::A.to_ipv6_mapped();
        hub.inject(&icmp(STRANGER, B, 255, &about(ADVERTISEMENT, 0x60, target, Some([2, 0, 0, 0, 0, 66]))));
        sleep(Duration::from_millis(20)).await;
        hub.capture();
        socket.send_to(b"hello", common::at(common::A, 9)).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        let sent = hub.captured();
        let datagram = sent.iter().find(|f| f[12..14] == [8, 0] && f[11] == 2).expect("a datagram");
        assert_eq!(datagram[..6], [2, 0, 0, 0, 0, 1]);
    });
}

#[test]
fn a_flood_of_routers_leaves_the_first_one_working() {
    run(async {
        let (hub, b, ib) = alone(Ipv6Config::auto()).await;
        hub.inject(&advertisement(1800, 7200));
        let own = ib.configured().await.address;
        let socket = UdpSocket::bind(&b, at(Ipv6Addr::UNSPECIFIED, 5)).unwrap();
        socket.send_to(b"out", "[2001:db8:9::1]:9".parse().unwrap()).await.unwrap();
        for n in 0..20_000 {
            let (source, mac) = one_of_many(n);
            let local = Ipv6Addr::from_bits(source.to_bits() & u128::from(u64::MAX) | 0xfe80 << 112);
            let mut message = vec![134, 0, 0, 0, 64, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
            message.extend(mac);
            message.extend([
                5, 1, 0, 0, 0, 0, 5, 0, 3, 4, 64, 0xc0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            ]);
            message.extend([0; 4]);
            message.extend(host_of(0x2001_0db9_0000_0000 + u128::from(n), 0).octets());
            message.extend([25, 3, 0, 0, 0xff, 0xff, 0xff, 0xff]);
            message.extend(source.octets());
            hub.inject(&icmp(local, ALL_NODES, 255, &message));
            if n % 64 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        sleep(Duration::from_secs(2)).await;
        let all = addresses(&ib);
        assert!(all.len() <= 10 && all.iter().any(|a| a.address == own), "{all:?}");
        assert_eq!(all[0].dns[0], "2001:db8:1::53".parse::<IpAddr>().unwrap());
        assert!(all[0].dns.len() <= 8 && b.stats().nd_refused > 50_000, "{:?}", b.stats());
        of_b(&hub);
        socket.send_to(b"out", "[2001:db8:9::1]:9".parse().unwrap()).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        let sent = of_b(&hub);
        assert_eq!(sent.iter().find(|(_, packet)| packet[6] == UDP).expect("it").0, [2, 0, 0, 0, 0, 9]);
    });
}

/// An error about a packet of B's, of which it quotes so much.
fn too_big(mtu: u32, packet: &[u8]) -> Vec<u8> {
    let mut error = vec![2, 0, 0, 0];
    error.extend(mtu.to_be_bytes());
    error.extend(&packet[..packet.len().min(100)]);
    icmp(STRANGER, B, 64, &error)
}

#[test]
fn no_router_makes_packets_smaller_than_every_link_takes() {
    run(async {
        let (hub, [a, b], mut stream, mut there) = connected().await;
        hub.capture();
        let mut all = vec![0; 20_000];
        for mtu in [0, 68, 576, 1279, 1280, u32::MAX] {
            // Of the segment that is on its way: as near to a true one as may be.
            there.write_all(&pattern(0, 20_000)).await.unwrap();
            sleep(Duration::from_micros(1)).await;
            let sent = of_b(&hub);
            let (_, segment) = sent.iter().rfind(|(_, packet)| packet.len() > 1000).expect("a segment");
            hub.inject(&too_big(mtu, segment));
            timeout(Duration::from_secs(10), stream.read_exact(&mut all)).await.expect("in time").unwrap();
            assert!(all == pattern(0, 20_000));
        }
        of_b(&hub);
        there.write_all(&pattern(0, 20_000)).await.unwrap();
        stream.read_exact(&mut all).await.unwrap();
        let longest = of_b(&hub).iter().map(|(_, packet)| packet.len()).max();
        assert!(longest >= Some(1280), "{longest:?}");

        // Datagrams, and what begins.
        let socket = UdpSocket::bind(&b, at(B, 6)).unwrap();
        socket.send_to(&[7; 1452], at(A, 6)).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        let sent = of_b(&hub);
        let (_, datagram) = sent.iter().find(|(_, packet)| packet[6] == UDP).expect("a datagram");
        for mtu in [0, 68, 1279] {
            hub.inject(&too_big(mtu, datagram));
        }
        sleep(Duration::from_millis(20)).await;
        of_b(&hub);
        socket.send_to(&[7; 1452], at(A, 6)).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        // Beside what may come of other things at any time, such as a report of groups.
        let sent = of_b(&hub);
        let fragments = sent.iter().filter(|(_, packet)| packet[6] == FRAGMENT);
        let sizes: Vec<usize> = fragments.map(|(_, packet)| packet.len()).collect();
        assert_eq!(sizes, [1280, 40 + 8 + 1460 - 1232]);
        let listener = TcpListener::bind(&a, at(A, 8)).unwrap();
        let _new = TcpStream::connect(&b, at(A, 8)).await.unwrap();
        let (mut back, _) = listener.accept().await.unwrap();
        back.write_all(b"alive").await.unwrap();
    });
}

#[test]
fn errors_that_quote_nothing_of_ours_end_no_connection() {
    run(async {
        let (hub, [_a, _b], mut stream, mut there) = connected().await;
        let port = stream.local_addr().port().to_be_bytes();
        for kind in 1..=4 {
            for code in 0..8 {
                for seq in [0_u32, 1 << 30, 1 << 31, u32::MAX] {
                    let mut tcp = vec![0, 7, port[0], port[1]];
                    tcp.extend(seq.to_be_bytes());
                    tcp.extend([0; 12]);
                    let quote = &frame(B, A, 6, 64, &tcp)[14..];
                    let message = [&[kind, code, 0, 0, 0, 0, 0, 6][..], quote].concat();
                    hub.inject(&icmp(STRANGER, B, 64, &message));
                }
            }
        }
        sleep(Duration::from_secs(1)).await;
        there.write_all(b"alive").await.unwrap();
        stream.read_exact(&mut [0; 5]).await.unwrap();
    });
}

#[test]
fn an_address_whose_time_is_over_takes_its_connections_along() {
    run(async {
        let hub = Hub::default();
        let near = "2001:db8:1::1".parse().unwrap();
        let (a, _) = host(&hub, 1, only(Ipv6Config::fixed(near, 64, None)));
        let (b, ib) = host(&hub, 2, only(Ipv6Config::auto()));
        sleep(Duration::from_secs(3)).await;
        hub.inject(&advertisement(0, 100));
        let own = ib.configured().await.address;
        let listener = TcpListener::bind(&b, at(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
        let mut to_global = TcpStream::connect(&a, SocketAddr::new(own, 7)).await.unwrap();
        let (mut global, _) = listener.accept().await.unwrap();
        let mut to_local = TcpStream::connect(&a, at(LOCAL_B, 7)).await.unwrap();
        let (mut local, _) = listener.accept().await.unwrap();
        let started = Instant::now();
        assert_eq!(global.read(&mut [0]).await, Err(Error::ConnectionAborted));
        let lasted = started.elapsed().as_millis();
        assert!((90_000..=100_000).contains(&lasted), "{lasted} ms");
        assert_eq!(addresses(&ib).len(), 1);
        local.write_all(b"alive").await.unwrap();
        to_local.read_exact(&mut [0; 5]).await.unwrap();
        // Its peer hears nothing from an address that is nobody's.
        assert!(timeout(Duration::from_secs(1), to_global.read(&mut [0])).await.is_err());
        let refused = TcpStream::connect(&a, SocketAddr::new(own, 7)).await.err();
        assert_eq!(refused, Some(Error::HostUnreachable));
    });
}

#[test]
fn connections_outlive_a_link_that_was_down() {
    run(async {
        let hub = Hub::default();
        let (a, b) = pair(&hub).await;
        let listener = TcpListener::bind(&b, at(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
        let mut stream = TcpStream::connect(&a, at(B, 7)).await.unwrap();
        let (mut there, _) = listener.accept().await.unwrap();
        for round in 0..3_u8 {
            hub.capture();
            hub.set_up(1, false);
            there.write_all(&[round; 5000]).await.unwrap();
            sleep(Duration::from_secs(5)).await;
            assert_eq!(of_b(&hub), []);
            hub.set_up(1, true);
            let mut data = [0; 5000];
            timeout(Duration::from_secs(30), stream.read_exact(&mut data)).await.expect("in time").unwrap();
            assert_eq!(data, [round; 5000]);
            let sent = of_b(&hub);
            for own in [B, LOCAL_B] {
                let probe =
                    sent.iter().position(|(_, p)| asks_for(p, own)).expect("it asks whether that is taken");
                assert_eq!(sent[probe].1[8..24], [0; 16]);
                let first = sent.iter().position(|(_, packet)| packet[8..24] == own.octets());
                assert!(first.is_none_or(|first| first > probe), "from {own} before it was asked for");
            }
            stream.write_all(b"back").await.unwrap();
            there.read_exact(&mut [0; 4]).await.unwrap();
        }
    });
}

thread_local! {
    static WARNINGS: Cell<u32> = const { Cell::new(0) };
}

/// Counts warnings of each thread.
struct Counted;

impl log::Log for Counted {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }
    fn log(&self, record: &log::Record) {
        if record.level() <= log::Level::Warn {
            WARNINGS.set(WARNINGS.get() + 1);
        }
    }
    fn flush(&self) {}
}

/// The console of a guest is slow: who can make it say a line for each frame stops the guest.
#[test]
fn claims_to_an_address_are_told_of_now_and_then() {
    let _ = log::set_logger(&Counted);
    log::set_max_level(log::LevelFilter::Warn);
    run(async {
        let (hub, b, ib) = alone(Ipv6Config::fixed(B, 64, None)).await;
        let before = WARNINGS.get();
        for _ in 0..1000 {
            hub.inject(&icmp(B, ALL_NODES, 255, &about(ADVERTISEMENT, 0x20, B, Some([2, 0, 0, 0, 0, 66]))));
            hub.inject(&icmp(
                STRANGER,
                ALL_NODES,
                255,
                &about(ADVERTISEMENT, 0x20, B, Some([2, 0, 0, 0, 0, 66])),
            ));
            sleep(Duration::from_millis(10)).await;
        }
        let said = WARNINGS.get() - before;
        assert!((1..=3).contains(&said), "{said} warnings in 10 s");
        assert_eq!(b.stats().arp_conflicts, 2000);
        assert_eq!(addresses(&ib).len(), 2);
    });
}

/// Two links, each with a network and a router of its own.
async fn two_links() -> (Hub, Hub, Stack, Interface, Interface) {
    let (front, back) = (Hub::default(), Hub::default());
    let b = Stack::new();
    let gateway = Some("2001:db8::99".parse().unwrap());
    let main = add(&b, &front, 2, only(Ipv6Config::fixed(B, 64, gateway)));
    let other = "2001:db8:b::2".parse().unwrap();
    let second =
        b.add_interface("back", Box::new(back.device(3, false)), only(Ipv6Config::fixed(other, 64, None)));
    sleep(Duration::from_secs(3)).await;
    front.capture();
    back.capture();
    (front, back, b, main, second)
}

#[test]
fn each_packet_takes_its_link() {
    run(async {
        let (front, back, b, ..) = two_links().await;
        let socket = UdpSocket::bind(&b, at(Ipv6Addr::UNSPECIFIED, 5)).unwrap();
        let targets = |hub: &Hub| -> Vec<Ipv6Addr> {
            let asked = packets(&hub.captured()).into_iter().filter(|(.., icmp)| icmp[0] == SOLICITATION);
            asked.map(|(.., m)| Ipv6Addr::from(<[u8; 16]>::try_from(&m[8..24]).unwrap())).collect()
        };
        // Whom a packet to somebody makes B look for, on the front link and the one behind.
        for (to, on_front, on_back) in [
            ("[2001:db8::7]:9", Some("2001:db8::7"), None),
            ("[2001:db8:b::7]:9", None, Some("2001:db8:b::7")),
            ("[2001:db8:9::7]:9", Some("2001:db8::99"), None),
            ("[fe80::7%1]:9", Some("fe80::7"), None),
            ("[fe80::8%2]:9", None, Some("fe80::8")),
        ] {
            let sent = socket.send_to(b"hello", to.parse().unwrap()).await;
            assert_eq!(sent, Ok(5), "{to}");
            sleep(Duration::from_millis(20)).await;
            let wanted = |text: Option<&str>| text.map(|t| t.parse::<Ipv6Addr>().unwrap());
            assert_eq!(targets(&front).first().copied(), wanted(on_front), "{to}");
            assert_eq!(targets(&back).first().copied(), wanted(on_back), "{to}");
            sleep(Duration::from_secs(4)).await;
            targets(&front);
            targets(&back);
        }
        let nowhere = socket.send_to(b"hello", "[fe80::7%3]:9".parse().unwrap()).await;
        assert_eq!(nowhere, Err(Error::NetworkUnreachable));
    });
}

/// A host on one link does not reach the address of another, nor is believed to be on that.
#[test]
fn addresses_belong_to_their_link() {
    run(async {
        let (front, back, b, ..) = two_links().await;
        let other = "2001:db8:b::2".parse().unwrap();
        front.inject(&icmp(STRANGER, B, 255, &about(SOLICITATION, 0, B, Some([2, 0, 0, 0, 0, 9]))));
        let mut message = about(SOLICITATION, 0, other, Some([2, 0, 0, 0, 0, 9]));
        front.inject(&icmp(STRANGER, B, 255, &message));
        message[8..24].copy_from_slice(&B.octets());
        sleep(Duration::from_millis(20)).await;
        front.captured();
        front.inject(&icmp(STRANGER, other, 64, &[128, 0, 0, 0, 1, 2, 3, 4, 5]));
        sleep(Duration::from_millis(20)).await;
        assert_eq!(packets(&of(&front)), []);
        front.inject(&icmp(STRANGER, B, 64, &[128, 0, 0, 0, 1, 2, 3, 4, 5]));
        sleep(Duration::from_millis(20)).await;
        assert_eq!(packets(&of(&front)).len(), 1);
        assert_eq!(packets(&of(&back)), []);
        assert_eq!(b.stats().icmp_echoes, 1);
    });
}

/// What was sent by other than the stranger.
fn of(hub: &Hub) -> Vec<Vec<u8>> {
    let mut frames = hub.captured();
    frames.retain(|frame| frame[6..12] != [2, 0, 0, 0, 0, 9]);
    frames
}
