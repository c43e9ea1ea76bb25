//! Messages of neighbour discovery as they should be, and as they should not.

use super::*;

/// Noise that is the same each time (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 8) as usize % bound
    }

    pub(crate) fn fill(&mut self, octets: &mut [u8]) {
        octets.fill_with(|| self.next() as u8);
    }
}

pub(crate) const ROUTER_ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x12_34, 0x5678);
const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

/// A router's message: of 1800 s where `lifetime` says nothing else, with options as they are.
pub(crate) fn advertised(flags: u8, lifetime: u16, options: &[&[u8]]) -> Vec<u8> {
    let mut message = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, 64, flags];
    message.extend_from_slice(&lifetime.to_be_bytes());
    message.extend_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 3, 0xe8]);
    message.extend_from_slice(&options.concat());
    message
}

pub(crate) fn prefix_option(prefix: Prefix) -> Vec<u8> {
    let flags = if prefix.on_link { 0x80 } else { 0 } | if prefix.autonomous { 0x40 } else { 0 };
    let mut option = vec![PREFIX, 4, prefix.len, flags];
    option.extend_from_slice(&prefix.valid.to_be_bytes());
    option.extend_from_slice(&prefix.preferred.to_be_bytes());
    option.extend_from_slice(&[0; 4]);
    option.extend_from_slice(&prefix.address.octets());
    option
}

pub(crate) fn servers_option(lifetime: u32, servers: &[Ipv6Addr]) -> Vec<u8> {
    let mut option = vec![SERVERS, servers.len() as u8 * 2 + 1, 0, 0];
    option.extend_from_slice(&lifetime.to_be_bytes());
    for server in servers {
        option.extend_from_slice(&server.octets());
    }
    option
}

pub(crate) fn mtu_option(mtu: u32) -> Vec<u8> {
    [&[MTU, 1, 0, 0], &mtu.to_be_bytes()[..]].concat()
}

fn whole(message: Outgoing) -> Vec<u8> {
    let mut octets = vec![0xff; message.len()];
    message.write(&mut octets);
    octets
}

const PREFIX_64: Prefix = Prefix {
    address: Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0),
    len: 64,
    on_link: true,
    autonomous: false,
    valid: 7200,
    preferred: u32::MAX,
};

#[test]
fn a_router_says_all_there_is() {
    let other = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);
    let message = advertised(
        0x08,
        1800,
        &[
            &[SOURCE, 1, 2, 0, 0, 0, 0, 1],
            &mtu_option(1400),
            &prefix_option(Prefix { address: Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 0, 0, 9), ..PREFIX_64 }),
            &[200, 1, 0, 0, 0, 0, 0, 0],
            &prefix_option(Prefix { len: 129, ..PREFIX_64 }),
            &prefix_option(Prefix { autonomous: true, on_link: false, ..PREFIX_64 }),
            &servers_option(600, &[HOST, other]),
            &servers_option(0, &[HOST]),
        ],
    );
    let ra = RouterAdvertisement::parse(&message, ROUTER_ADDRESS).expect("it is sound");
    assert_eq!(ra.lifetime, 1800);
    assert_eq!((ra.preference, ra.mtu), (Preference::High, Some(1400)));
    assert_eq!(ra.link, Some(MacAddress([2, 0, 0, 0, 0, 1])));
    let second = Prefix { autonomous: true, on_link: false, ..PREFIX_64 };
    assert_eq!(ra.prefixes().collect::<Vec<_>>(), [PREFIX_64, second], "what is behind a prefix is not it");
    assert_eq!(ra.servers().collect::<Vec<_>>(), [(HOST, 600), (other, 600), (HOST, 0)]);
    for len in 0..message.len() {
        let part = RouterAdvertisement::parse(&message[..len], ROUTER_ADDRESS);
        let ends = [16, 24, 32, 64, 72, 104, 136, 176];
        assert_eq!(part.is_some(), ends.contains(&len), "{len}");
    }
}

#[test]
fn preferences() {
    let of = |flags| {
        RouterAdvertisement::parse(&advertised(flags, 0, &[]), ROUTER_ADDRESS).map(|ra| ra.preference)
    };
    let [medium, high, reserved, low] = [0xc0, 0xc8, 0xd0, 0xd8].map(of);
    assert_eq!((medium, high), (Some(Preference::Medium), Some(Preference::High)));
    assert_eq!((reserved, low), (Some(Preference::Medium), Some(Preference::Low)));
    assert!(high > medium && medium > low);
}

#[test]
fn what_makes_no_sense_is_no_advertisement() {
    let sound = advertised(0, 1800, &[&mtu_option(1500)]);
    let read = |message: &[u8]| RouterAdvertisement::parse(message, ROUTER_ADDRESS).is_some();
    assert!(read(&sound));
    assert!(RouterAdvertisement::parse(&sound, HOST).is_none(), "routers speak on the link");
    let with = |at: usize, value| {
        let mut message = sound.clone();
        message[at] = value;
        read(&message)
    };
    assert!(!with(0, SOLICITATION));
    assert!(!with(1, 1), "the code");
    assert!(!with(17, 0), "an option of no length");
    assert!(!with(17, 2), "an option beyond the message");
}

#[test]
fn options_of_odd_lengths_are_passed_by() {
    let long_prefix = [&[PREFIX, 5][..], &[0; 38]].concat();
    let even_servers = [&[SERVERS, 2][..], &[0; 14]].concat();
    let no_servers = [SERVERS, 1, 0, 0, 0, 0, 0, 9];
    let message =
        advertised(0, 0, &[&long_prefix, &even_servers, &no_servers, &[SOURCE, 1, 1, 0, 0, 0, 0, 0]]);
    let ra = RouterAdvertisement::parse(&message, ROUTER_ADDRESS).expect("it is sound");
    assert_eq!((ra.prefixes().count(), ra.servers().count()), (0, 0));
    assert_eq!(ra.link, None, "that is a group");
}

#[test]
fn prefixes_are_bounded() {
    let option = prefix_option(PREFIX_64);
    let message = advertised(0, 0, &[&option[..]; 40]);
    let ra = RouterAdvertisement::parse(&message, ROUTER_ADDRESS).expect("it is sound");
    assert_eq!(ra.prefixes().count(), MAX_PREFIXES);
}

#[test]
fn the_group_of_an_address() {
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff34, 0x5678);
    assert_eq!(solicited_node(HOST), group);
}

#[test]
fn solicitations() {
    let ask = whole(Outgoing::solicitation(HOST, MAC));
    let expected = Solicitation { target: HOST, link: Some(MAC), nonce: None };
    assert_eq!(Solicitation::parse(&ask, ROUTER_ADDRESS, HOST), Some(expected));
    assert_eq!(ask[24..], [SOURCE, 1, 2, 0, 0, 0, 0, 9]);
    let (nobody, group) = (Ipv6Addr::UNSPECIFIED, solicited_node(HOST));
    assert_eq!(Solicitation::parse(&ask, nobody, group), None, "nobody has no address on the link");
    let probe = whole(Outgoing::probe(HOST, [1, 2, 3, 4, 5, 6]));
    let expected = Solicitation { target: HOST, link: None, nonce: Some([1, 2, 3, 4, 5, 6]) };
    assert_eq!(Solicitation::parse(&probe, nobody, group), Some(expected));
    assert_eq!(Solicitation::parse(&probe, nobody, HOST), None, "probes go to the group");
    assert_eq!(probe[..8], [SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
    for len in (0..ask.len()).filter(|len| *len != 24) {
        assert_eq!(Solicitation::parse(&ask[..len], ROUTER_ADDRESS, HOST), None, "{len}");
    }
    let with = |at: usize, value| {
        let mut message = ask.clone();
        message[at] = value;
        Solicitation::parse(&message, ROUTER_ADDRESS, HOST)
    };
    assert_eq!((with(1, 1), with(8, 0xff), with(25, 0), with(25, 2)), (None, None, None, None));
}

#[test]
fn advertisements() {
    let answer = whole(Outgoing::advertisement(HOST, MAC, ROUTER_ADDRESS));
    let expected = Advertisement {
        target: HOST,
        is_router: false,
        is_solicited: true,
        overrides: true,
        link: Some(MAC),
    };
    assert_eq!(Advertisement::parse(&answer, HOST), Some(expected));
    assert_eq!(Advertisement::parse(&answer, ALL_NODES), None, "all nodes did not ask");
    let told = whole(Outgoing::advertisement(HOST, MAC, ALL_NODES));
    let expected = Advertisement { is_solicited: false, ..expected };
    assert_eq!(Advertisement::parse(&told, ALL_NODES), Some(expected));
    let mut router = told;
    router[4] = ROUTER;
    let of_router = Advertisement::parse(&router[..24], ALL_NODES);
    assert_eq!(of_router, Some(Advertisement { is_router: true, overrides: false, link: None, ..expected }));
    for len in (0..answer.len()).filter(|len| *len != 24) {
        assert_eq!(Advertisement::parse(&answer[..len], HOST), None, "{len}");
    }
    assert_eq!(Advertisement::parse(&whole(Outgoing::solicitation(HOST, MAC)), HOST), None);
}

#[test]
fn routers_are_asked_for() {
    assert_eq!(whole(Outgoing::router_solicitation(None)), [ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
    let with = whole(Outgoing::router_solicitation(Some(MAC)));
    assert_eq!(with[8..], [SOURCE, 1, 2, 0, 0, 0, 0, 9]);
    Outgoing::router_solicitation(Some(MAC)).write(&mut [0; 3]);
}

#[test]
fn random_octets_are_read_in_bounds() {
    let (mut random, mut read) = (Random(2), 0);
    for _ in 0..20_000 {
        let mut message = vec![0; random.below(200)];
        random.fill(&mut message);
        message.extend_from_slice(&[0; 2]);
        (message[0], message[1]) = (ROUTER_ADVERTISEMENT + random.below(3) as u8, 0);
        for start in [16, 24] {
            let mut at = start;
            while at + 1 < message.len() {
                let left = (message.len() - at).div_ceil(8).min(5);
                (message[at], message[at + 1]) = (random.below(27) as u8, 1 + random.below(left) as u8);
                at += usize::from(message[at + 1]) * 8;
            }
        }
        if let Some(ra) = RouterAdvertisement::parse(&message, ROUTER_ADDRESS) {
            read += 1;
            assert!(ra.prefixes().all(|p| p.len <= 128) && ra.servers().count() < 13);
        }
        read += usize::from(Solicitation::parse(&message, HOST, HOST).is_some());
        read += usize::from(Advertisement::parse(&message, HOST).is_some());
    }
    assert!(read > 500, "{read}");
}
