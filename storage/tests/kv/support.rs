//! Disks, stores and numbers for the tests.

use fata_storage::kv::{Batch, Options, Store};
use fata_storage::testing::SimDisk;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub const MIB: u64 = 1 << 20;

pub type Content = BTreeMap<Vec<u8>, Vec<u8>>;

/// A disk of sectors of 512 octets with an empty store, made with these options.
pub async fn formatted(octets: u64, options: &Options) -> SimDisk {
    formatted_with(512, octets, options).await
}

/// The same with sectors of another size.
pub async fn formatted_with(sector: usize, octets: u64, options: &Options) -> SimDisk {
    let disk = SimDisk::new(sector, octets / sector as u64);
    Store::format(&disk.disk(), options).await.unwrap();
    disk
}

pub async fn fresh(octets: u64) -> (SimDisk, Store) {
    let disk = formatted(octets, &Options::default()).await;
    let store = Store::open(&disk.disk(), Options::default()).await.unwrap();
    (disk, store)
}

/// All keys and values.
pub async fn content(store: &Store) -> Content {
    let mut all = BTreeMap::new();
    let mut cursor = store.range::<&[u8]>(..);
    while let Some((key, value)) = cursor.next().await.unwrap() {
        all.insert(key, value);
    }
    all
}

/// Small segments and a short tail, so that little work goes through all there is.
pub fn small() -> Options {
    Options { segment: Some(16 << 10), tail: 16 << 10, cache: 16 << 10, ..Options::default() }
}

/// Numbers that look random, the same for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// Changes of keys that `key` draws, done to `state` too.
    pub fn batch(&mut self, shape: Shape, state: &mut Content, key: impl Fn(&mut Self) -> Vec<u8>) -> Batch {
        let mut batch = Batch::new();
        for _ in 0..=self.below(shape.changes) {
            let key = key(self);
            if self.below(shape.deletes) == 0 {
                batch.delete(&key);
                state.remove(&key);
            } else {
                let value = self.value();
                batch.put(&key, value.clone());
                state.insert(key, value);
            }
        }
        batch
    }

    /// Octets of a value that says which it is: mostly short, sometimes long enough for parts of its own.
    pub fn value(&mut self) -> Vec<u8> {
        let len = match self.below(12) {
            0 => 1025 + self.below(5000),
            1 => 0,
            2 => 600 + self.below(425),
            _ => self.below(100),
        };
        let tag = self.number();
        (0..len).map(|n| (tag.rotate_left(n as u32 % 64) as u8).wrapping_add((n / 64) as u8)).collect()
    }
}

/// What a batch of [`Random::batch`] is like.
pub struct Shape {
    /// The most changes.
    pub changes: u64,
    /// One of so many is a delete.
    pub deletes: u64,
}

/// Calls with seeds: a few, and more for as long as the environment says, from where it says.
pub fn seeds(few: u64, test: impl FnMut(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let first = number("FATA_FUZZ_SEED").unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(number("FATA_FUZZ_SECONDS").unwrap_or(0));
    (first..).take_while(|seed| *seed - first < few || Instant::now() < end).for_each(test);
}
