//! The same of IPv6: mutated frames, and packets that are built as only somebody hostile builds them, with right checksums.

use crate::common::ipv6::*;
use crate::{carry, deed, echo, exchange, talk};
use embedded_io_async::{Read, Write};
use fata_fuzz::{fuzz, mutated};
use fata_libos::net::Checksum;
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep, timeout};
use fata_netstack::testing::Hub;
use fata_netstack::{Config, Ipv4Config, Ipv6Config, Resolver, Stack, TcpListener, TcpStream, UdpSocket};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Frames of every protocol, from a day in the life of hosts with a router.
fn day() -> Vec<Vec<u8>> {
    run(async {
        let hub = Hub::default();
        hub.capture();
        let (a, _) = host(&hub, 1, only(Ipv6Config::fixed(A, 64, None)));
        let config = Config { dns: vec![A.into()], ..only(Ipv6Config::fixed(B, 64, None)) };
        let (b, ib) = host(&hub, 2, config);
        let _c = host(&hub, 3, only(Ipv6Config::auto()));
        ib.configured().await;
        hub.inject(&advertisement(1800, 7200));
        hub.inject(&frame(ROUTER, ALL_NODES, 0, 1, &query([0; 16])));
        sleep(Duration::from_secs(15)).await;
        exchange(&a, &b, [at(A, 5), at(B, 80), at(B, 6)]).await;
        hub.inject(&icmp(ROUTER, LOCAL_B, 64, &[128, 0, 0, 0, 1, 2, 3, 4, 5]));
        let _ = timeout(Duration::from_secs(1), Resolver::new(&b).resolve("www.example.org")).await;
        sleep(Duration::from_secs(70)).await;
        hub.captured()
    })
}

/// A general query of MLD, behind its router alert, without a checksum.
fn query(group: [u8; 16]) -> Vec<u8> {
    let mut message = vec![130, 0, 0, 0, 3, 232, 0, 0];
    message.extend(group);
    message.extend([2, 125, 0, 0]);
    let sum = checksum(ROUTER, ALL_NODES, ICMPV6, &message);
    message[2..4].copy_from_slice(&sum);
    [&[ICMPV6, 0, 5, 2, 0, 0, 1, 0][..], &message].concat()
}

/// Where a packet's payload begins behind those extension headers that can be walked, and its protocol.
fn payload(frame: &[u8]) -> Option<(usize, u8)> {
    let (mut at, mut protocol) = (54, *frame.get(20)?);
    while let 0 | 43 | 44 | 60 = protocol {
        let units = if protocol == 44 { 0 } else { usize::from(*frame.get(at + 1)?) };
        (at, protocol) = (at + units * 8 + 8, *frame.get(at)?);
    }
    (at <= frame.len()).then_some((at, protocol))
}

/// Makes the length and the checksum of a packet of IPv6 right, if its headers can be found.
pub(crate) fn mend(frame: &mut [u8], with_length: bool) {
    if frame.len() < 54 || frame[12..14] != [0x86, 0xdd] {
        return;
    }
    if with_length {
        let len = (frame.len() - 54) as u16;
        frame[18..20].copy_from_slice(&len.to_be_bytes());
    }
    let end = 54 + usize::from(u16::from_be_bytes([frame[18], frame[19]]));
    let Some((at, protocol)) = payload(frame) else { return };
    let field = match protocol {
        6 => 16,
        UDP => 6,
        ICMPV6 => 2,
        _ => return,
    };
    let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).unwrap());
    let (source, destination) = (address(22), address(38));
    let Some(data) = frame.get_mut(at..end).filter(|data| data.len() >= field + 2) else { return };
    data[field..field + 2].fill(0);
    let sum = checksum(source, destination, protocol, data);
    data[field..field + 2].copy_from_slice(&sum);
}

/// Where the victim's addresses come from.
#[derive(Clone, Copy, Debug)]
enum Way {
    Auto,
    Fixed,
    Both,
}

/// A server with all kinds of sockets.
async fn victim(hub: &Hub, way: Way) -> Stack {
    let ipv6 = match way {
        Way::Auto => Ipv6Config::auto(),
        Way::Fixed | Way::Both => Ipv6Config::fixed(B, 64, None),
    };
    let (b, _) = host(hub, 2, Config { dns: vec![A.into()], ..only(ipv6) });
    if let Way::Both = way {
        // Another interface of the same wire, with a hardware address of its own and IPv4 beside.
        let address = Ipv4Addr::new(10, 0, 0, 22);
        let ipv4 = Ipv4Config::Static { address, prefix_len: 24, gateway: None };
        let config = Config { ipv4, ..only(Ipv6Config::auto()) };
        b.add_interface("second", Box::new(hub.device(22, false)), config);
    }
    let listener = TcpListener::bind(&b, at(Ipv6Addr::UNSPECIFIED, 80)).unwrap();
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn(echo(stream)).detach();
        }
    })
    .detach();
    let socket = UdpSocket::bind(&b, at(Ipv6Addr::UNSPECIFIED, 6)).unwrap();
    spawn(async move {
        let mut buf = [0; 100];
        while let Ok((len, from)) = socket.recv_from(&mut buf).await {
            let _ = socket.send_to(&buf[..len], from).await;
        }
    })
    .detach();
    // Something of its own is always on its way: its packets to A and beyond the link may be answered.
    let talker = b.clone();
    spawn(async move {
        let socket = UdpSocket::bind(&talker, at(Ipv6Addr::UNSPECIFIED, 1234)).unwrap();
        loop {
            let _ = socket.send_to(&[7; 3000], at(A, 6)).await;
            let _ = socket.send_to(&[7; 3000], "[2001:db8:9::9]:53".parse().unwrap()).await;
            let _ = timeout(Duration::from_secs(2), TcpStream::connect(&talker, at(A, 9))).await;
            sleep(Duration::from_secs(5)).await;
        }
    })
    .detach();
    sleep(Duration::from_secs(3)).await;
    b
}

/// That it has come to rest, and serves a stranger.
async fn is_alive(hub: &Hub, b: &Stack) {
    sleep(Duration::from_secs(300)).await;
    hub.capture();
    sleep(Duration::from_secs(60)).await;
    let sent = hub.captured().iter().filter(|frame| frame[11] == 2).count();
    assert!(sent < 1000, "{sent} frames in a minute");
    let stats = b.stats();
    assert!(stats.tcp_connections < 100 && stats.memory_octets < 1 << 20, "{stats:?}");
    // From an address and a hardware address that nobody has named.
    let (a, ia) = host(hub, 200, only(Ipv6Config::auto()));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(addresses(&ia).len(), 1);
    let mut stream = TcpStream::connect(&a, at(LOCAL_B, 80)).await.expect("alive");
    stream.write_all(b"x").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
}

/// Gives frames to a victim, a few at a time.
fn give(way: Way, frames: Vec<(Vec<u8>, Checksum)>) {
    run(async move {
        let hub = Hub::default();
        let b = victim(&hub, way).await;
        for (n, (frame, checksum)) in frames.iter().enumerate() {
            hub.inject_with(frame, *checksum);
            if n % 8 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        is_alive(&hub, &b).await;
    });
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![Just(Way::Auto), Just(Way::Fixed), Just(Way::Both)]
}

#[test]
fn frames_of_ipv6() {
    let checksum = prop_oneof![Just(Checksum::Complete), Just(Checksum::Verified), Just(Checksum::Partial)];
    let mended = prop_oneof![1 => Just(None), 1 => Just(Some(false)), 2 => Just(Some(true))];
    let frame =
        (mutated(day()), mended, checksum, any::<bool>()).prop_map(|(mut frame, mended, checksum, keeps)| {
            let len = frame.len().min(6);
            if !keeps || frame.first().is_some_and(|octet| octet & 1 == 0) {
                frame[..len].copy_from_slice(&[2, 0, 0, 0, 0, 2][..len]);
            }
            if let Some(with_length) = mended {
                mend(&mut frame, with_length);
            }
            (frame, checksum)
        });
    fuzz(&(way(), vec(frame, 1..60)), |(way, frames)| give(way, frames));
}

/// Addresses that mean something here, and others.
fn address() -> impl Strategy<Value = Ipv6Addr> {
    let known = [
        A,
        B,
        LOCAL_B,
        STRANGER,
        ROUTER,
        ALL_NODES,
        Ipv6Addr::UNSPECIFIED,
        Ipv6Addr::LOCALHOST,
        "ff02::1:ff00:2".parse().unwrap(),
        "ff02::1:ff00:22".parse().unwrap(),
        "ff02::16".parse().unwrap(),
        "2001:db8:1::ff:fe00:2".parse().unwrap(),
        "::ffff:10.0.0.22".parse().unwrap(),
        "::ffff:10.0.0.1".parse().unwrap(),
        "fe80::ff:fe00:16".parse().unwrap(),
    ];
    let net = select(vec![0xfe80_u128 << 112, 0x2001_0db8 << 96, 0xff02 << 112, 0xfd00 << 112]);
    let random = (net, any::<u64>()).prop_map(|(net, host)| Ipv6Addr::from_bits(net | u128::from(host)));
    prop_oneof![8 => select(known.to_vec()), 2 => random, 1 => any::<u128>().prop_map(Ipv6Addr::from_bits)]
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![select(vec![0, 1, 2, 1279, 1280, 1500, 7200, 65_536, u32::MAX - 1, u32::MAX]), any::<u32>()]
}

/// An option of neighbour discovery, nearly as it should be.
fn nd_option() -> impl Strategy<Value = Vec<u8>> {
    let link =
        (select(vec![1_u8, 2]), any::<[u8; 6]>()).prop_map(|(kind, mac)| [&[kind, 1][..], &mac].concat());
    let mtu = number().prop_map(|mtu| [&[5, 1, 0, 0][..], &mtu.to_be_bytes()].concat());
    let len = prop_oneof![4 => Just(64_u8), 1 => select(vec![0, 1, 63, 65, 128, 129, 255])];
    let prefix =
        (len, any::<u8>(), number(), number(), address()).prop_map(|(len, flags, valid, preferred, net)| {
            let (valid, preferred) = (valid.to_be_bytes(), preferred.to_be_bytes());
            [&[3, 4, len, flags][..], &valid, &preferred, &[0; 4], &net.octets()].concat()
        });
    let servers = (number(), vec(address(), 0..4)).prop_map(|(lifetime, servers)| {
        let mut option = [&[25, servers.len() as u8 * 2 + 1, 0, 0][..], &lifetime.to_be_bytes()].concat();
        servers.iter().for_each(|server| option.extend(server.octets()));
        option
    });
    let nonce = any::<[u8; 6]>().prop_map(|nonce| [&[14, 1][..], &nonce].concat());
    let other = (any::<u8>(), 0..4_u8, vec(any::<u8>(), 0..40))
        .prop_map(|(kind, units, body)| [&[kind, units][..], &body].concat());
    prop_oneof![6 => link, 2 => mtu, 6 => prefix, 2 => servers, 2 => nonce, 1 => other]
}

/// A message of ICMPv6, its checksum left out.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let options = || vec(nd_option(), 0..5).prop_map(|options| options.concat());
    let router = (any::<u8>(), any::<u16>(), options()).prop_map(|(flags, lifetime, options)| {
        [&[134, 0, 0, 0, 64, flags][..], &lifetime.to_be_bytes(), &[0; 8], &options].concat()
    });
    let target = prop_oneof![2 => select(vec![B, LOCAL_B, STRANGER]), 1 => address()];
    let about = (select(vec![135_u8, 136]), any::<u8>(), target, options()).prop_map(
        |(kind, flags, target, options)| {
            [&[kind, 0, 0, 0, flags, 0, 0, 0][..], &target.octets(), &options].concat()
        },
    );
    let query = (any::<u16>(), address(), vec(any::<u8>(), 0..40)).prop_map(|(code, group, rest)| {
        let [a, b] = code.to_be_bytes();
        [&[130, 0, 0, 0, a, b, 0, 0][..], &group.octets(), &rest].concat()
    });
    let quote =
        (address(), address(), select(vec![6_u8, UDP, ICMPV6, 44, 200]), any::<[u8; 24]>(), 0..100_usize);
    let quote = quote.prop_map(|(source, destination, protocol, mut inner, len)| {
        // The victim's own socket.
        inner[..4].copy_from_slice(&[4, 210, 0, 6]);
        let mut whole = frame(source, destination, protocol, 64, &inner).split_off(14);
        whole.truncate(len);
        whole
    });
    let error = (1..5_u8, 0..8_u8, number(), quote).prop_map(|(kind, code, word, quote)| {
        [&[kind, code, 0, 0][..], &word.to_be_bytes(), &quote].concat()
    });
    let echo = (select(vec![128_u8, 129]), 0..5000_usize).prop_map(|(kind, len)| {
        let mut message = vec![kind, 0, 0, 0, 0, 1, 0, 1];
        message.resize(8 + len, 7);
        message
    });
    let other = (any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..60))
        .prop_map(|(kind, code, body)| [&[kind, code, 0, 0][..], &body].concat());
    prop_oneof![4 => router, 5 => about, 2 => query, 4 => error, 2 => echo, 1 => other]
}

/// An extension header without its first octet, which says what follows.
fn extension() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let option = (select(vec![0_u8, 1, 5, 0x3e, 0x7e, 0xbe, 0xc2, 0xfe]), vec(any::<u8>(), 0..12));
    let options = vec(option, 0..6).prop_map(|options| {
        let mut header = vec![0];
        for (kind, body) in options {
            header.push(kind);
            if kind > 0 {
                header.push(body.len() as u8);
                header.extend(body);
            }
        }
        while (header.len() + 1) % 8 != 0 {
            header.push(0);
        }
        header[0] = (header.len() / 8) as u8;
        header
    });
    let alert = Just((0, vec![0, 5, 2, 0, 0, 1, 0]));
    let any_options = (select(vec![0_u8, 60]), options);
    let route = (any::<u8>(), 0..2_u8).prop_map(|(kind, left)| (43, vec![0, kind, left, 0, 0, 0, 0]));
    let atomic = any::<[u8; 4]>().prop_map(|id| (44, [&[0, 0, 0][..], &id].concat()));
    let wrong = (select(vec![0_u8, 43, 44, 51, 60]), vec(any::<u8>(), 0..30));
    prop_oneof![3 => alert, 3 => any_options, 1 => route, 1 => atomic, 1 => wrong]
}

/// Fragments of one size, their order by those numbers, some of them twice or moved.
#[derive(Clone, Debug)]
struct Cut {
    size: usize,
    order: Vec<(prop::sample::Index, i8)>,
    all: bool,
    ident: u32,
}

fn cut() -> impl Strategy<Value = Cut> {
    let moved = prop_oneof![6 => Just(0_i8), 1 => any::<i8>()];
    let order = vec((any::<prop::sample::Index>(), moved), 0..12);
    (1..100_usize, order, any::<bool>(), 0..3_u32).prop_map(|(size, order, all, ident)| Cut {
        size: size * 8,
        order,
        all,
        ident,
    })
}

/// What is behind extension headers.
#[derive(Clone, Debug)]
enum Carried {
    Icmp(Vec<u8>),
    Datagram(u16, usize),
    Segment(u8),
    Noise(u8, Vec<u8>),
}

fn carried() -> impl Strategy<Value = Carried> {
    prop_oneof![
        10 => message().prop_map(Carried::Icmp),
        2 => (select(vec![6_u16, 7, 1234]), 0..3000_usize).prop_map(|(port, len)| Carried::Datagram(port, len)),
        2 => any::<u8>().prop_map(Carried::Segment),
        1 => (any::<u8>(), vec(any::<u8>(), 0..60)).prop_map(|(protocol, data)| Carried::Noise(protocol, data)),
    ]
}

/// The protocol, and the octets with their checksum.
fn write(carried: Carried, source: Ipv6Addr, destination: Ipv6Addr) -> (u8, Vec<u8>) {
    let (protocol, mut data, field) = match carried {
        Carried::Icmp(message) => (ICMPV6, message, 2),
        Carried::Datagram(port, len) => {
            let (port, total) = (port.to_be_bytes(), (len as u16 + 8).to_be_bytes());
            (UDP, [&[0, 9][..], &port, &total, &vec![0; len + 2]].concat(), 6)
        }
        Carried::Segment(flags) => {
            (6, vec![3, 3, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0, 7], 16)
        }
        Carried::Noise(protocol, data) => return (protocol, data),
    };
    if let Some(sum) = data.get_mut(field..field + 2) {
        sum.fill(0);
        let sum = checksum(source, destination, protocol, &data);
        data[field..field + 2].copy_from_slice(&sum);
    }
    (protocol, data)
}

/// Who sends a message to whom with which hop limit, where nobody means ill.
fn usual(carried: &Carried) -> (Ipv6Addr, Ipv6Addr, u8) {
    match carried {
        Carried::Icmp(message) => match message.first() {
            Some(134) => (ROUTER, ALL_NODES, 255),
            Some(130) => (ROUTER, ALL_NODES, 1),
            _ => (STRANGER, LOCAL_B, 255),
        },
        _ => (STRANGER, LOCAL_B, 64),
    }
}

/// Frames of one packet.
fn packet() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let hop_limit = prop_oneof![4 => Just(255_u8), 1 => Just(1), 1 => Just(64), 1 => any::<u8>()];
    let chain =
        || prop_oneof![8 => Just(Vec::new()), 2 => vec(extension(), 1..4), 1 => vec(extension(), 1..12)];
    let to = prop_oneof![5 => select(vec![B, LOCAL_B]), 3 => address()];
    let from = prop_oneof![3 => select(vec![ROUTER, STRANGER, A]), 3 => address()];
    let unusual = prop_oneof![2 => Just(None), 1 => (from, to, hop_limit).prop_map(Some)];
    let cut = prop_oneof![3 => Just(None), 1 => cut().prop_map(Some)];
    (unusual, chain(), chain(), carried(), cut).prop_map(|(unusual, mut front, back, carried, cut)| {
        if unusual.is_none() && matches!(&carried, Carried::Icmp(message) if message[0] == 130) {
            front.insert(0, (0, vec![0, 5, 2, 0, 0, 1, 0]));
        }
        let (source, destination, hop_limit) = unusual.unwrap_or_else(|| usual(&carried));
        let mut whole = write(carried, source, destination);
        put_before(&mut whole, back);
        let pieces = match cut {
            None => vec![whole],
            Some(cut) => fragments(cut, whole),
        };
        let pieces = pieces.into_iter().map(|mut piece| {
            put_before(&mut piece, front.clone());
            frame(source, destination, piece.0, hop_limit, &piece.1)
        });
        pieces.collect()
    })
}

fn put_before(whole: &mut (u8, Vec<u8>), headers: Vec<(u8, Vec<u8>)>) {
    for (kind, header) in headers.into_iter().rev() {
        let next = std::mem::replace(&mut whole.0, kind);
        whole.1.splice(..0, [vec![next], header].concat());
    }
}

fn fragments(cut: Cut, (protocol, data): (u8, Vec<u8>)) -> Vec<(u8, Vec<u8>)> {
    let count = data.len().div_ceil(cut.size).max(1);
    let piece = |n: usize, moved: i8| {
        let part = data.get(n * cut.size..data.len().min((n + 1) * cut.size)).unwrap_or_default();
        let units = (n * cut.size / 8) as i64 + i64::from(moved);
        let word = (units.max(0) as u16) << 3 | u16::from(n + 1 < count);
        let header = [&[protocol, 0][..], &word.to_be_bytes(), &cut.ident.to_be_bytes()].concat();
        (44, [&header[..], part].concat())
    };
    let some = cut.order.iter().map(|(at, moved)| piece(at.index(count), *moved));
    let rest = (0..count).rev().filter(|_| cut.all).map(|n| piece(n, 0));
    some.chain(rest).collect()
}

#[test]
fn packets_of_ipv6() {
    fuzz(&(way(), vec((packet(), any::<bool>()), 1..60)), |(way, packets)| {
        let mut frames = Vec::new();
        for (packet, is_good) in packets {
            let checksum = if is_good { Checksum::Verified } else { Checksum::Complete };
            frames.extend(packet.into_iter().map(|frame| (frame, checksum)));
        }
        // To either of the victim's interfaces, or to the group.
        for (n, (frame, _)) in frames.iter_mut().enumerate() {
            if frame[0] == 2 && n % 5 == 4 {
                frame[5] = 22;
            }
        }
        give(way, frames);
    });
}

/// Two hosts that talk as they always do, and somebody in between who changes what they say.
#[test]
fn conversations_of_ipv6() {
    let side = || (vec(deed(), 0..20), 1..10_usize);
    fuzz(&(way(), side(), side(), 1..40_000_usize), |(way, there, back, len)| {
        run(async move {
            let (left, right) = (Hub::default(), Hub::default());
            left.capture();
            right.capture();
            let (a, _) = host(&left, 1, only(Ipv6Config::fixed(A, 64, None)));
            let b = victim(&right, way).await;
            let to: SocketAddr = at(if let Way::Auto = way { LOCAL_B } else { B }, 80);
            let is_clean = there.0.is_empty() && back.0.is_empty();
            let task = spawn(carry(left.clone(), 1, right.clone(), there.0, there.1));
            let other = spawn(carry(right.clone(), 2, left.clone(), back.0, back.1));
            for _ in 0..3 {
                let talked = timeout(Duration::from_secs(60), talk(&a, to, len)).await;
                assert!(!is_clean || talked == Ok(Some(())), "nobody was in between");
            }
            drop((task, other));
            right.captured();
            is_alive(&right, &b).await;
        });
    });
}

/// That what is mended here is right: without it the targets above would look at checksums alone.
#[test]
fn mended_packets_are_taken() {
    let frames = day();
    for good in &frames {
        let mut mended = good.clone();
        mend(&mut mended, true);
        // Checksums of fragments are those of wholes.
        let is_piece = good[12..14] == [0x86, 0xdd] && good[20] == 44;
        assert!(is_piece || mended == *good, "{good:x?}");
    }
    assert!(frames.iter().any(|frame| frame[20] == 44) && frames.iter().any(|frame| frame[20] == 0));
}

/// That packets of the target above get as far as they are meant to.
#[test]
fn built_packets_are_taken() {
    let (mut runner, packets) = (TestRunner::deterministic(), packet());
    let built: Vec<_> = (0..600).map(|_| packets.new_tree(&mut runner).unwrap().current()).collect();
    run(async move {
        let hub = Hub::default();
        let b = victim(&hub, Way::Auto).await;
        for frame in built.iter().flatten() {
            hub.inject(frame);
            sleep(Duration::from_millis(50)).await;
        }
        let stats = b.stats();
        assert!(
            stats.icmp_echoes > 3 && stats.fragments_reassembled > 3 && stats.fragments_dropped > 3,
            "{stats:?}"
        );
        assert!(stats.rx_bad > 20 && stats.rx_unknown > 3 && stats.rx_not_ours > 20, "{stats:?}");
        assert!(stats.udp_received > 3 && stats.tcp_resets_sent > 0 && stats.arp_conflicts > 0, "{stats:?}");
        let mut all = 0;
        b.interface("main").unwrap().each_address(&mut |_| all += 1);
        assert!(all > 2, "{all} {stats:?}");
        assert_eq!(stats.rx_bad_checksum, 0, "{stats:?}");
    });
}
