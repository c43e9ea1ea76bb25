//! Tests of what both ends agree on: rings of several pages, several of them, and back ends that know nothing of either.

use super::tests::{Bench, bench, octets, read, restart, until, write};
use super::{Blkfront, Limits, open_number};
use fata_libos::block::{Access, BlockDevice, InFlight};
use fata_libos::time::{Duration, sleep};
use proptest::prelude::*;

use super::tests::NUMBER;

/// What a device may use at the most here.
const WIDE: Limits = Limits { queues: 4, ..Limits::DEFAULT };

pub(super) fn offer(b: &Bench, keys: &[(&str, &str)]) {
    keys.iter().for_each(|(key, value)| b.back.offer(key, value));
}

pub(super) async fn connected_with(b: &Bench, limits: Limits) -> Blkfront {
    let disk = open_number(&b.xen, b.store.clone(), NUMBER, Access::ReadWrite, limits);
    until("it connects", || disk.geometry().sectors > 0).await;
    disk
}

/// What a back end may offer, and what a device may use.
pub(super) fn offers() -> impl Strategy<Value = (Vec<(&'static str, String)>, Limits)> {
    let number = |values: &'static [u32]| prop::sample::select(values).prop_map(|n| n.to_string());
    let keys = (number(&[0, 1, 2, 9]), number(&[0, 1, 2, 3]), number(&[0, 12, 40, 256]), number(&[0, 1]));
    let keys = keys.prop_map(|(order, queues, segments, keeps)| {
        Vec::from([
            ("max-ring-page-order", order),
            ("multi-queue-max-queues", queues),
            ("feature-max-indirect-segments", segments),
            ("feature-persistent", keeps),
        ])
    });
    let limits = (1_u32..4, prop::sample::select(&[0_usize, 1, 20, 512][..]))
        .prop_map(|(queues, copied_pages)| Limits { queues, copied_pages, ..Limits::DEFAULT });
    (keys, limits)
}

/// Writes in many requests at once, reads them again likewise, and sees that each was done where it belongs.
pub(super) async fn works(b: &Bench, disk: &Blkfront) {
    let len = |n: u64| 512 * (1 + n as usize % 13);
    let writes: Vec<InFlight> = (0..150).map(|n| write(disk, 13 * n, &octets(len(n), n as usize))).collect();
    for request in writes {
        request.await.result.unwrap();
    }
    let reads: Vec<InFlight> = (0..150).map(|n| read(disk, 13 * n, len(n))).collect();
    for (n, request) in reads.into_iter().enumerate() {
        let got = request.await;
        got.result.unwrap();
        let sent = octets(len(n as u64), n);
        assert!(got.buffer.as_deref() == Some(&*sent), "request {n} is read as it was written");
        let at = 13 * n * 512;
        assert!(b.back.disk.borrow()[at..at + sent.len()] == sent, "request {n} is on the disk");
    }
}

/// How many requests each ring holds, and how many rings there are.
async fn rings(b: &Bench, disk: &Blkfront) -> Vec<usize> {
    b.back.hold();
    let mut requests: Vec<InFlight> = (0..1000).map(|n| read(disk, 2 * (n % 500), 512)).collect();
    sleep(Duration::from_millis(10)).await;
    let taken = b.back.take();
    let count = b.back.with_rings(|rings| rings.len());
    let held = (0..count).map(|queue| taken.iter().filter(|t| t.queue == queue).count()).collect();
    taken.into_iter().for_each(|t| b.back.perform(t));
    b.back.serve();
    for request in &mut requests {
        request.await.result.unwrap();
    }
    held
}

#[test]
fn rings_have_as_many_pages_as_both_want() {
    for (offered, limits, slots) in [
        (None, WIDE, 32),
        (Some("0"), WIDE, 32),
        (Some("1"), WIDE, 64),
        (Some("2"), WIDE, 128),
        (Some("4"), WIDE, 128),
        (Some("4294967295"), WIDE, 128),
        (Some("4"), Limits { ring_order: 0, ..WIDE }, 32),
    ] {
        bench(async |b| {
            if let Some(order) = offered {
                b.back.offer("max-ring-page-order", order);
            }
            let disk = connected_with(b, limits).await;
            assert_eq!(rings(b, &disk).await, [slots], "{offered:?}");
            works(b, &disk).await;
            disk
        });
    }
}

#[test]
fn queues_are_as_many_as_both_want() {
    for (offered, limits, slots) in [
        (&[("multi-queue-max-queues", "2")][..], WIDE, &[32; 2][..]),
        (&[("multi-queue-max-queues", "9")], WIDE, &[32; 4]),
        (&[("multi-queue-max-queues", "0")], WIDE, &[32]),
        (&[("multi-queue-max-queues", "4")], Limits::DEFAULT, &[32]),
        (&[("multi-queue-max-queues", "3"), ("max-ring-page-order", "1")], WIDE, &[64; 3]),
    ] {
        bench(async |b| {
            offer(b, offered);
            let disk = connected_with(b, limits).await;
            assert_eq!(rings(b, &disk).await, slots, "{offered:?}");
            works(b, &disk).await;
            disk
        });
    }
}

/// What one connection wrote for its back end does not mislead the next one.
#[test]
fn back_ends_that_offer_something_else_each_time_are_followed() {
    bench(async |b| {
        b.back.offer("max-ring-page-order", "2");
        let disk = connected_with(b, WIDE).await;
        for (keys, slots) in [
            (&[("multi-queue-max-queues", "3")][..], &[128; 3][..]),
            (&[("max-ring-page-order", "0")], &[32; 3]),
            (&[("multi-queue-max-queues", "1")], &[32]),
            (&[("max-ring-page-order", "1")], &[64]),
            (&[("multi-queue-max-queues", "2")], &[64; 2]),
        ] {
            offer(b, keys);
            restart(b).await;
            assert_eq!(rings(b, &disk).await, slots, "{keys:?}");
        }
        works(b, &disk).await;
        disk
    });
}

#[test]
fn without_memory_for_large_rings_they_are_small() {
    bench(async |b| {
        b.back.offer("max-ring-page-order", "2");
        b.hv.fail_allocations_of(Some(4));
        let disk = connected_with(b, WIDE).await;
        b.hv.fail_allocations_of(None);
        assert_eq!(rings(b, &disk).await, [64]);
        works(b, &disk).await;
        disk
    });
}

#[test]
fn offers_that_make_no_sense_are_no_connection_until_they_do() {
    for key in ["max-ring-page-order", "multi-queue-max-queues"] {
        for value in ["many", "-1", "4294967296", ""] {
            bench(async |b| {
                b.back.offer(key, value);
                let disk = b.open();
                sleep(Duration::from_secs(10)).await;
                assert_eq!(disk.geometry().sectors, 0, "{key}={value}");
                b.back.offer(key, "1");
                until("it connects", || disk.geometry().sectors == 2048).await;
                disk
            });
        }
    }
}
