//! What a host keeps of what it is told, whatever that is.

use super::*;

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
