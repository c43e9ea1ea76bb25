//! A disk that is full, and one that is nearly so for a long time.

use crate::support::{Content, Random, content, formatted, seeds, small};
use fata_libos::testing::run;
use fata_storage::kv::{Batch, Durability, Error, Options, Store};

/// Sizes of values and keys for a seed: small ones, middle ones, large ones, a mixture.
fn sizes(seed: u64, random: &mut Random) -> (usize, usize) {
    let value = match seed % 5 {
        0 => random.below(60),
        1 => 500 + random.below(500),
        2 => 1025 + random.below(400),
        3 => 5000 + random.below(40_000),
        _ => [10, 900, 1100, 12_000][random.below(4) as usize],
    };
    let key = if seed.is_multiple_of(3) { 900 } else { 12 };
    (key, value as usize)
}

fn key(n: u64, len: usize) -> Vec<u8> {
    let mut key = format!("{:08x}", (n as u32).wrapping_mul(2_654_435_761)).into_bytes();
    key.resize(len, b'.');
    key
}

/// Puts until the store is full; gives how many octets it took.
async fn fill(store: &Store, model: &mut Content, seed: u64, random: &mut Random) -> usize {
    let mut octets = 0;
    for n in 0.. {
        let (key_len, value_len) = sizes(seed, random);
        let (key, value) = (key(n, key_len), vec![n as u8; value_len]);
        match store.put(&key, value.clone()).await {
            Ok(()) => {
                octets += key.len() + value.len();
                model.insert(key, value);
            }
            Err(Error::Full { .. }) => break,
            Err(e) => panic!("{n}: {e}"),
        }
        assert!(n < 200_000, "never full");
    }
    octets
}

#[test]
fn a_full_disk_loses_nothing_and_lets_deletes_through() {
    seeds(6, |seed| {
        run(async {
            let segment = [16 << 10, 64 << 10][(seed % 2) as usize];
            let options = Options { segment: Some(segment), tail: 64 << 10, ..small() };
            let disk = formatted(u64::from(segment) * (24 + seed % 7) + (64 << 10), &options).await;
            let mut store = Store::open(&disk.disk(), options.clone()).await.unwrap();
            let mut model = Content::new();
            let first = fill(&store, &mut model, seed, &mut Random::new(seed)).await;
            let limit = store.stats().limit_octets as usize;
            assert!(first > limit / 3, "seed {seed}: {first} of {limit}");
            assert!(content(&store).await == model, "seed {seed}: full");
            if seed % 2 == 0 {
                core::mem::forget(store);
                store = Store::open(&disk.disk(), options.clone()).await.unwrap();
            }
            let keys: Vec<_> = model.keys().cloned().collect();
            for (n, key) in keys.iter().enumerate() {
                let deleted = store.delete(key).await;
                assert_eq!(deleted, Ok(()), "seed {seed}: delete {n} of {}, {:?}", keys.len(), store.stats());
                model.remove(key);
                if n % 300 == 0 {
                    assert!(content(&store).await == model, "seed {seed}: after delete {n}");
                }
            }
            store.checkpoint().await.unwrap();
            assert!(store.check().await.unwrap().is_whole());
            let table = 4 * u64::from(store.stats().segments);
            assert_eq!(store.stats().live_octets, table, "seed {seed}");
            // The same again: within a tenth, and the one large value that did not fit.
            let second = fill(&store, &mut model, seed, &mut Random::new(seed)).await;
            assert!(
                second + 45_000 * usize::from(seed % 5 > 2) > first / 10 * 9,
                "seed {seed}: {first}, then {second}"
            );
            assert!(content(&store).await == model, "seed {seed}: full again");
            store.close().await.unwrap();
            let store = Store::open(&disk.disk(), options).await.unwrap();
            assert!(content(&store).await == model, "seed {seed}: opened again");
        });
    });
}

#[test]
fn overwriting_for_a_long_time_takes_no_more_space() {
    seeds(6, |seed| {
        run(async {
            let mut random = Random::new(seed);
            let options = Options { segment: Some(16 << 10), ..small() };
            let disk = formatted((16 << 10) * (40 + seed % 9) + (64 << 10), &options).await;
            let store = Store::open(&disk.disk(), options).await.unwrap();
            let limit = store.stats().limit_octets as usize;
            let (mut model, mut octets) = (Content::new(), 0);
            let mut count = 0;
            while octets < limit / 10 * 6 {
                let (key_len, value_len) = sizes(seed, &mut random);
                octets += key_len + value_len + 32;
                count += 1;
            }
            for n in 0..count * 6 {
                let which = if n < count { n } else { random.below(count) };
                let (key_len, value_len) = sizes(seed, &mut random);
                let key = key(which, key_len);
                let others: usize =
                    model.values().map(Vec::len).sum::<usize>() + model.len() * (key_len + 32);
                let value_len = if others + value_len > limit / 10 * 7 { 0 } else { value_len };
                let value = vec![n as u8; value_len];
                let mut batch = Batch::new();
                batch.put(&key, value.clone());
                let done = store.commit(batch, Durability::Written).await;
                assert_eq!(done, Ok(()), "seed {seed}: {n} of {}, {:?}", count * 6, store.stats());
                model.insert(key, value);
            }
            assert!(content(&store).await == model, "seed {seed}");
            let stats = store.stats();
            assert!(stats.checkpoints > 3, "{stats:?}");
            assert!(store.check().await.unwrap().is_whole());
        });
    });
}
