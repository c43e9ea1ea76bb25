//! When checkpoints are made, and how much the log and the memory for it grow meanwhile.

use crate::support::{MIB, Random, content, formatted, small};
use fata_libos::task::spawn;
use fata_libos::testing::run;
use fata_storage::kv::{Batch, Durability, Options, Store};

/// What checkpoints write beside commits is not the log that they are there to shorten.
#[test]
fn a_checkpoint_is_no_reason_for_the_next() {
    run(async {
        let options = Options { tail: 128 << 10, ..Options::default() };
        let disk = formatted(64 * MIB, &options).await;
        let store = Store::open(&disk.disk(), options.clone()).await.unwrap();
        // So many keys that nearly each of a checkpoint's is in a node of its own.
        for n in 0..400u32 {
            let mut batch = Batch::new();
            for at in 0..100 {
                batch.put((n * 100 + at).to_be_bytes(), vec![7; 100]);
            }
            store.commit(batch, Durability::Written).await.unwrap();
        }
        store.checkpoint().await.unwrap();
        let before = store.stats();
        disk.slow(1);
        let commits = 1200;
        let writer = {
            let store = store.clone();
            spawn(async move {
                let mut random = Random::new(1);
                for _ in 0..commits {
                    let key = (random.below(40_000) as u32).to_be_bytes();
                    let mut batch = Batch::new();
                    batch.put(key, vec![8; 300]);
                    store.commit(batch, Durability::Written).await.unwrap();
                }
            })
        };
        writer.await;
        let after = store.stats();
        // A frame of one sector each.
        let tails = commits * 512 / options.tail as u64;
        let made = after.checkpoints - before.checkpoints;
        let written = after.log_octets - before.log_octets;
        assert!(written > 8 * commits * 512, "the checkpoints wrote much more: {written}");
        assert!((tails - 1..=tails + 1).contains(&made), "{made} checkpoints for {tails} tails");
    });
}

#[test]
fn no_tail_at_all_is_a_checkpoint_for_each_commit() {
    run(async {
        let options = Options { tail: 0, ..small() };
        let disk = formatted(MIB, &options).await;
        let store = Store::open(&disk.disk(), options).await.unwrap();
        for n in 0..50u32 {
            store.put(n.to_be_bytes(), "value").await.unwrap();
        }
        assert_eq!(content(&store).await.len(), 50);
        assert!(store.stats().checkpoints > 20);
    });
}
