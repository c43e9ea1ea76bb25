//! Superblocks whose sectors cannot be written, and what is behind the log's end.

use crate::support::{Content, MIB, content, formatted, formatted_with, small};
use fata_libos::block::{Access, Buffer};
use fata_libos::testing::run;
use fata_storage::kv::{Error, OnDamage, Options, Store};
use fata_storage::testing::SimDisk;

/// Octets of the area of the superblocks.
const AREA: u64 = 64 << 10;

/// Commits and checkpoints, as many as it takes for each segment to be used again.
async fn work(store: &Store, model: &mut Content, rounds: u32) {
    for round in 0..rounds {
        for n in 0..10 {
            let (key, value) = (format!("key {n}").into_bytes(), vec![round as u8; 700]);
            store.put(&key, value.clone()).await.unwrap();
            model.insert(key, value);
        }
        store.checkpoint().await.unwrap();
    }
}

#[test]
fn a_superblock_whose_sector_cannot_be_written_goes_elsewhere() {
    for sector in [512, 4096] {
        let own = [0, AREA / sector - 1];
        for bad in [&own[..1], &own[1..], &own[..]] {
            run(async {
                let disk = formatted_with(sector as usize, 600 << 10, &small()).await;
                let store = Store::open(&disk.disk(), small()).await.unwrap();
                let mut model = Content::new();
                work(&store, &mut model, 2).await;
                assert_eq!(store.stats().bad_superblocks, 0);
                bad.iter().for_each(|sector| disk.break_writes(*sector));
                work(&store, &mut model, 40).await;
                assert_eq!(store.stats().bad_superblocks as usize, bad.len());
                // The program ends without notice; the disk is as bad as before.
                core::mem::forget(store);
                let store = Store::open(&disk.disk(), small()).await.unwrap();
                assert_eq!(content(&store).await, model);
                assert_eq!(store.stats().bad_superblocks as usize, bad.len());
                work(&store, &mut model, 40).await;
                assert!(store.check().await.unwrap().is_whole());
                store.close().await.unwrap();
                // What was bad cannot be read either: the store is there all the same.
                bad.iter().for_each(|sector| disk.break_reads(*sector));
                let options = Options { access: Access::ReadOnly, ..small() };
                let store = Store::open(&disk.disk(), options).await.unwrap();
                assert_eq!(content(&store).await, model);
                assert_eq!(store.check().await.unwrap().superblocks, 2);
            });
        }
    }
}

/// It can be written again one day, and then the spare one is not to come back when all others are lost.
#[test]
fn a_spare_sector_that_is_not_needed_any_more_is_empty() {
    run(async {
        let disk = formatted(600 << 10, &small()).await;
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        let mut model = Content::new();
        disk.break_writes(0);
        work(&store, &mut model, 3).await;
        store.close().await.unwrap();
        disk.repair();
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        work(&store, &mut model, 3).await;
        assert_eq!(store.stats().bad_superblocks, 0);
        assert!(store.check().await.unwrap().is_whole());
        store.close().await.unwrap();
        let erased = Buffer::zeroed(512);
        disk.disk().write(0, erased).await.unwrap();
        assert_eq!(content(&Store::open(&disk.disk(), small()).await.unwrap()).await, model);
        for sector in [0, AREA / 512 - 1] {
            disk.disk().write(sector, Buffer::zeroed(512)).await.unwrap();
        }
        assert_eq!(Store::open(&disk.disk(), small()).await.err(), Some(Error::NoStore));
    });
}

/// A store that was there before may have a superblock in a spare sector.
#[test]
fn a_new_store_is_not_taken_for_an_old_one() {
    run(async {
        let disk = formatted(600 << 10, &small()).await;
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        disk.break_writes(AREA / 512 - 1);
        work(&store, &mut Content::new(), 3).await;
        store.close().await.unwrap();
        disk.repair();
        Store::format(&disk.disk(), &small()).await.unwrap();
        for sector in [0, AREA / 512 - 1] {
            let image = disk.copy();
            image.disk().write(sector, Buffer::zeroed(512)).await.unwrap();
            let store = Store::open(&image.disk(), small()).await.unwrap();
            assert!(content(&store).await.is_empty());
        }
    });
}

/// Sectors that can be neither read nor written when the store is made, and one day can: the old store does not come back.
#[test]
fn a_store_is_made_where_no_superblock_can_be_read() {
    run(async {
        let disk = formatted(600 << 10, &small()).await;
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        work(&store, &mut Content::new(), 30).await;
        store.close().await.unwrap();
        for sector in [0, AREA / 512 - 1] {
            disk.break_reads(sector);
            disk.break_writes(sector);
        }
        Store::format(&disk.disk(), &small()).await.unwrap();
        for is_repaired in [false, true] {
            if is_repaired {
                disk.repair();
            }
            let store = Store::open(&disk.disk(), small()).await.unwrap();
            assert!(content(&store).await.is_empty(), "{is_repaired}");
            store.close().await.unwrap();
        }
    });
}

/// A store with some keys in the log, and the sectors of its frames: the first of each, and how many.
async fn in_the_log(count: usize) -> (SimDisk, Content, Vec<(u64, u64)>) {
    let mut disk = formatted(4 * MIB, &small()).await;
    let options = Options { tail: 1 << 20, ..small() };
    let store = Store::open(&disk.disk(), options).await.unwrap();
    disk.trace();
    let mut model = Content::new();
    for n in 0..count {
        let (key, value) = (format!("key {n:03}").into_bytes(), vec![n as u8; 900]);
        store.put(&key, value.clone()).await.unwrap();
        model.insert(key, value);
    }
    core::mem::forget(store);
    let frames = disk.events().into_iter().filter_map(|event| match event {
        fata_storage::testing::Event::Write { sector, octets } if octets.len() > 512 => {
            Some((sector, octets.len() as u64 / 512))
        }
        _ => None,
    });
    let frames = frames.collect();
    (disk, model, frames)
}

/// As a write that was cut off may leave it.
#[test]
fn the_log_may_end_where_it_cannot_be_read() {
    run(async {
        let (disk, mut model, frames) = in_the_log(9).await;
        let (last, sectors) = *frames.last().unwrap();
        disk.break_reads(last + sectors);
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        assert_eq!(content(&store).await, model);
        store.put("key 009", "after").await.unwrap();
        model.insert(b"key 009".to_vec(), b"after".to_vec());
        core::mem::forget(store);
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        assert_eq!(content(&store).await, model);
    });
    // The last frame itself, its beginning or the rest of it: the write never ended.
    for part in 0..2 {
        run(async {
            let (disk, mut model, frames) = in_the_log(9).await;
            disk.break_reads(frames.last().unwrap().0 + part);
            model.remove(&b"key 008"[..]);
            let store = Store::open(&disk.disk(), small()).await.unwrap();
            assert_eq!(content(&store).await, model);
            store.put("key 008", "again").await.unwrap();
            model.insert(b"key 008".to_vec(), b"again".to_vec());
            core::mem::forget(store);
            let store = Store::open(&disk.disk(), small()).await.unwrap();
            assert_eq!(content(&store).await, model);
        });
    }
}

#[test]
fn what_a_later_frame_knows_of_is_not_the_end() {
    run(async {
        let (disk, _, frames) = in_the_log(9).await;
        let (before, _) = frames[frames.len() - 2];
        disk.break_reads(before);
        let refused = Store::open(&disk.disk(), small()).await.err();
        assert!(matches!(refused, Some(Error::Block(_))), "{refused:?}");
    });
}

/// The header of the segment that follows cannot be read: the log goes on there, or it does not.
#[test]
fn the_segment_that_follows_cannot_be_read() {
    run(async {
        let header = |segment: u64| (AREA + segment * (16 << 10)) / 512;
        for count in [10, 13, 14, 20] {
            let (disk, mut model, frames) = in_the_log(count).await;
            let (last, _) = *frames.last().unwrap();
            disk.break_reads(header(1));
            let opened = Store::open(&disk.disk(), small()).await;
            if last > header(1) {
                let refused = opened.err();
                assert!(matches!(refused, Some(Error::Block(_))), "{count}: {refused:?}");
                continue;
            }
            let store = opened.unwrap();
            assert_eq!(content(&store).await, model, "{count}");
            for n in 0..20 {
                let key = format!("more {n:03}").into_bytes();
                store.put(&key, vec![n; 900]).await.unwrap();
                model.insert(key, vec![n; 900]);
            }
            core::mem::forget(store);
            let store = Store::open(&disk.disk(), small()).await.unwrap();
            assert_eq!(content(&store).await, model, "{count}");
        }
    });
}

/// Nor can it be written: the log goes on elsewhere, and so do later openings.
#[test]
fn the_segment_that_follows_can_neither_be_read_nor_written() {
    for damage in [OnDamage::Refuse, OnDamage::Salvage] {
        run(async {
            let (disk, mut model, frames) = in_the_log(5).await;
            let header = (AREA + (16 << 10)) / 512;
            assert!(frames.iter().all(|(frame, _)| *frame < header));
            disk.break_reads(header);
            disk.break_writes(header);
            for round in 0..3 {
                let options = Options { damage, ..small() };
                let store = Store::open(&disk.disk(), options).await.unwrap();
                assert_eq!(store.stats().lost_frames, 0);
                assert_eq!(content(&store).await, model, "{damage:?} {round}");
                // None in the first round: the next opening finds what this one has made of it. Later more than a segment.
                for n in 0..round * 20 {
                    let key = format!("more {n:03}").into_bytes();
                    store.put(&key, vec![n; 900]).await.unwrap();
                    model.insert(key, vec![n; 900]);
                }
                core::mem::forget(store);
            }
            disk.repair();
            let store = Store::open(&disk.disk(), small()).await.unwrap();
            assert_eq!(content(&store).await, model, "{damage:?}");
        });
    }
}

/// The disk works again after a failure, but for sectors that nobody needs.
#[test]
fn a_store_is_opened_anew_although_the_next_segment_cannot_be_read() {
    run(async {
        let (disk, model, _) = in_the_log(5).await;
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        disk.break_flushes(0, 1);
        assert!(store.put("lost", "1").await.is_err());
        for segment in 1..8 {
            disk.break_reads((AREA + segment * (16 << 10)) / 512);
        }
        let store = store.reopen().await.unwrap();
        assert_eq!(content(&store).await, model);
        store.put("after", "1").await.unwrap();
    });
}

/// A change in a leaf that cannot be read cannot be merged: it is said what is wrong, soon, and what is there can be read.
#[test]
fn a_damaged_leaf_that_changes_belong_to_is_named() {
    run(async {
        let disk = formatted(MIB, &small()).await;
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        let mut model = Content::new();
        for n in 0..100 {
            let (key, value) = (format!("key {n:03}").into_bytes(), vec![n as u8; 400]);
            store.put(&key, value.clone()).await.unwrap();
            model.insert(key, value);
        }
        store.close().await.unwrap();
        // Some sector of the index: what is unreadable then is some leaf's.
        let (mut found, mut damaged) = (None, 0);
        for sector in AREA / 512..MIB / 512 {
            disk.break_reads(sector);
            let options = Options { access: Access::ReadOnly, ..small() };
            if let Ok(store) = Store::open(&disk.disk(), options).await
                && matches!(store.get("key 050").await, Err(Error::Block(_)))
                && store.get("key 000").await.is_ok()
            {
                damaged = sector;
                found = Some(store);
                break;
            }
            disk.repair();
        }
        drop(found.expect("no leaf"));
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        let mut taken = 0;
        let refused = loop {
            match store.put("key 050", vec![7; 900]).await {
                Ok(()) => taken += 1,
                Err(e) => break e,
            }
            assert!(taken < 1000);
        };
        assert!(matches!(refused, Error::DamagedIndex { .. }), "{refused}");
        let failed = store.stats().failed_checkpoints;
        for _ in 0..10 {
            assert_eq!(store.put("key 001", "1").await, Err(refused));
        }
        assert!(store.stats().failed_checkpoints - failed <= 10, "one look each");
        assert_eq!(store.get("key 050").await.unwrap(), Some(vec![7; 900]), "it is in the log");
        assert_eq!(store.get("key 000").await.unwrap(), Some(vec![0; 400]));
        assert_eq!(store.close().await, Err(refused));
        // A drive that reads it after all, or somebody who put it back.
        disk.repair();
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        store.put("key 001", "1").await.unwrap();
        store.checkpoint().await.unwrap();
        assert!(store.check().await.unwrap().is_whole(), "sector {damaged}");
    });
}
