//! A host on a link whose routers and neighbours say what they like, at moments in milliseconds.

mod bounds;
mod conflicts;
mod prefixes;

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
