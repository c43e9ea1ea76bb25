//! Octets that changed on the medium, and sectors that cannot be read or written: errors, and the rest.

use crate::support::{Content, MIB, Random, content, formatted, small};
use fata_libos::block::{Access, BlockError};
use fata_libos::testing::run;
use fata_storage::kv::{Error, OnDamage, Options, Part, Store};
use fata_storage::testing::SimDisk;

/// Where the first segment begins, octets.
const SEGMENTS: u64 = 64 << 10;

fn value(n: u64) -> Vec<u8> {
    let len = if n.is_multiple_of(9) { 1500 + n * 7 % 3000 } else { n * 13 % 400 };
    (0..len).map(|at| (n + at / 16) as u8).collect()
}

/// A store with keys that are written once, half of them in a checkpoint, half of them in the log behind it.
async fn half_in_the_log() -> (SimDisk, Content) {
    let disk = formatted(4 * MIB, &small()).await;
    let options = Options { tail: 1 << 20, ..small() };
    let store = Store::open(&disk.disk(), options).await.unwrap();
    let mut model = Content::new();
    for n in 0..200 {
        let key = format!("key {:03}", n * 7 % 200);
        store.put(&key, value(n)).await.unwrap();
        model.insert(key.into_bytes(), value(n));
        if n == 100 {
            store.checkpoint().await.unwrap();
        }
    }
    core::mem::forget(store);
    (disk, model)
}

/// Reads all keys one by one and in order: what is found is what was written; gives how many are not found.
async fn missing(store: &Store, model: &Content, what: &str) -> usize {
    let mut missing = 0;
    for (key, value) in model {
        match store.get(key).await {
            Ok(Some(found)) => assert!(found == *value, "{what}: another value at {key:?}"),
            Ok(None) | Err(Error::Corrupt { .. } | Error::Block(BlockError::Failed { .. })) => missing += 1,
            Err(e) => panic!("{what}: {e}"),
        }
    }
    let (mut cursor, mut found, mut errors) = (store.range::<&[u8]>(..), 0, 0);
    loop {
        match cursor.next().await {
            Ok(Some((key, value))) => {
                assert!(model.get(&key) == Some(&value), "{what}: invented {key:?}");
                found += 1;
            }
            Ok(None) => break,
            Err(Error::Corrupt { .. } | Error::Block(BlockError::Failed { .. })) => errors += 1,
            Err(e) => panic!("{what}: {e}"),
        }
        assert!(errors < 1000, "{what}: the cursor stands still");
    }
    assert_eq!(found + missing, model.len(), "{what}: in order and one by one differ");
    missing
}

fn read_only(damage: OnDamage) -> Options {
    Options { access: Access::ReadOnly, damage, ..small() }
}

#[test]
fn an_octet_that_changed_is_noticed_and_the_rest_can_be_read() {
    let step = if std::env::var_os("FATA_FUZZ_SECONDS").is_some() { 1 } else { 61 };
    run(async {
        let (disk, model) = half_in_the_log().await;
        let (mut refused, mut unreadable, mut whole) = (0, 0, 0);
        // The superblocks' area, and as much of the segments; then, more coarsely, all of the log.
        let near = (0..2 * SEGMENTS).step_by(step);
        for octet in near.chain((2 * SEGMENTS..6 * SEGMENTS).step_by(997)) {
            let what = format!("octet {octet}");
            disk.flip(octet, 1 << (octet % 8));
            match Store::open(&disk.disk(), read_only(OnDamage::Refuse)).await {
                Ok(store) => match missing(&store, &model, &what).await {
                    0 => whole += 1,
                    lost => {
                        assert!(lost <= 60, "{what}: {lost} keys");
                        unreadable += 1;
                    }
                },
                Err(Error::Corrupt { what: Part::Frame | Part::Segment | Part::Table, .. }) => {
                    refused += 1;
                    let store = Store::open(&disk.disk(), read_only(OnDamage::Salvage)).await.unwrap();
                    let lost = missing(&store, &model, &what).await;
                    assert!(lost <= 2, "{what}: {lost} keys are not salvaged");
                }
                Err(e) => panic!("{what}: {e}"),
            }
            disk.flip(octet, 1 << (octet % 8));
        }
        println!(
            "{} octets: {refused} refused and salvaged, {unreadable} with unreadable keys, {whole} whole",
            refused + unreadable + whole
        );
        assert!(refused > 50 && unreadable > 50 && whole > 500, "{refused}, {unreadable}, {whole}");
    });
}

/// Of a log that no checkpoint has shortened every octet counts: where one changed, it is said which frame or which segment's
/// header is damaged, and no more than that frame's key is lost.
#[test]
fn each_octet_of_the_log_is_under_a_checksum() {
    let step = if std::env::var_os("FATA_FUZZ_SECONDS").is_some() { 1 } else { 89 };
    run(async {
        let disk = formatted(4 * MIB, &small()).await;
        let options = Options { tail: 1 << 20, ..small() };
        let store = Store::open(&disk.disk(), options).await.unwrap();
        let mut model = Content::new();
        for n in 0..130 {
            let key = format!("key {n:03}");
            store.put(&key, value(n)).await.unwrap();
            model.insert(key.into_bytes(), value(n));
        }
        assert_eq!(store.stats().checkpoints, 0);
        assert!(store.stats().log_octets > SEGMENTS + (8 << 10), "{:?}", store.stats());
        core::mem::forget(store);
        let (mut refused, mut padding) = (0, 0);
        for octet in (SEGMENTS..2 * SEGMENTS).step_by(step) {
            let (what, at, before) = (format!("octet {octet}"), octet - SEGMENTS, refused);
            disk.flip(octet, 1 << (octet % 8));
            match Store::open(&disk.disk(), read_only(OnDamage::Refuse)).await {
                Ok(store) => {
                    // Behind a frame or a header, to the end of its last sector.
                    assert_eq!(missing(&store, &model, &what).await, 0, "{what}");
                    padding += 1;
                }
                // Without its header a segment is none of the log's: what is missing is behind the one before.
                Err(Error::Corrupt { segment, what: Part::Frame, .. }) if at % (16 << 10) < 64 => {
                    assert_eq!(u64::from(segment) + 1, at >> 14, "{what}");
                    refused += 1;
                }
                Err(Error::Corrupt { segment, offset, what: Part::Frame }) => {
                    assert_eq!(u64::from(segment), at >> 14, "{what}");
                    let within = at % (16 << 10);
                    assert!(
                        (u64::from(offset)..u64::from(offset) + 5120).contains(&within),
                        "{what}: {offset}"
                    );
                    refused += 1;
                }
                // That of the first of all.
                Err(Error::Corrupt { what: Part::Segment, .. }) => {
                    assert!(at < 64, "{what}");
                    refused += 1;
                }
                Err(e) => panic!("{what}: {e}"),
            }
            if refused > before {
                let store = Store::open(&disk.disk(), read_only(OnDamage::Salvage)).await.unwrap();
                let lost = missing(&store, &model, &what).await;
                assert!(lost <= 1, "{what}: {lost} keys are not salvaged");
            }
            disk.flip(octet, 1 << (octet % 8));
        }
        println!("{} octets: {refused} refused, {padding} of no use", refused + padding);
        assert!(refused > 300 && padding > 100, "{refused}, {padding}");
    });
}

#[test]
fn a_damaged_superblock_is_made_whole_by_the_next_opening() {
    run(async {
        let (disk, model) = half_in_the_log().await;
        for octet in [100, SEGMENTS - 512 + 9] {
            disk.flip(octet, 1);
            let store = Store::open(&disk.disk(), small()).await.unwrap();
            assert_eq!(content(&store).await, model);
            assert_eq!(store.check().await.unwrap().superblocks, 2);
            store.close().await.unwrap();
        }
        disk.flip(100, 1);
        disk.flip(SEGMENTS - 512 + 100, 1);
        assert_eq!(Store::open(&disk.disk(), small()).await.err(), Some(Error::NoStore));
        let empty = SimDisk::new(512, 4096);
        assert_eq!(Store::open(&empty.disk(), small()).await.err(), Some(Error::NoStore));
    });
}

#[test]
fn sectors_that_cannot_be_read_cost_what_is_in_them() {
    run(async {
        let (disk, model) = half_in_the_log().await;
        let mut salvaged = 0;
        for sector in (0..6 * SEGMENTS / 512).step_by(5) {
            let what = format!("sector {sector}");
            disk.break_reads(sector);
            match Store::open(&disk.disk(), read_only(OnDamage::Refuse)).await {
                Ok(store) => assert!(missing(&store, &model, &what).await <= 60, "{what}"),
                Err(Error::Block(BlockError::Failed { .. })) => {
                    let store = Store::open(&disk.disk(), read_only(OnDamage::Salvage)).await.unwrap();
                    assert!(missing(&store, &model, &what).await <= 60, "{what}");
                    salvaged += 1;
                }
                Err(e) => panic!("{what}: {e}"),
            }
            disk.repair();
        }
        assert!(salvaged > 20, "{salvaged}");
    });
}

#[test]
fn frames_go_elsewhere_where_sectors_cannot_be_written() {
    run(async {
        let mut random = Random::new(5);
        let disk = formatted(MIB, &small()).await;
        // A few of them have segments' headers.
        for segment in [3, 4, 9, 17, 30] {
            disk.break_writes(SEGMENTS / 512 + segment * 32);
        }
        for _ in 0..40 {
            disk.break_writes(SEGMENTS / 512 + random.below((MIB - SEGMENTS) / 512));
        }
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        let mut model = Content::new();
        for n in 0..400 {
            let key = format!("{}", n % 50).into_bytes();
            store.put(&key, value(n)).await.unwrap();
            model.insert(key, value(n));
        }
        assert!(store.stats().bad_writes > 5);
        assert_eq!(content(&store).await, model);
        core::mem::forget(store);
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        assert_eq!(content(&store).await, model);
        assert!(store.check().await.unwrap().is_whole());
    });
}

/// A drive takes seconds to say that it cannot: what is behind the log's end is not asked for over and over.
#[test]
fn a_sector_behind_the_end_that_cannot_be_read_is_tried_twice() {
    run(async {
        let disk = SimDisk::new(512, 4 * MIB / 512);
        let options = Options { segment: Some(64 << 10), ..Options::default() };
        Store::format(&disk.disk(), &options).await.unwrap();
        let store = Store::open(&disk.disk(), options.clone()).await.unwrap();
        store.put("key", "value").await.unwrap();
        core::mem::forget(store);
        disk.break_reads(SEGMENTS / 512 + 40);
        let before = disk.failed_reads();
        let store = Store::open(&disk.disk(), options).await.unwrap();
        assert_eq!(content(&store).await.len(), 1);
        // With what is around it, and alone.
        assert_eq!(disk.failed_reads() - before, 2);
    });
}

/// Sectors that can be neither written nor read, from before the store was made: where they are known to be, nothing is put, and where the log
/// has not been they are no reason to think that it has.
#[test]
fn a_store_is_made_and_opened_on_a_disk_with_bad_sectors() {
    run(async {
        let mut random = Random::new(7);
        let disk = SimDisk::new(512, MIB / 512);
        let mut bad = vec![1, 2, 3, 5, 9, 17, 30].into_iter().map(|segment| segment * 32).collect::<Vec<_>>();
        bad.extend((0..20).map(|_| 33 + random.below((MIB - SEGMENTS) / 512 - 33)));
        for sector in bad {
            disk.break_reads(SEGMENTS / 512 + sector);
            disk.break_writes(SEGMENTS / 512 + sector);
        }
        Store::format(&disk.disk(), &small()).await.unwrap();
        let mut model = Content::new();
        let mut store = Store::open(&disk.disk(), small()).await.unwrap();
        for n in 0..400 {
            let key = format!("{}", n % 50).into_bytes();
            store.put(&key, value(n)).await.unwrap();
            model.insert(key, value(n));
            if n % 10 == 9 {
                core::mem::forget(store);
                store = Store::open(&disk.disk(), small()).await.unwrap();
            }
        }
        assert_eq!(content(&store).await, model);
        assert!(store.check().await.unwrap().is_whole());
    });
}

#[test]
fn what_cannot_be_written_can_be_read() {
    run(async {
        let (disk, model) = half_in_the_log().await;
        disk.set_access(Access::ReadOnly);
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        assert_eq!(content(&store).await, model);
        assert_eq!(store.put("a", "b").await, Err(Error::ReadOnly));
        assert_eq!(store.checkpoint().await, Err(Error::ReadOnly));
        assert!(store.check().await.unwrap().is_whole());
        store.close().await.unwrap();
    });
}

#[test]
fn without_its_table_a_store_is_for_reading_alone() {
    run(async {
        let (disk, model) = half_in_the_log().await;
        let mut found = 0;
        // The table's octets are of no other use: where damage is said to be in it, salvage finds everything.
        for octet in (SEGMENTS..10 * SEGMENTS).step_by(211) {
            disk.flip(octet, 1);
            let refused = Store::open(&disk.disk(), read_only(OnDamage::Refuse)).await.err();
            if refused.is_none() {
                let image = disk.copy();
                let strict = Store::open(&image.disk(), small()).await;
                if let Err(Error::Corrupt { what: Part::Table, .. }) = strict {
                    let options = Options { damage: OnDamage::Salvage, ..small() };
                    let store = Store::open(&image.disk(), options).await.unwrap();
                    assert_eq!(store.put("a", "b").await, Err(Error::ReadOnly));
                    assert_eq!(content(&store).await, model);
                    found += 1;
                }
            }
            disk.flip(octet, 1);
        }
        assert!(found > 2, "{found}");
    });
}
