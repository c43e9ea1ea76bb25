//! The same of IPv6: mutated frames, and packets that are built as only somebody hostile builds them, with right checksums.

mod packets;
mod victim;

use crate::common::ipv6::*;
use crate::{Devices, LONGEST, carry, deed, devices, exchange, talk};
use fata_fuzz::{fuzz, mutated};
use fata_libos::net::Checksum;
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep, timeout};
use fata_netstack::testing::Hub;
use fata_netstack::{Config, Ipv6Config, Resolver, Stack};
use packets::packet;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::net::{Ipv6Addr, SocketAddr};
use victim::{Way, is_alive, victim, way};

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

/// Gives frames to a victim, a few at a time.
fn give(way: Way, frames: Vec<(Vec<u8>, Checksum)>) {
    run(async move {
        let hub = Hub::default();
        let b = victim(&hub, way, Devices::PLAIN).await;
        for (n, (frame, checksum)) in frames.iter().enumerate() {
            hub.inject_with(frame, *checksum);
            if n % 8 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        is_alive(&hub, &b).await;
    });
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
            frame.truncate(LONGEST);
            if let Some(with_length) = mended {
                mend(&mut frame, with_length);
            }
            (frame, checksum)
        });
    fuzz(&(way(), vec(frame, 1..60)), |(way, frames)| give(way, frames));
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
    fuzz(&(way(), devices(), side(), side(), 1..40_000_usize), |(way, devices, there, back, len)| {
        run(async move {
            let (left, right) = (Hub::default(), Hub::default());
            left.capture();
            right.capture();
            let a = Stack::new();
            a.add_interface("main", devices.make(&left, 1), only(Ipv6Config::fixed(A, 64, None)));
            let b = victim(&right, way, devices).await;
            let to: SocketAddr = at(if let Way::Auto = way { LOCAL_B } else { B }, 80);
            let is_clean = there.0.is_empty() && back.0.is_empty();
            let task = spawn(carry(left.clone(), 1, right.clone(), there, devices));
            let other = spawn(carry(right.clone(), 2, left.clone(), back, devices));
            let (len, piece) = devices.said(len);
            for _ in 0..3 {
                let talked = timeout(Duration::from_secs(60), talk(&a, to, len, piece)).await;
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
        let b = victim(&hub, Way::Auto, Devices::PLAIN).await;
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
