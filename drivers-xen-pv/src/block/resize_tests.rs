//! Tests of disks that become larger or smaller while they are in use.

use super::tests::{OCTETS, bench, is_done, octets, read, until, write};
use crate::xenbus::XenbusState;
use fata_libos::block::{BlockDevice, BlockError};
use fata_libos::time::{Duration, sleep};

#[test]
fn a_disk_that_grows_can_be_used_up_to_its_new_end() {
    bench(async |b| {
        let disk = b.connected().await;
        let beyond = Err(BlockError::OutOfRange { sector: 4095, count: 1, sectors: 2048 });
        assert_eq!(read(&disk, 4095, 512).await.result, beyond);
        b.back.resize(2 * OCTETS);
        until("the size is known", || disk.geometry().sectors == 4096).await;
        write(&disk, 4095, &octets(512, 1)).await.result.unwrap();
        b.back.resize(3 * OCTETS);
        until("the size is known", || disk.geometry().sectors == 6144).await;
        assert_eq!(b.back.connects(), 1, "without another connection");
        disk
    });
}

#[test]
fn a_disk_that_shrinks_fails_what_was_beyond_its_end_and_nothing_else() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.hold();
        let (inside, beyond) = (write(&disk, 1, &octets(512, 1)), write(&disk, 2000, &octets(512, 1)));
        sleep(Duration::from_millis(10)).await;
        b.back.resize(OCTETS / 2);
        until("the size is known", || disk.geometry().sectors == 1024).await;
        b.back.serve();
        inside.await.result.unwrap();
        assert_eq!(beyond.await.result, Err(BlockError::Failed { sector: 2000, status: -1 }));
        let beyond = Err(BlockError::OutOfRange { sector: 1024, count: 1, sectors: 1024 });
        assert_eq!(read(&disk, 1024, 512).await.result, beyond);
        disk
    });
}

#[test]
fn sizes_are_in_the_rings_sectors_whatever_the_disks_are() {
    bench(async |b| {
        b.back.offer("sector-size", "4096");
        let disk = b.connected().await;
        assert_eq!(disk.geometry().sectors, 256);
        b.back.resize(2 * OCTETS);
        until("the size is known", || disk.geometry().sectors == 512).await;
        disk
    });
}

/// Some back ends write the size alone; some write the state although nothing is new.
#[test]
fn the_size_counts_and_not_how_it_is_told() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.disk.borrow_mut().resize(2 * OCTETS, 0);
        b.back.set_back_key("sectors", "4096");
        until("the size is known", || disk.geometry().sectors == 4096).await;
        let before = disk.geometry();
        for _ in 0..3 {
            b.back.show_state(XenbusState::Connected);
            b.back.set_back_key("sectors", "4096");
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!((disk.geometry(), b.back.connects()), (before, 1));
        disk
    });
}

#[test]
fn what_is_in_flight_goes_on_while_the_size_changes() {
    bench(async |b| {
        let disk = b.connected().await;
        for n in 1..40 {
            let mut request = write(&disk, n as u64, &octets(3 * 4096, n));
            b.back.resize(OCTETS + 512 * n);
            (&mut request).await.result.unwrap();
        }
        until("the size is known", || disk.geometry().sectors == 2048 + 39).await;
        disk
    });
}

#[test]
fn a_size_that_makes_no_sense_costs_the_connection() {
    for value in ["many", "-1", "", "18014398509481984"] {
        bench(async |b| {
            let disk = b.connected().await;
            b.back.set_back_key("sectors", value);
            until("it is connected again", || b.back.connects() == 2).await;
            let mut request = write(&disk, 9, &octets(512, 1));
            (&mut request).await.result.unwrap();
            assert_eq!(disk.geometry().sectors, 2048);
            disk
        });
    }
}

#[test]
fn a_size_that_vanishes_is_a_device_that_is_gone() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.hold();
        let mut request = write(&disk, 9, &octets(512, 1));
        sleep(Duration::from_millis(10)).await;
        b.back.remove();
        sleep(Duration::from_secs(60)).await;
        let outcome = is_done(&mut request).await.expect("it has ended");
        assert_eq!(outcome.result, Err(BlockError::Gone { sector: 9 }));
        b.back.plug();
        b.back.serve();
        until("it is connected again", || b.back.connects() == 2).await;
        disk
    });
}
