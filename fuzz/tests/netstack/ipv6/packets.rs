//! Packets of IPv6 that are built as only somebody hostile builds them, with right checksums.

use crate::common::ipv6::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::Ipv6Addr;

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
pub(super) fn packet() -> impl Strategy<Value = Vec<Vec<u8>>> {
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
