//! Disks that are large for their segments, and segments that are large.

use crate::support::{MIB, content, formatted_with};
use fata_libos::block::Access;
use fata_libos::testing::run;
use fata_storage::kv::{Batch, Durability, Options, Store};
use fata_storage::testing::Event;

/// The table of segments has to fit into one.
#[test]
fn more_small_segments_than_a_table_has_room_for() {
    run(async {
        let options = Options { segment: Some(16 << 10), ..Options::default() };
        for (sector, most) in [(512, 3952), (4096, 3056)] {
            let disk = formatted_with(sector, 128 * MIB, &options).await;
            // Tables begin wherever the one before ended: all segments that the first few are in are used to the end.
            for n in 0..8u32 {
                let store = Store::open(&disk.disk(), options.clone()).await.unwrap();
                assert_eq!(store.stats().segments, most);
                for at in 0..40 {
                    store.put((n * 40 + at).to_be_bytes(), vec![n as u8; 1500]).await.unwrap();
                    store.checkpoint().await.unwrap();
                }
                assert!(store.check().await.unwrap().is_whole());
                store.close().await.unwrap();
            }
            let store = Store::open(&disk.disk(), options.clone()).await.unwrap();
            for n in 0..320u32 {
                assert_eq!(store.get(n.to_be_bytes()).await, Ok(Some(vec![(n / 40) as u8; 1500])));
            }
        }
    });
}

/// A large disk has large segments; what is kept in memory and replayed does not grow with them.
#[test]
fn the_tail_of_the_log_is_as_long_as_was_asked_for() {
    run(async {
        let disk = formatted_with(512, 64 << 30, &Options::default()).await;
        let store = Store::open(&disk.disk(), Options::default()).await.unwrap();
        assert_eq!(store.stats().segment_octets, 64 << 20);
        let tail = Options::default().tail;
        let mut most = 0;
        for n in 0..6000u32 {
            let mut batch = Batch::new();
            batch.put(n.to_be_bytes(), vec![n as u8; 1000]);
            store.commit(batch, Durability::Written).await.unwrap();
            most = most.max(store.stats().memtable_octets);
        }
        assert!((tail / 2..=2 * tail + tail / 8).contains(&most), "{most} octets of memory");
        core::mem::forget(store);
        let store = Store::open(&disk.disk(), Options::default()).await.unwrap();
        let replayed = store.stats().replayed_octets;
        assert!(replayed > 0 && replayed as usize <= 3 * tail, "{replayed} octets were read");
        for n in [0u32, 5999] {
            assert_eq!(store.get(n.to_be_bytes()).await, Ok(Some(vec![n as u8; 1000])));
        }
    });
}

/// What a segment still holds may be more than a step of the cleaner moves.
#[test]
fn large_segments_are_emptied_too() {
    run(async {
        const VALUE: usize = 4 << 20;
        const SEGMENT: u32 = 128 << 20;
        let options = Options { segment: Some(SEGMENT), ..Options::default() };
        let disk = formatted_with(512, 14 * u64::from(SEGMENT) + (64 << 10), &options).await;
        let store = Store::open(&disk.disk(), options).await.unwrap();
        let fill = async |keys: &mut Vec<u32>| {
            let mut n = keys.last().map_or(0, |last| last + 1);
            while store.put(n.to_be_bytes(), vec![0; VALUE]).await.is_ok() {
                keys.push(n);
                n += 1;
            }
        };
        let mut keys = Vec::new();
        fill(&mut keys).await;
        let first = keys.len();
        assert!((first * VALUE) as u64 > store.stats().limit_octets / 4 * 3, "{first} values");
        for round in 0..4 {
            // Two of five: what is left in a segment is more than a step moves.
            for key in keys.iter().filter(|n| *n % 5 < 2) {
                store.delete(key.to_be_bytes()).await.unwrap();
            }
            keys.retain(|n| *n % 5 > 1);
            fill(&mut keys).await;
            assert!(keys.len() >= first - 2, "round {round}: {first}, then {}", keys.len());
        }
        let mut cursor = store.range::<&[u8]>(..);
        for n in keys {
            let (key, value) = cursor.next().await.unwrap().unwrap();
            assert!(key == n.to_be_bytes() && value == [0; VALUE], "{n}");
        }
        assert_eq!(cursor.next_key().await, Ok(None));
    });
}

/// A batch is as large as is asked for, and a crash leaves all of it or nothing.
#[test]
fn a_batch_that_is_much_larger_than_the_tail() {
    run(async {
        const VALUES: u32 = 350;
        let options = Options { batch: 64 << 20, ..Options::default() };
        let mut disk = formatted_with(512, 192 * MIB, &options).await;
        let store = Store::open(&disk.disk(), options.clone()).await.unwrap();
        assert_eq!(store.max_batch(), 64 << 20);
        store.put("before", "1").await.unwrap();
        disk.trace();
        let mut batch = Batch::new();
        for n in 0..VALUES {
            batch.put(n.to_be_bytes(), vec![0; 64 << 10]);
        }
        batch.delete("before");
        assert!(batch.octets() > 21 << 20);
        store.commit(batch, Durability::Flushed).await.unwrap();
        let mut found = Vec::new();
        // The last frame and the flush, begun and ended; before that whatever was written is not whole.
        let end = disk.events().iter().position(|event| matches!(event, Event::Flushed { .. })).unwrap() + 1;
        for moment in [end - 4, end - 3] {
            for image in disk.plain_crashes(moment) {
                let options = Options { access: Access::ReadOnly, ..options.clone() };
                let store = Store::open(&image.disk(), options).await.unwrap();
                let all = content(&store).await;
                let is_old = all.len() == 1 && all.contains_key(&b"before"[..]);
                let is_new =
                    all.len() == VALUES as usize && all.values().all(|value| *value == [0; 64 << 10]);
                assert!(is_old || is_new, "moment {moment} of {end}: {} keys", all.len());
                found.push(is_new);
            }
        }
        assert_eq!(found, [false, false, false, true]);
        assert_eq!(store.get(5u32.to_be_bytes()).await, Ok(Some(vec![0; 64 << 10])));
        store.close().await.unwrap();
        let store = Store::open(&disk.disk(), options).await.unwrap();
        assert!(store.check().await.unwrap().is_whole());
    });
}
