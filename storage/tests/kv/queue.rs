//! Batches that wait: for room in the queue, and for room on the disk.

use crate::support::{MIB, formatted, fresh, small};
use fata_libos::task::{spawn, yield_now};
use fata_libos::testing::run;
use fata_storage::kv::{Batch, Durability, Error, Options, Store};
use std::cell::Cell;
use std::rc::Rc;

/// A batch that fits into the queue only when nothing else is there.
fn large() -> Batch {
    let mut batch = Batch::new();
    for n in 0..300 {
        batch.put(format!("large {n}"), vec![1; 1000]);
    }
    batch
}

#[test]
fn a_large_batch_takes_its_turn_beside_one_that_writes_all_the_time() {
    run(async {
        let (_disk, store) = fresh(16 * MIB).await;
        let is_done = Rc::new(Cell::new(false));
        let writer = spawn({
            let (store, is_done) = (store.clone(), is_done.clone());
            async move {
                for n in 0..1000 {
                    store.put("small", vec![n as u8; 10]).await.unwrap();
                    if is_done.get() {
                        return n;
                    }
                }
                1000
            }
        });
        let other = store.clone();
        let large = spawn(async move {
            // The other is at work already.
            yield_now().await;
            yield_now().await;
            other.commit(large(), Durability::Flushed).await.unwrap();
            is_done.set(true);
        });
        let between = writer.await;
        assert!(between < 10, "{between} small ones went before");
        large.await;
        let stats = store.stats();
        assert!((1..4).contains(&stats.stalls), "both waited for their turns: {stats:?}");
    });
}

/// Who does not want to wait any longer is in nobody's way.
#[test]
fn a_turn_that_is_given_up_is_the_next_ones() {
    run(async {
        let (disk, store) = fresh(16 * MIB).await;
        disk.slow(3);
        let put = |key: &'static str| {
            let store = store.clone();
            spawn(async move { store.put(key, "value").await })
        };
        let first = put("first");
        let (one, two) = (store.clone(), store.clone());
        let given_up = spawn(async move { one.commit(large(), Durability::Flushed).await });
        let second = spawn(async move { two.commit(large(), Durability::Flushed).await });
        let third = put("third");
        yield_now().await;
        drop(given_up);
        for task in [first, second, third] {
            task.await.unwrap();
        }
        assert_eq!(store.get("large 299").await.unwrap(), Some(vec![1; 1000]));
    });
}

/// Puts at a store that is full, many at once, and a delete behind them.
#[test]
fn many_puts_at_a_full_store_do_not_each_have_checkpoints_made() {
    run(async {
        let disk = formatted(600 << 10, &small()).await;
        let options = Options { queue: 1 << 20, ..small() };
        let store = Store::open(&disk.disk(), options).await.unwrap();
        let mut n = 0;
        let full = loop {
            n += 1;
            match store.put(format!("{n}"), vec![7; 900]).await {
                Ok(()) => {}
                Err(e) => break e,
            }
        };
        assert!(matches!(full, Error::Full { .. }), "{full}");
        let before = store.stats();
        let tasks: Vec<_> = (0..200)
            .map(|n| {
                let store = store.clone();
                spawn(async move { store.put(format!("more {n}"), vec![7; 1000]).await })
            })
            .collect();
        let deleted = spawn({
            let store = store.clone();
            async move { store.delete("1").await }
        });
        for task in tasks {
            assert!(matches!(task.await, Err(Error::Full { .. })));
        }
        deleted.await.unwrap();
        let stats = store.stats();
        assert_eq!(stats.refused - before.refused, 200);
        let checkpoints = stats.checkpoints - before.checkpoints;
        assert!(checkpoints <= 12, "{checkpoints} checkpoints");
        assert_eq!(stats.stalls - before.stalls, 1);
        assert_eq!(store.get("1").await.unwrap(), None);
    });
}

#[test]
fn what_waits_counts_for_as_long_as_it_waits() {
    run(async {
        let disk = formatted(4 * MIB, &small()).await;
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let store: Store = store.clone();
                spawn(async move { store.commit(large(), Durability::Flushed).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let stats = store.stats();
        assert!(stats.stalls >= 3, "{stats:?}");
        assert_eq!(stats.refused, 0);
    });
}
