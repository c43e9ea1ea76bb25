//! One value in two places: what is there after a loss of power, and with damage.

use fata_libos::block::{Access, BlockError};
use fata_libos::testing::run;
use fata_storage::disk::{Fault, Faults};
use fata_storage::slots::{HEAD, Slots, SlotsError};
use fata_storage::testing::SimDisk;

const MOST: usize = 64 * 1024;

/// A value of so many octets, which differ by `seed`.
fn value(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|n| seed ^ (n % 251) as u8).collect()
}

async fn read(disk: &SimDisk) -> Option<Vec<u8>> {
    Slots::new(&disk.disk(), MOST).unwrap().read().await.unwrap().map(|value| value.to_vec())
}

#[test]
fn the_last_value_is_read() {
    run(async {
        for sector in [512, 4096] {
            let disk = SimDisk::new(sector, 64);
            assert_eq!(read(&disk).await, None);
            let mut slots = Slots::new(&disk.disk(), MOST).unwrap();
            for (n, len) in
                [0, 1, sector - HEAD, sector - HEAD + 1, 5000, slots.capacity(), 3].into_iter().enumerate()
            {
                slots.write(&value(n as u8, len)).await.unwrap();
                assert_eq!(slots.read().await.unwrap().unwrap()[..], value(n as u8, len));
                // By who comes anew, who writes on where the other one was.
                assert_eq!(read(&disk).await, Some(value(n as u8, len)));
                slots = Slots::new(&disk.disk(), MOST).unwrap();
            }
        }
    });
}

/// Whatever of a write is on the medium: the value before or the new one is read, and the one that is read is replaced by another write.
#[test]
fn a_loss_of_power_leaves_the_one_or_the_other() {
    run(async {
        let mut seed = 1_u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 33
        };
        let values: Vec<_> = (0..6).map(|n| value(n, 700 * usize::from(n) + 100)).collect();
        let mut disk = SimDisk::new(512, 64);
        disk.trace();
        let mut slots = Slots::new(&disk.disk(), MOST).unwrap();
        let mut ends = vec![0];
        for value in &values {
            slots.write(value).await.unwrap();
            ends.push(disk.moment());
        }
        for moment in 0..=disk.moment() {
            // Values whose writing has ended, and the one that is being written.
            let done = ends.iter().rposition(|end| *end <= moment).unwrap();
            let allowed = [done.checked_sub(1).map(|n| &values[n]), values.get(done)];
            let by_chance: Vec<_> = (0..50).map(|_| disk.after_crash(moment, &mut random)).collect();
            for crashed in disk.crashes(moment).into_iter().chain(by_chance) {
                let found = read(&crashed).await;
                let is_right =
                    found.as_ref() == allowed[0] || (found.is_some() && found.as_ref() == allowed[1]);
                assert!(is_right, "at {moment}, after {done}: {:?}", found.map(|value| value.len()));
                Slots::new(&crashed.disk(), MOST).unwrap().write(b"after it").await.unwrap();
                assert_eq!(read(&crashed).await.as_deref(), Some(&b"after it"[..]), "at {moment}");
            }
        }
    });
}

#[test]
fn a_write_that_is_cut_at_any_sector_leaves_the_value_before() {
    run(async {
        let (first, second) = (value(1, 5000), value(2, 6000));
        for (old, written) in [(None, 0), (Some(&first), 1), (Some(&second), 2)] {
            for sectors in 0..(HEAD + 7000).div_ceil(512) {
                let disk = SimDisk::new(512, 64);
                let faults = Faults::new(&disk.disk());
                let mut slots = Slots::new(&faults.disk(), MOST).unwrap();
                for value in [&first, &second].into_iter().take(written) {
                    slots.write(value).await.unwrap();
                }
                faults.add(Fault::Torn { after: 0, sectors });
                assert!(matches!(slots.write(&value(3, 7000)).await, Err(SlotsError::Block(_))));
                assert_eq!(read(&disk).await.as_ref(), old, "cut after {sectors}");
                // The same one goes on.
                slots.write(b"another").await.unwrap();
                assert_eq!(read(&disk).await.as_deref(), Some(&b"another"[..]));
            }
        }
    });
}

#[test]
fn damage_costs_one_place() {
    run(async {
        let values = [value(1, 1000), value(2, 1000)];
        let disk = SimDisk::new(512, 64);
        let mut slots = Slots::new(&disk.disk(), MOST).unwrap();
        for value in &values {
            slots.write(value).await.unwrap();
        }
        // Of the first place behind the second one's: the older value is left where the newer one is damaged.
        let second = 32 * 512;
        for octet in 0..HEAD + 1000 {
            for (place, left) in [(0, 1), (second, 0)] {
                let damaged = disk.copy();
                damaged.flip((place + octet) as u64, 0x10);
                assert_eq!(read(&damaged).await.as_ref(), Some(&values[left]), "octet {octet} of {place}");
                let mut slots = Slots::new(&damaged.disk(), MOST).unwrap();
                slots.write(b"after it").await.unwrap();
                assert_eq!(
                    read(&damaged).await.as_deref(),
                    Some(&b"after it"[..]),
                    "octet {octet} of {place}"
                );
            }
        }
        for (sector, left) in [(0, 1), (1, 1), (32, 0), (33, 0)] {
            let unreadable = disk.copy();
            unreadable.break_reads(sector);
            assert_eq!(read(&unreadable).await.as_ref(), Some(&values[left]), "sector {sector}");
        }
        // Both are damaged: what is left of the newer one, for who can use a part of it.
        let damaged = disk.copy();
        damaged.flip(HEAD as u64 + 7, 1);
        damaged.flip((second + HEAD) as u64 + 7, 1);
        let mut left = values[1].clone();
        left[7] ^= 1;
        assert_eq!(read(&damaged).await, Some(left));
    });
}

#[test]
fn what_is_left_of_a_newer_value_comes_along() {
    run(async {
        let disk = SimDisk::new(512, 64);
        let mut slots = Slots::new(&disk.disk(), MOST).unwrap();
        for seed in [1, 2] {
            slots.write(&value(seed, 1000)).await.unwrap();
        }
        let second = 32 * 512;
        let find = async |octets: &[u64]| {
            let damaged = disk.copy();
            octets.iter().for_each(|octet| damaged.flip(*octet, 1));
            let found =
                Slots::new(&damaged.disk(), MOST).unwrap().read_with_remains().await.unwrap().unwrap();
            (found.value.to_vec(), found.remains.to_vec())
        };
        let flipped = |seed, at: usize| {
            let mut value = value(seed, 1000);
            value[at] ^= 1;
            value
        };
        let head = HEAD as u64;
        assert_eq!(find(&[]).await, (value(2, 1000), Vec::new()));
        // The older one has nothing that is wanted.
        assert_eq!(find(&[head + 500]).await, (value(2, 1000), Vec::new()));
        assert_eq!(find(&[second + head + 500]).await, (value(1, 1000), flipped(2, 500)));
        assert_eq!(find(&[head + 500, second + head + 5]).await, (flipped(2, 5), flipped(1, 500)));
        // A length that may be wrong is not believed.
        let (whole, remains) = find(&[second + 17]).await;
        assert_eq!(
            (whole, &remains[..1000], remains.len()),
            (value(1, 1000), &value(2, 1000)[..], slots.capacity())
        );
    });
}

#[test]
fn what_somebody_else_has_written_is_not_overwritten() {
    run(async {
        let disk = SimDisk::new(512, 64);
        disk.flip(3, 1);
        let mut slots = Slots::new(&disk.disk(), MOST).unwrap();
        assert_eq!(slots.read().await, Err(SlotsError::Foreign));
        assert_eq!(slots.write(b"value").await, Err(SlotsError::Foreign));
    });
}

#[test]
fn what_cannot_be_is_an_error() {
    run(async {
        assert_eq!(
            Slots::new(&SimDisk::new(512, 1).disk(), MOST).unwrap_err(),
            SlotsError::TooSmall { octets: 512 }
        );
        let disk = SimDisk::new(512, 4);
        let mut slots = Slots::new(&disk.disk(), MOST).unwrap();
        let capacity = 1024 - HEAD;
        assert_eq!(slots.capacity(), capacity);
        let long = SlotsError::TooLong { octets: capacity + 1, capacity };
        assert_eq!(slots.write(&value(1, capacity + 1)).await, Err(long));
        assert_eq!(Slots::new(&disk.disk(), 10).unwrap().capacity(), 10);
        disk.set_access(Access::ReadOnly);
        let refused = SlotsError::Block(BlockError::ReadOnly { sector: 0 });
        assert_eq!(slots.write(b"value").await, Err(refused));
        // Of a disk that cannot be read nobody knows that nothing is on it.
        let disk = SimDisk::new(512, 64);
        disk.break_reads(32);
        let failed = SlotsError::Block(BlockError::Failed { sector: 32, status: 5 });
        assert_eq!(Slots::new(&disk.disk(), MOST).unwrap().read().await, Err(failed));
    });
}
