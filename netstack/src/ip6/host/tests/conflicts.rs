//! Addresses that others have, or say that they have.

use super::*;

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
