//! The driver against a device of the tests.

use super::{DISCARD, Features, STATUS_OK, VirtioBlk};
use crate::VirtioError;
use crate::fake::{FakeDevice, FakeHal};
use fata_libos::block::{Access, BlockError, Buffer, Discard, Disk};
use fata_libos::task::{WakerSet, spawn_detached};
use fata_libos::testing::run;
use std::cell::RefCell;
use std::rc::Rc;
use virtio_drivers::transport::{DeviceStatus, DeviceType};

/// What a device was asked to discard: from which sector of 512 octets on, how many.
type Asked = Rc<RefCell<Vec<(u64, u32)>>>;

/// A device of so many sectors of 512 octets, of whose discards the one with number `bad` fails.
fn device(
    sectors: u64,
    sector_size: u32,
    most: u32,
    bad: Option<usize>,
) -> (FakeDevice, Asked, &'static WakerSet) {
    let mut config = vec![0; 60];
    config[..8].copy_from_slice(&sectors.to_le_bytes());
    config[20..24].copy_from_slice(&sector_size.to_le_bytes());
    config[36..40].copy_from_slice(&most.to_le_bytes());
    let features = Features::VERSION_1 | Features::DISCARD | Features::BLK_SIZE;
    let device = FakeDevice::new(DeviceType::Block, features.bits(), &config);
    let (asked, interrupted) = (Asked::default(), &*Box::leak(Box::<WakerSet>::default()));
    let seen = asked.clone();
    device.0.borrow_mut().on_notify = Some(Rc::new(move |device, _| {
        let (device, seen) = (device.clone(), seen.clone());
        // Later, as a device is.
        spawn_detached(async move {
            answer(&device, &seen, bad);
            interrupted.wake_all();
        });
    }));
    (device, asked, interrupted)
}

/// Does what the driver asks for, which are discards alone.
fn answer(device: &FakeDevice, asked: &Asked, bad: Option<usize>) {
    while let Some(given) = device.next(0) {
        let octets = given.read();
        let number = |from: usize, len: usize| {
            octets[from..from + len].iter().rev().fold(0, |number, octet| number << 8 | u64::from(*octet))
        };
        assert_eq!((octets.len(), number(0, 4)), (33, u64::from(DISCARD)));
        let status = if bad == Some(asked.borrow().len()) { 1 } else { STATUS_OK };
        asked.borrow_mut().push((number(16, 8), number(24, 4) as u32));
        given.write_last(&[status]);
        device.give_back(0, given.id.into(), 1);
    }
}

fn disk(device: &FakeDevice, interrupted: &'static WakerSet) -> Disk {
    let started = VirtioBlk::<_, FakeHal>::new(device.clone(), Access::ReadWrite, interrupted, || {});
    Disk::new(started.map_err(|e| e.to_string()).unwrap())
}

#[test]
fn a_long_discard_is_as_many_as_the_device_wants() {
    run(async {
        let (device, asked, interrupted) = device(1 << 34, 512, u32::MAX, None);
        let disk = disk(&device, interrupted);
        disk.discard(7, (1 << 33) + 5).await.unwrap();
        let most = u32::MAX;
        let first = [(7, most), (7 + u64::from(most), most), (7 + 2 * u64::from(most), 7)];
        assert_eq!(asked.take(), first);
        disk.discard(3, 2).await.unwrap();
        assert_eq!(asked.take(), [(3, 2)]);
    });
    run(async {
        let (device, asked, interrupted) = device(8000, 4096, 100, None);
        let disk = disk(&device, interrupted);
        disk.discard(1, 30).await.unwrap();
        // Whole sectors of the disk, which has eight of the device's in each of its own.
        assert_eq!(asked.take(), [(8, 96), (104, 96), (200, 48)]);
    });
}

#[test]
fn a_discard_ends_with_the_first_part_that_fails() {
    run(async {
        let (device, asked, interrupted) = device(8000, 512, 10, Some(1));
        let disk = disk(&device, interrupted);
        assert_eq!(disk.discard(5, 35).await, Err(BlockError::Failed { sector: 5, status: 1 }));
        assert_eq!(asked.take(), [(5, 10), (15, 10)]);
    });
}

#[test]
fn who_discards_less_than_a_sector_discards_nothing() {
    run(async {
        for (most, wanted) in [(0, Discard::Unsupported), (7, Discard::Unsupported), (8, Discard::Supported)]
        {
            let (device, _, interrupted) = device(8000, 4096, most, None);
            assert_eq!(disk(&device, interrupted).geometry().discard, wanted);
        }
    });
}

/// A device that says to have written so much of each read.
fn lying(written: u32) -> (FakeDevice, &'static WakerSet) {
    let mut config = vec![0; 60];
    config[..8].copy_from_slice(&8000_u64.to_le_bytes());
    let device = FakeDevice::new(DeviceType::Block, Features::VERSION_1.bits(), &config);
    let interrupted = &*Box::leak(Box::<WakerSet>::default());
    device.0.borrow_mut().on_notify = Some(Rc::new(move |device, _| {
        let device = device.clone();
        spawn_detached(async move {
            while let Some(given) = device.next(0) {
                given.write_last(&[STATUS_OK]);
                device.give_back(0, given.id.into(), written);
            }
            interrupted.wake_all();
        });
    }));
    (device, interrupted)
}

#[test]
fn a_device_that_writes_more_than_it_may_is_given_up() {
    for (written, wanted) in [(513, Ok(())), (514, Err(BlockError::Gone { sector: 9 }))] {
        run(async {
            let (device, interrupted) = lying(written);
            let disk = disk(&device, interrupted);
            assert_eq!(disk.read(9, 1).await.map(drop), wanted);
            let is_stopped = device.0.borrow().status == DeviceStatus::empty();
            assert_eq!(is_stopped, wanted.is_err());
            assert_eq!(disk.read(9, 1).await.map(drop), wanted, "the next request");
        });
    }
    // What is not read has room for the status alone.
    run(async {
        let (device, interrupted) = lying(2);
        let disk = disk(&device, interrupted);
        assert_eq!(disk.write(9, Buffer::zeroed(512)).await.map(drop), Err(BlockError::Gone { sector: 9 }));
    });
}

#[test]
fn a_device_that_does_not_agree_to_the_features_is_none() {
    let (device, interrupted) = lying(513);
    device.0.borrow_mut().refuses = true;
    let started = VirtioBlk::<_, FakeHal>::new(device, Access::ReadWrite, interrupted, || {});
    assert!(matches!(started, Err(VirtioError::Device)));
}
