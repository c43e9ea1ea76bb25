//! What routers say of prefixes: the addresses made of them, their lifetimes, and what is on the link.

use super::*;

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
