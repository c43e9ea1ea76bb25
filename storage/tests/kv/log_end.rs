//! What a crash leaves behind the end of the log, and openings that are no crash.

use crate::support::{content, formatted, small};
use fata_libos::block::Access;
use fata_libos::testing::run;
use fata_storage::kv::{Batch, Durability, Options, Store};
use fata_storage::testing::{Event, SimDisk};

async fn put(store: &Store, key: &str, durability: Durability) {
    let mut batch = Batch::new();
    batch.put(key, "value");
    store.commit(batch, durability).await.unwrap();
}

async fn keys(disk: &SimDisk) -> Vec<String> {
    let options = Options { access: Access::ReadOnly, ..small() };
    let store = Store::open(&disk.disk(), options).await.unwrap();
    content(&store).await.into_keys().map(|key| String::from_utf8(key).unwrap()).collect()
}

/// The disk after a crash that left the last write of a trace alone, of all that was not flushed.
fn last_write_alone(disk: &SimDisk) -> SimDisk {
    // Without anything, with all, then for each write: alone, all but it (one sector each: no halves).
    let images = disk.crashes(disk.moment());
    images[images.len() - 2].clone()
}

#[test]
fn a_frame_behind_a_gap_does_not_come_back_when_the_gap_is_written_again() {
    run(async {
        let mut disk = formatted(600 << 10, &small()).await;
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        put(&store, "first", Durability::Flushed).await;
        disk.trace();
        put(&store, "lost", Durability::Written).await;
        put(&store, "behind", Durability::Written).await;
        let mut disk = last_write_alone(&disk);
        assert_eq!(keys(&disk).await, ["first"]);
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        disk.trace();
        // The very octets that were lost, where they were lost.
        put(&store, "lost", Durability::Flushed).await;
        assert_eq!(keys(&disk).await, ["first", "lost"]);
    });
}

#[test]
fn what_an_opening_found_is_on_the_medium_before_it_is_relied_upon() {
    run(async {
        let mut disk = formatted(600 << 10, &small()).await;
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        put(&store, "first", Durability::Flushed).await;
        disk.trace();
        put(&store, "second", Durability::Written).await;
        let written = disk.moment();
        // The program ends, not the machine: the device still has what it did not flush.
        core::mem::forget(store);
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        let opened = disk.moment();
        for moment in written..=opened {
            for image in disk.crashes(moment) {
                let found = keys(&image).await;
                let all = ["first", "second"];
                assert!(found == all[..1] || found == all, "moment {moment}: {found:?}");
                assert!(moment < opened || found == all, "a reader may have seen it");
            }
        }
        drop(store);
    });
}

#[test]
fn batches_that_wait_together_share_a_write_and_a_flush() {
    run(async {
        let mut disk = formatted(600 << 10, &small()).await;
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        disk.trace();
        let tasks: Vec<_> = (0..50)
            .map(|n| {
                let store = store.clone();
                fata_libos::spawn(async move { put(&store, &format!("{n}"), Durability::Flushed).await })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        let stats = store.stats();
        assert_eq!((stats.commits, stats.groups, stats.flushes), (50, 1, 1));
        assert_eq!(disk.moment(), 4, "a write and a flush, begun and ended");
        assert!(matches!(disk.events()[0], Event::Write { .. }));
    });
}

#[test]
fn a_frame_in_the_segment_that_comes_next_does_not_come_back_with_its_header() {
    run(async {
        let mut disk = formatted(600 << 10, &small()).await;
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        // So many sectors has the first segment for frames, as it is left when there is too little room.
        for n in 0..27 {
            put(&store, &format!("{n:02}"), Durability::Flushed).await;
        }
        disk.trace();
        put(&store, "lost", Durability::Written).await;
        // The header of the second segment, which is lost, and the frame in it, which is not.
        let mut disk = last_write_alone(&disk);
        assert_eq!(keys(&disk).await.len(), 27);
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        disk.trace();
        put(&store, "new", Durability::Written).await;
        // The header alone: what is behind it is of the time before.
        let images = disk.crashes(disk.moment());
        assert_eq!(keys(&images[2]).await.len(), 27);
        assert_eq!(keys(&images[1]).await.last().unwrap(), "new");
    });
}
