//! A host on a link whose routers and neighbours say what they like, at moments in milliseconds.

use super::*;
use crate::ip6::message::tests::{
    ROUTER_ADDRESS, Random, advertised, mtu_option, prefix_option, servers_option,
};
use crate::ip6::mld::MAX_GROUPS;

const MAC: MacAddress = MacAddress([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]);
const LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x3656, 0x78ff, 0xfe9a, 0xbcde);
const NET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0);
const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0x3656, 0x78ff, 0xfe9a, 0xbcde);
const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0x4860, 0, 0, 0, 0, 0, 1);
const NOBODY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
const MTU: u16 = 1500;
const INFINITE: u32 = u32::MAX;

/// All routers that are known.
fn routers(host: &Host) -> Vec<Ipv6Addr> {
    host.gateway().into_iter().chain(host.routers.iter().map(|router| router.address)).collect()
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// The middle of all numbers: of delays the half.
fn middle() -> u32 {
    1 << 31
}

fn host(fixed: Option<Fixed6>) -> Host {
    let mut host = Host::new(MAC, MTU, fixed, middle);
    host.link_up(at(0));
    host
}

/// Lets time go on, and returns what was asked for when.
fn run(host: &mut Host, until: u64) -> Vec<(u64, Ask)> {
    let mut asked = Vec::new();
    while let Some(due) = host.deadline().filter(|due| *due <= at(until)) {
        host.poll(due, &mut |ask| asked.push((due.as_nanos() / 1_000_000, ask)));
        assert!(host.deadline().is_none_or(|next| next > due), "time goes on");
    }
    asked
}

/// A host that has its link-local address.
fn settled(fixed: Option<Fixed6>) -> Host {
    let mut host = host(fixed);
    run(&mut host, 1050);
    assert_eq!(host.state_of(LOCAL), Own::Assigned);
    host
}

fn prefix(address: Ipv6Addr, valid: u32, preferred: u32) -> Prefix {
    Prefix { address, len: 64, on_link: true, autonomous: true, valid, preferred }
}

fn hear_from(
    host: &mut Host,
    millis: u64,
    source: Ipv6Addr,
    flags: u8,
    lifetime: u16,
    options: &[&[u8]],
) -> bool {
    let message = advertised(flags, lifetime, options);
    let said = RouterAdvertisement::parse(&message, ROUTER_ADDRESS).expect("it is sound");
    host.advertisement(at(millis), source, &said)
}

fn hear(host: &mut Host, millis: u64, options: &[&[u8]]) -> bool {
    hear_from(host, millis, ROUTER_ADDRESS, 0, 1800, options)
}

fn hear_prefix(host: &mut Host, millis: u64, said: Prefix) -> bool {
    hear(host, millis, &[&prefix_option(said)])
}

fn router(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, n)
}

fn net(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, n, 0, 0, 0, 0)
}

#[test]
fn the_identifier_is_made_of_the_hardware_address() {
    assert_eq!(host(None).link_local(), LOCAL);
}

#[test]
fn an_address_is_asked_for_before_it_is_used() {
    let mut host = host(None);
    assert_eq!((host.state_of(LOCAL), host.source_for(FAR)), (Own::Tentative, None));
    assert_eq!(host.addresses().collect::<Vec<_>>(), [(LOCAL, 64, false, true)]);
    let asked = run(&mut host, 1049);
    let [(50, Ask::Probe { address: LOCAL, .. }), (50, Ask::RouterSolicitation { source: NOBODY })] =
        asked[..]
    else {
        panic!("{asked:?}")
    };
    assert_eq!(run(&mut host, 1050), [(1050, Ask::Ready(LOCAL))]);
    assert_eq!((host.state_of(LOCAL), host.source_for(FAR)), (Own::Assigned, Some(LOCAL)));
    assert_eq!(host.addresses().collect::<Vec<_>>(), [(LOCAL, 64, false, false)]);
}

#[test]
fn routers_are_asked_for_ever_more_seldom() {
    let mut host = host(None);
    let asked = run(&mut host, 20 * 3_600_000);
    let ours = |(_, ask): &&(u64, Ask)| matches!(ask, Ask::RouterSolicitation { .. });
    let when: Vec<u64> = asked.iter().filter(ours).map(|(when, _)| when / 1000).collect();
    assert_eq!(when[..8], [0, 4, 12, 28, 60, 124, 252, 508]);
    let waits: Vec<u64> = when.windows(2).map(|w| w[1] - w[0]).collect();
    assert_eq!(waits[9..12], [2048, 3600, 3600]);
    let from = asked.iter().filter(ours).nth(1);
    assert_eq!(from.map(|(_, ask)| *ask), Some(Ask::RouterSolicitation { source: LOCAL }));
}

#[test]
fn waits_are_a_tenth_more_or_less() {
    let (short, long) = (longer(Duration::ZERO, 0), longer(Duration::ZERO, u32::MAX));
    assert_eq!((short, long), (Duration::from_millis(3600), Duration::from_millis(4400)));
    assert_eq!(longer(LONGEST_WAIT, 0), Duration::from_secs(3240));
    assert_eq!(longer(Duration::from_secs(3960), u32::MAX), Duration::from_secs(3960));
}

#[test]
fn only_a_router_ends_the_asking() {
    let mut host = settled(None);
    hear_from(&mut host, 1100, ROUTER_ADDRESS, 0, 0, &[]);
    assert_eq!(run(&mut host, 5000).len(), 1, "that was none");
    assert!(hear(&mut host, 5001, &[]));
    assert_eq!(run(&mut host, 1_000_000), []);
    let again = hear(&mut host, 1_000_000, &[]);
    assert!(!again, "nothing is new");
}

#[test]
fn a_prefix_makes_an_address() {
    let mut host = settled(None);
    assert!(hear_prefix(&mut host, 2000, prefix(NET, 100, 50)));
    assert_eq!(host.state_of(GLOBAL), Own::Tentative);
    let asked = run(&mut host, 3050);
    assert!(matches!(asked[0], (2050, Ask::Probe { address: GLOBAL, .. })), "{asked:?}");
    assert_eq!(asked[1..], [(3050, Ask::Ready(GLOBAL))]);
    assert_eq!(host.source_for(FAR), Some(GLOBAL));
    assert_eq!(host.source_for(router(1)), Some(LOCAL));
    assert_eq!(run(&mut host, 52_000), []);
    let deprecated: Vec<bool> = host.addresses().map(|a| a.2).collect();
    assert_eq!(deprecated, [false, true]);
    assert_eq!(run(&mut host, 102_000), [(102_000, Ask::Gone(GLOBAL))]);
    assert_eq!(host.state_of(GLOBAL), Own::No);
    assert_eq!(host.addresses().count(), 1);
}

#[test]
fn prefixes_that_make_none() {
    let mut host = settled(None);
    let good = prefix(NET, 7200, 3600);
    let local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0);
    for bad in [
        Prefix { autonomous: false, ..good },
        Prefix { address: local, ..good },
        Prefix { address: group, ..good },
        Prefix { address: NOBODY, ..good },
        Prefix { preferred: 7201, ..good },
        Prefix { len: 63, ..good },
        Prefix { len: 96, ..good },
        Prefix { valid: 0, preferred: 0, ..good },
    ] {
        hear_prefix(&mut host, 2000, bad);
        assert_eq!(host.addresses().count(), 1, "{bad:?}");
    }
    assert!(hear_prefix(&mut host, 2000, good));
    assert_eq!(host.addresses().count(), 2);
}

/// How many seconds an address remains that had `remaining` when a prefix of `valid` was heard.
fn valid_after(remaining: u32, valid: u32) -> Option<u64> {
    let mut host = settled(None);
    hear_prefix(&mut host, 2000, prefix(NET, remaining, 0));
    run(&mut host, 3050);
    hear_prefix(&mut host, 2000, prefix(NET, valid, 0));
    let own = host.find(GLOBAL).expect("it is there");
    awaited(own.deadline()).map(|due| (due.as_nanos() - at(2000).as_nanos()) / 1_000_000_000)
}

#[test]
fn nobody_shortens_a_lifetime_below_two_hours() {
    assert_eq!(valid_after(600, 7201), Some(7201), "more than two hours");
    assert_eq!(valid_after(100_000, 8000), Some(8000));
    assert_eq!(valid_after(600, 900), Some(900), "more than remains");
    assert_eq!(valid_after(600, 300), Some(600), "less than remains, and that is less than two hours");
    assert_eq!(valid_after(7200, 0), Some(7200));
    assert_eq!(valid_after(7201, 0), Some(7200));
    assert_eq!(valid_after(INFINITE, 10), Some(7200));
    assert_eq!(valid_after(600, INFINITE), None, "for ever");
}

#[test]
fn a_deprecated_address_can_be_preferred_again() {
    let mut host = settled(None);
    let other = Ipv6Addr::from_bits(net(0).to_bits() | u128::from(identifier(MAC)));
    hear_prefix(&mut host, 2000, prefix(net(0), INFINITE, INFINITE));
    hear_prefix(&mut host, 2000, prefix(NET, INFINITE, 100));
    run(&mut host, 4000);
    let near = Ipv6Addr::from_bits(NET.to_bits() | 9);
    assert_eq!(host.source_for(near), Some(GLOBAL));
    assert!(hear_prefix(&mut host, 5000, prefix(NET, INFINITE, 0)), "at once");
    assert_eq!(host.source_for(near), Some(other));
    assert!(hear_prefix(&mut host, 6000, prefix(NET, INFINITE, 10)));
    assert_eq!(host.source_for(near), Some(GLOBAL));
    run(&mut host, 16_000);
    assert_eq!(host.source_for(near), Some(other));
}

#[test]
fn what_is_on_the_link_is_its_own_next_hop() {
    let mut host = settled(None);
    let near = Ipv6Addr::from_bits(NET.to_bits() | 9);
    assert_eq!((host.next_hop(router(7)), host.next_hop(near)), (Some(router(7)), None));
    hear_prefix(&mut host, 2000, Prefix { on_link: false, ..prefix(NET, 100, 50) });
    assert_eq!(host.next_hop(near), Some(ROUTER_ADDRESS), "the prefix is not said to be on the link");
    hear_prefix(&mut host, 2000, prefix(NET, 100, 50));
    assert_eq!((host.next_hop(near), host.next_hop(FAR)), (Some(near), Some(ROUTER_ADDRESS)));
    run(&mut host, 101_999);
    assert_eq!(host.next_hop(near), Some(near));
    run(&mut host, 102_000);
    assert_eq!(host.next_hop(near), Some(ROUTER_ADDRESS));
    hear_prefix(&mut host, 103_000, prefix(NET, INFINITE, INFINITE));
    assert_eq!(host.next_hop(near), Some(near));
    hear_prefix(&mut host, 103_000, prefix(NET, 0, 0));
    assert_eq!(host.next_hop(near), Some(ROUTER_ADDRESS), "this has no two hours");
    for nowhere in [NOBODY, Ipv6Addr::LOCALHOST, crate::ip6::message::ALL_NODES] {
        assert_eq!(host.next_hop(nowhere), None);
    }
}

#[test]
fn routers_come_and_go() {
    const HIGH: u8 = 0x08;
    let mut host = settled(None);
    assert!(hear_from(&mut host, 2000, router(1), 0, 100, &[]));
    assert!(hear_from(&mut host, 2000, router(2), HIGH, 50, &[]));
    assert!(!hear_from(&mut host, 2000, GLOBAL, HIGH, 50, &[]), "routers speak from the link");
    assert_eq!(routers(&host), [router(1), router(2)]);
    assert_eq!(host.next_hop(FAR), Some(router(2)));
    host.router_lost(router(2));
    assert_eq!(host.next_hop(FAR), Some(router(1)));
    host.router_found(router(2));
    assert_eq!(host.next_hop(FAR), Some(router(2)));
    host.router_lost(router(2));
    assert!(!hear_from(&mut host, 3000, router(2), HIGH, 50, &[]), "it is known");
    assert_eq!(host.next_hop(FAR), Some(router(2)), "it speaks: it is there");
    assert!(!host.poll(at(52_999), &mut |_| ()));
    assert!(host.poll(at(53_000), &mut |_| ()), "its lifetime is over");
    assert_eq!(host.next_hop(FAR), Some(router(1)));
    assert!(hear_from(&mut host, 54_000, router(1), 0, 0, &[]), "it says so itself");
    assert_eq!((host.next_hop(FAR), routers(&host).len()), (None, 0));
}

const FIXED: Fixed6 =
    Fixed6 { address: Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 2), prefix_len: 64, gateway: None };

#[test]
fn a_fixed_address_is_the_only_one() {
    let mut host = settled(Some(FIXED));
    assert_eq!(host.state_of(FIXED.address), Own::Assigned);
    assert_eq!(host.source_for(FAR), Some(FIXED.address));
    let near = Ipv6Addr::from_bits(NET.to_bits() | 9);
    assert_eq!((host.next_hop(near), host.next_hop(FAR)), (Some(near), None));
    assert!(hear(&mut host, 2000, &[&prefix_option(prefix(net(3), 100, 50)), &servers_option(9, &[FAR])]));
    assert_eq!(host.addresses().count(), 2);
    let other = Ipv6Addr::from_bits(net(3).to_bits() | 9);
    assert_eq!((host.next_hop(other), host.next_hop(FAR)), (Some(other), Some(ROUTER_ADDRESS)));
    assert_eq!(host.dns().collect::<Vec<_>>(), [FAR]);
}

#[test]
fn a_fixed_gateway_is_the_only_one() {
    let mut host = settled(Some(Fixed6 { gateway: Some(router(9)), ..FIXED }));
    assert_eq!(host.next_hop(FAR), Some(router(9)));
    assert!(!hear_from(&mut host, 2000, router(1), 0x08, 1800, &[]));
    host.router_lost(router(9));
    assert_eq!(host.next_hop(FAR), Some(router(9)));
    assert_eq!(routers(&host), [router(9)]);
    assert_eq!(run(&mut host, 100_000), [], "and the asking has ended");
}

#[test]
fn others_probe_for_the_same_address() {
    let mut host = settled(None);
    hear_prefix(&mut host, 2000, prefix(NET, INFINITE, INFINITE));
    let asked = run(&mut host, 2050);
    let [(_, Ask::Probe { address: GLOBAL, nonce })] = asked[..] else { panic!("{asked:?}") };
    assert_eq!(host.solicited(GLOBAL, Some(nonce), NOBODY), Conflict::No, "it is ours, out of a loop");
    assert_eq!(
        host.solicited(GLOBAL, None, ROUTER_ADDRESS),
        Conflict::No,
        "it wants to talk to whoever has it"
    );
    assert_eq!(host.solicited(FAR, None, NOBODY), Conflict::No);
    assert_eq!(host.state_of(GLOBAL), Own::Tentative);
    assert_eq!(host.solicited(GLOBAL, Some([9; 6]), NOBODY), Conflict::Duplicate);
    assert_eq!((host.state_of(GLOBAL), host.solicited(GLOBAL, None, NOBODY)), (Own::No, Conflict::No));
    assert!(!hear_prefix(&mut host, 2060, prefix(NET, INFINITE, INFINITE)), "it is not tried again");
    assert_eq!(run(&mut host, 100_000), []);
    assert_eq!((host.addresses().count(), host.groups().count()), (1, 1));
}

#[test]
fn an_address_is_another_s_before_and_after_the_probe() {
    for until in [2000, 2060] {
        let mut host = settled(None);
        hear_prefix(&mut host, 2000, prefix(NET, INFINITE, INFINITE));
        run(&mut host, until);
        assert_eq!((host.advertised(GLOBAL), host.state_of(GLOBAL)), (Conflict::Duplicate, Own::No));
    }
    let mut host = settled(None);
    hear_prefix(&mut host, 2000, prefix(NET, INFINITE, INFINITE));
    assert_eq!(host.solicited(GLOBAL, None, NOBODY), Conflict::Duplicate, "no probe of ours was sent");
    // In use, it stays: whoever lies in advertisements would take it from us.
    assert_eq!(
        (host.advertised(LOCAL), host.solicited(LOCAL, None, NOBODY)),
        (Conflict::Claimed, Conflict::No)
    );
    assert_eq!(host.state_of(LOCAL), Own::Assigned);
}

#[test]
fn a_double_of_the_hardware_address_ends_it_all() {
    let mut host = host(Some(FIXED));
    hear(&mut host, 10, &[&servers_option(100, &[FAR])]);
    run(&mut host, 60);
    assert_eq!(host.advertised(LOCAL), Conflict::Disabled);
    let is_off = |host: &Host| {
        let none = (host.source_for(FAR), host.next_hop(router(1)), host.state_of(FIXED.address));
        none == (None, None, Own::No) && host.addresses().count() + host.groups().count() == 0
    };
    assert!(is_off(&host));
    assert!(!hear_prefix(&mut host, 100, prefix(NET, INFINITE, INFINITE)));
    assert_eq!(host.advertised(FIXED.address), Conflict::No);
    assert_eq!(run(&mut host, 1_000_000), [(0, Ask::Gone(FIXED.address))]);
    assert!(is_off(&host) && host.dns().count() + routers(&host).len() == 0);
    host.link_down();
    host.link_up(at(2_000_000));
    run(&mut host, 2_001_050);
    assert_eq!(host.state_of(LOCAL), Own::Assigned);
}

#[test]
fn what_was_in_use_is_told_that_it_ends() {
    let mut host = settled(Some(FIXED));
    // As if the fixed address had been asked for sooner.
    host.addresses[0] = Address::new(at(1050), 0, LOCAL, 64);
    assert_eq!(host.advertised(LOCAL), Conflict::Disabled);
    assert_eq!(host.deadline(), Some(Instant::default()));
    let mut asked = Vec::new();
    host.poll(at(1060), &mut |ask| asked.push(ask));
    assert_eq!((asked, host.deadline()), (vec![Ask::Gone(FIXED.address)], None));
}

#[test]
fn groups_are_those_of_the_addresses() {
    let mut host = host(Some(FIXED));
    let (own, fixed) = (solicited_node(LOCAL), solicited_node(FIXED.address));
    assert_eq!(host.groups().collect::<Vec<_>>(), [own, fixed], "tentative ones too");
    assert!(host.is_member(own) && host.is_member(fixed) && host.is_member(crate::ip6::message::ALL_NODES));
    assert!(!host.is_member(solicited_node(FAR)));
    host = settled(None);
    hear_prefix(&mut host, 2000, prefix(NET, INFINITE, INFINITE));
    assert_eq!(host.addresses().count(), 2);
    assert_eq!(host.groups().collect::<Vec<_>>(), [own], "both end alike");
    const { assert!(AUTOMATIC + 2 <= MAX_GROUPS) }
}

#[test]
fn name_servers_last_as_long_as_is_said() {
    let (mut host, other) = (settled(None), router(53));
    assert!(hear(&mut host, 2000, &[&servers_option(10, &[FAR]), &servers_option(INFINITE, &[other])]));
    assert_eq!(host.dns().collect::<Vec<_>>(), [FAR, other]);
    assert!(!hear(&mut host, 3000, &[&servers_option(10, &[FAR])]));
    assert!(!host.poll(at(12_999), &mut |_| ()));
    assert!(host.poll(at(13_000), &mut |_| ()));
    assert!(hear(&mut host, 14_000, &[&servers_option(0, &[other])]));
    let nobodies = [NOBODY, Ipv6Addr::LOCALHOST, crate::ip6::message::ALL_NODES];
    assert!(!hear(&mut host, 14_000, &[&servers_option(10, &nobodies)]));
    assert_eq!(host.dns().count(), 0);
}

#[test]
fn the_link_s_numbers() {
    let mut host = settled(None);
    assert_eq!(host.mtu(), None);
    let message = [&[134, 0, 0, 0, 17][..], &[0; 11], &mtu_option(1280)].concat();
    let said = RouterAdvertisement::parse(&message, ROUTER_ADDRESS).expect("it is sound");
    host.advertisement(at(2000), ROUTER_ADDRESS, &said);
    assert_eq!(host.mtu(), Some(1280));
    let message = [&[134, 0, 0, 0, 0][..], &[0; 11], &mtu_option(1500)].concat();
    let said = RouterAdvertisement::parse(&message, ROUTER_ADDRESS).expect("it is sound");
    host.advertisement(at(2000), ROUTER_ADDRESS, &said);
    assert_eq!(host.mtu(), Some(1500), "zero says nothing");
    for mtu in [0, 1279, 1501, 65_536 + 1400, u32::MAX] {
        hear(&mut host, 2000, &[&mtu_option(mtu)]);
        assert_eq!(host.mtu(), Some(1500), "{mtu}");
    }
    host.link_up(at(9000));
    assert_eq!(host.mtu(), None);
}

#[test]
fn each_link_is_learned_anew() {
    let mut host = settled(None);
    hear(&mut host, 2000, &[&prefix_option(prefix(NET, 100, 50)), &servers_option(100, &[FAR])]);
    run(&mut host, 4000);
    host.link_down();
    assert_eq!((host.deadline(), host.poll(at(200_000), &mut |ask| panic!("{ask:?}"))), (None, false));
    assert!(!hear_prefix(&mut host, 200_000, prefix(net(1), 100, 50)), "nothing comes off it");
    assert_eq!(host.advertised(LOCAL), Conflict::No);
    assert_eq!(host.state_of(GLOBAL), Own::Assigned, "nor is anything forgotten");
    host.link_up(at(300_000));
    assert_eq!((host.state_of(LOCAL), host.state_of(GLOBAL)), (Own::Tentative, Own::No));
    assert_eq!(host.dns().count() + routers(&host).len(), 0);
    let asked = run(&mut host, 301_050);
    assert_eq!((asked.len(), asked.last()), (3, Some(&(301_050, Ask::Ready(LOCAL)))));
    assert!(hear_prefix(&mut host, 302_000, prefix(NET, 100, 50)));
}

/// That a host keeps no more than it may.
fn check_bounds(host: &Host) {
    assert!(host.addresses.len() <= AUTOMATIC + 2);
    assert!(host.routers.iter().count() <= ROUTERS);
    assert!(host.prefixes.iter().count() <= PREFIXES);
    assert!(host.servers.iter().count() <= SERVERS);
    assert!(host.groups().count() <= host.addresses.len());
}

#[test]
fn a_flood_finds_no_room_and_pushes_nothing_out() {
    let mut host = settled(None);
    assert!(hear(&mut host, 2000, &[&prefix_option(prefix(NET, INFINITE, INFINITE))]));
    for n in 0..10_000 {
        let prefix = prefix_option(prefix(net(n), INFINITE, INFINITE));
        let servers = servers_option(INFINITE, &[net(n)]);
        hear_from(&mut host, 2000, router(n), 0, 9000, &[&prefix, &servers]);
        check_bounds(&host);
    }
    let refused = host.take_refused();
    assert!(refused >= 4 * (10_000 - 16), "{refused}");
    assert_eq!(host.addresses().count(), 1 + AUTOMATIC);
    assert_eq!((routers(&host).len(), host.dns().count()), (ROUTERS, SERVERS));
    assert_eq!(host.prefixes.iter().count(), PREFIXES);
    run(&mut host, 5000);
    assert_eq!((host.state_of(GLOBAL), host.next_hop(FAR)), (Own::Assigned, Some(ROUTER_ADDRESS)));
}

#[test]
fn whatever_happens_bounds_hold_and_time_goes_on() {
    for seed in 1..300 {
        let mut random = Random(seed);
        let mut host = Host::new(MAC, MTU, (seed % 3 == 0).then_some(FIXED), middle);
        let mut now = 0;
        for _ in 0..100 {
            now += random.next() % 5000;
            let targets = [LOCAL, GLOBAL, FIXED.address, FAR];
            let target = targets[random.below(4)];
            match random.below(16) {
                0 => host.link_up(at(now)),
                1 if random.below(8) == 0 => host.link_down(),
                2 if random.below(4) == 0 => drop(host.advertised(target)),
                3 if random.below(4) == 0 => drop(host.solicited(target, None, NOBODY)),
                4 => host.router_lost(router(random.below(12) as u16)),
                5 => host.router_found(router(random.below(12) as u16)),
                _ => {
                    let net = if random.below(2) == 0 { NET } else { net(random.below(30) as u16) };
                    let lifetimes = [0, 1, 10, 7200, 7201, INFINITE];
                    let said = Prefix {
                        len: [64, 64, 64, 0, 128][random.below(5)],
                        ..prefix(net, lifetimes[random.below(6)], lifetimes[random.below(6)])
                    };
                    let servers = servers_option(lifetimes[random.below(6)], &[net]);
                    let mut noise = [200, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                    random.fill(&mut noise[2..]);
                    let (source, flags) = (router(random.below(12) as u16), random.next() as u8);
                    let lifetime = [0, 5, 1800, u16::MAX][random.below(4)];
                    let options = [&prefix_option(said)[..], &servers, &noise];
                    hear_from(&mut host, now, source, flags, lifetime, &options);
                }
            }
            check_bounds(&host);
            run(&mut host, now);
            let from = host.source_for(target);
            assert!(from.is_none_or(|from| host.state_of(from) == Own::Assigned));
            assert!(host.deadline().is_none_or(|due| due > at(now)));
        }
    }
}
