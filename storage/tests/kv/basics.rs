//! What a store does while nothing goes wrong.

use crate::support::{MIB, content, formatted, fresh};
use fata_libos::testing::run;
use fata_storage::kv::{Batch, Durability, Error, MAX_KEY, MAX_VALUE, Options, Store};
use std::collections::BTreeMap;

#[test]
fn what_is_put_is_there_and_what_is_deleted_is_not() {
    run(async {
        let (disk, store) = fresh(4 * MIB).await;
        assert_eq!(store.get("a").await, Ok(None));
        store.put("a", "1").await.unwrap();
        store.put("b", "2").await.unwrap();
        store.put("a", "3").await.unwrap();
        store.delete("b").await.unwrap();
        assert_eq!(store.get("a").await, Ok(Some(b"3".to_vec())));
        assert_eq!(store.get("b").await, Ok(None));
        store.close().await.unwrap();
        let store = Store::open(&disk.disk(), Options::default()).await.unwrap();
        assert_eq!(store.get("a").await, Ok(Some(b"3".to_vec())));
        assert_eq!(store.get("b").await, Ok(None));
        assert!(store.check().await.unwrap().is_whole());
    });
}

#[test]
fn many_keys_are_in_order_before_and_after_checkpoints() {
    run(async {
        let (disk, store) = fresh(16 * MIB).await;
        let mut model = BTreeMap::new();
        for n in 0..6000u32 {
            let key = format!("key/{:06}", n.wrapping_mul(2_654_435_761) % 5000);
            let value = vec![n as u8; (n % 97) as usize * 9];
            let mut batch = Batch::new();
            batch.put(&key, value.clone());
            model.insert(key.into_bytes(), value);
            if n % 3 == 0 {
                let key = format!("key/{:06}", n / 2);
                batch.delete(&key);
                model.remove(key.as_bytes());
            }
            store.commit(batch, Durability::Written).await.unwrap();
            if n % 1500 == 1499 {
                store.checkpoint().await.unwrap();
                assert_eq!(content(&store).await, model, "after {n}");
            }
        }
        assert!(store.stats().checkpoints >= 4);
        let report = store.check().await.unwrap();
        assert!(report.is_whole(), "{report:?}");
        assert_eq!(report.keys, model.len() as u64);
        store.close().await.unwrap();
        let store = Store::open(&disk.disk(), Options::default()).await.unwrap();
        assert_eq!(store.stats().replayed_frames, 0);
        assert_eq!(content(&store).await, model);
        let mut some = store.range("key/001000".."key/001010");
        let mut got = Vec::new();
        while let Some(key) = some.next_key().await.unwrap() {
            got.push(key);
        }
        let from = b"key/001000".to_vec()..b"key/001010".to_vec();
        assert_eq!(got, model.range(from).map(|(k, _)| k.clone()).collect::<Vec<_>>());
    });
}

/// What there may be in memory is no reason to take it.
#[test]
fn a_cache_may_be_without_limit() {
    run(async {
        let disk = formatted(16 * MIB, &Options::default()).await;
        for cache in [0, 1, 4096, 1 << 40, usize::MAX] {
            let store = Store::open(&disk.disk(), Options { cache, ..Options::default() }).await.unwrap();
            for n in 0..2000u32 {
                store.commit(batch_of(n), Durability::Written).await.unwrap();
            }
            store.checkpoint().await.unwrap();
            for n in (0..2000u32).rev() {
                assert_eq!(store.get(n.to_be_bytes()).await, Ok(Some(vec![n as u8; 100])), "{cache}");
            }
            assert!(store.stats().cache_octets <= cache);
            store.close().await.unwrap();
        }
    });
}

fn batch_of(n: u32) -> Batch {
    let mut batch = Batch::new();
    batch.put(n.to_be_bytes(), vec![n as u8; 100]);
    batch
}

#[test]
fn large_values_and_long_keys() {
    run(async {
        let (disk, store) = fresh(64 * MIB).await;
        let large: Vec<u8> = (0..17 << 20).map(|n: u32| (n / 7) as u8).collect();
        let key = vec![0xff; MAX_KEY];
        store.put(&key, large.clone()).await.unwrap();
        store.put("small", vec![7; 1025]).await.unwrap();
        assert!(store.get(&key).await.unwrap() == Some(large.clone()));
        store.checkpoint().await.unwrap();
        assert!(store.get(&key).await.unwrap() == Some(large.clone()));
        let too_long = store.put([1; MAX_KEY + 1], "").await;
        assert_eq!(too_long, Err(Error::KeyLength { octets: MAX_KEY + 1 }));
        assert_eq!(store.put("", "").await, Err(Error::KeyLength { octets: 0 }));
        let limit = 17 << 20;
        assert_eq!((store.max_value(), MAX_VALUE), (limit, limit));
        let too_large = store.put("x", vec![0; limit + 1]).await;
        assert_eq!(too_large, Err(Error::ValueLength { octets: limit + 1, limit }));
        store.close().await.unwrap();
        let store = Store::open(&disk.disk(), Options::default()).await.unwrap();
        assert!(store.get(&key).await.unwrap() == Some(large));
        assert_eq!(store.get("small").await, Ok(Some(vec![7; 1025])));
    });
}

#[test]
fn opening_reads_no_more_of_a_large_store_than_of_a_small_one() {
    run(async {
        let mut reads = Vec::new();
        for keys in [100u32, 20_000] {
            let (disk, store) = fresh(64 * MIB).await;
            for n in 0..keys / 100 {
                let mut batch = Batch::new();
                for at in 0..100 {
                    batch.put((n * 100 + at).to_be_bytes(), vec![at as u8; 500]);
                }
                store.commit(batch, Durability::Written).await.unwrap();
            }
            store.checkpoint().await.unwrap();
            // The same tail for both.
            for n in 0..50u32 {
                store.put(n.to_be_bytes(), "new").await.unwrap();
            }
            core::mem::forget(store);
            let before = disk.octets_read();
            let store = Store::open(&disk.disk(), Options::default()).await.unwrap();
            reads.push(disk.octets_read() - before);
            assert_eq!(store.get((keys - 1).to_be_bytes()).await, Ok(Some(vec![99; 500])));
        }
        assert!(reads[1] < 512 << 10 && reads[1] <= reads[0] + (64 << 10), "{reads:?}");
    });
}

#[test]
fn a_snapshot_stays_as_it_is_and_there_are_not_too_many() {
    run(async {
        let (_, store) = fresh(8 * MIB).await;
        for n in 0..2000u32 {
            store.put(n.to_be_bytes(), vec![1; 300]).await.unwrap();
        }
        let snapshot = store.snapshot().unwrap();
        for n in 0..6000u32 {
            let key = (n % 2000).to_be_bytes();
            if n % 7 == 0 {
                store.delete(key).await.unwrap();
            } else {
                store.put(key, vec![2; 300]).await.unwrap();
            }
        }
        store.checkpoint().await.unwrap();
        assert!(store.stats().pinned_segments > 0);
        let mut cursor = snapshot.range::<&[u8]>(..);
        for n in 0..2000u32 {
            assert_eq!(cursor.next().await, Ok(Some((n.to_be_bytes().to_vec(), vec![1; 300]))));
        }
        assert_eq!(cursor.next().await, Ok(None));
        drop(cursor);
        let others: Vec<_> = (1..64).map(|_| store.snapshot().unwrap()).collect();
        assert_eq!(store.snapshot().err(), Some(Error::Snapshots { limit: 64 }));
        drop((snapshot, others));
        store.checkpoint().await.unwrap();
        assert_eq!(store.stats().pinned_segments, 0);
    });
}

#[test]
fn bounds_of_ranges_and_prefixes() {
    run(async {
        let (_, store) = fresh(4 * MIB).await;
        let keys: [&[u8]; 7] = [b"a", b"a\xff", b"a\xff\xff", b"b", b"ba", b"c", b"\xff\xff"];
        for key in keys {
            store.put(key, key).await.unwrap();
        }
        for _ in 0..2 {
            let all = async |mut cursor: fata_storage::kv::Cursor| {
                let mut found = Vec::new();
                while let Some(key) = cursor.next_key().await.unwrap() {
                    found.push(key);
                }
                found
            };
            assert_eq!(all(store.prefix("a")).await, keys[..3]);
            assert_eq!(all(store.prefix(b"a\xff")).await, keys[1..3]);
            assert_eq!(all(store.prefix(b"\xff")).await, keys[6..]);
            assert_eq!(all(store.prefix("")).await, keys);
            assert_eq!(all(store.range("b"..="c")).await, keys[3..6]);
            assert_eq!(all(store.range("b".."c")).await, keys[3..5]);
            assert_eq!(all(store.range(.."b")).await, keys[..3]);
            assert_eq!(all(store.range("c".."a")).await, keys[..0]);
            store.checkpoint().await.unwrap();
        }
    });
}

/// What a store says that it takes it takes, on disks of all sizes.
#[test]
fn the_largest_value_of_any_store() {
    run(async {
        for (octets, segment) in [
            (300 << 10, Some(16 << 10)),
            (MIB, Some(16 << 10)),
            (MIB, Some(64 << 10)),
            (3 * MIB, None),
            (20 * MIB, Some(16 << 10)),
            (40 * MIB, None),
            (MIB << 10, None),
        ] {
            let options = Options { segment, ..Options::default() };
            let disk = formatted(octets, &options).await;
            let store = Store::open(&disk.disk(), options.clone()).await.unwrap();
            let what = format!("{octets}, {segment:?}");
            let (limit, key) = (store.max_value(), [b'k'; MAX_KEY]);
            let mut value = vec![7; limit + 1];
            let refused = store.put(key, value.clone()).await;
            assert_eq!(refused, Err(Error::ValueLength { octets: limit + 1, limit }), "{what}");
            value.pop();
            assert_eq!(store.put(key, value.clone()).await, Ok(()), "{what}: {limit}");
            store.close().await.unwrap();
            let store = Store::open(&disk.disk(), options).await.unwrap();
            assert!(store.get(key).await.unwrap() == Some(value), "{what}");
        }
    });
}
