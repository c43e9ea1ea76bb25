//! A hash table that grows by one bucket at a time (linear hashing: Litwin, 1980), so that no insertion takes long.
//!
//! Keys lie densely in an array, buckets are chains of indices into it. That gives an entry at random in one step, and an
//! index that stays good until the next removal. Values lie beside: what is done with keys is compiled once.

use super::segments::Segments;
use super::sip;
use super::text::Text;

/// No entry.
const NONE: u32 = u32::MAX;
/// The fewest buckets there are once there is an entry.
const LEAST: usize = 4;

struct Slot {
    hash: u32,
    next: u32,
    key: Text,
}

/// Keys, by their hashes.
#[derive(Default)]
struct Keys {
    buckets: Segments<u32>,
    slots: Segments<Slot>,
}

impl Keys {
    const fn new() -> Self {
        Self { buckets: Segments::new(), slots: Segments::new() }
    }

    #[inline(never)]
    fn find(&self, key: &[u8]) -> Option<u32> {
        let hash = sip::hash(key);
        let mut at = *self.buckets.at(self.bucket(hash)?);
        while at != NONE {
            let slot = self.slots.at(at as usize);
            if slot.hash == hash && *slot.key == *key {
                return Some(at);
            }
            at = slot.next;
        }
        None
    }

    #[inline(never)]
    fn add(&mut self, key: Text) {
        let hash = sip::hash(&key);
        let at = self.slots.len() as u32;
        while self.buckets.len() < LEAST || self.buckets.len() <= self.slots.len() {
            self.split();
        }
        let bucket = self.bucket(hash).unwrap_or(0);
        let next = core::mem::replace(self.buckets.at_mut(bucket), at);
        self.slots.push(Slot { hash, next, key });
    }

    #[inline(never)]
    fn remove(&mut self, index: u32) -> Option<Text> {
        let last = self.slots.len().checked_sub(1)? as u32;
        let next = self.slots.at(index as usize).next;
        self.relink(index, next);
        if index != last {
            self.relink(last, index);
        }
        let slot = self.slots.swap_remove(index as usize)?;
        if self.buckets.len() > LEAST && self.buckets.len() > 4 * self.slots.len() {
            self.merge();
            self.merge();
        }
        Some(slot.key)
    }

    #[inline(never)]
    fn scan(&self, cursor: u32, most: usize, visit: &mut dyn FnMut(u32)) -> u32 {
        let (mut cursor, mut visited, mut looked) = (cursor, 0, 0);
        while let Some(bucket) = self.bucket(cursor.reverse_bits()) {
            let mut at = *self.buckets.at(bucket);
            while at != NONE {
                visit(at);
                visited += 1;
                at = self.slots.at(at as usize).next;
            }
            let half = 1_usize << self.buckets.len().ilog2();
            let bits = half.ilog2() + u32::from(bucket >= half || bucket + half < self.buckets.len());
            let end = u64::from((bucket as u32).reverse_bits()) + (1_u64 << (32 - bits));
            cursor = end as u32;
            looked += 1;
            // Empty buckets are not looked at without end.
            if cursor == 0 || visited >= most || looked >= most.saturating_mul(10) {
                break;
            }
        }
        if self.slots.len() == 0 { 0 } else { cursor }
    }

    fn bucket(&self, hash: u32) -> Option<usize> {
        let len = self.buckets.len();
        let half = 1_usize << len.checked_ilog2()?;
        let bucket = hash as usize & (2 * half - 1);
        Some(if bucket < len { bucket } else { bucket & (half - 1) })
    }

    /// Lets what points to an entry point elsewhere.
    fn relink(&mut self, index: u32, to: u32) {
        let Some(bucket) = self.bucket(self.slots.at(index as usize).hash) else { return };
        let mut at = *self.buckets.at(bucket);
        if at == index {
            *self.buckets.at_mut(bucket) = to;
            return;
        }
        while at != NONE {
            let slot = self.slots.at_mut(at as usize);
            if slot.next == index {
                slot.next = to;
                return;
            }
            at = slot.next;
        }
    }

    /// One bucket more: takes its entries from the one that it was half of.
    fn split(&mut self) {
        let new = self.buckets.len();
        self.buckets.push(NONE);
        let Some(half) = new.checked_ilog2().map(|bits| 1_usize << bits) else { return };
        let old = new - half;
        let mut at = core::mem::replace(self.buckets.at_mut(old), NONE);
        while at != NONE {
            let slot = self.slots.at_mut(at as usize);
            let bucket = if slot.hash as usize & (2 * half - 1) == new { new } else { old };
            let next = core::mem::replace(&mut slot.next, *self.buckets.at(bucket));
            *self.buckets.at_mut(bucket) = at;
            at = next;
        }
    }

    /// One bucket less: its entries go back.
    fn merge(&mut self) {
        if self.buckets.len() <= LEAST {
            return;
        }
        let Some(mut at) = self.buckets.pop() else { return };
        let len = self.buckets.len();
        let old = len - (1_usize << len.ilog2());
        while at != NONE {
            let first = *self.buckets.at(old);
            let next = core::mem::replace(&mut self.slots.at_mut(at as usize).next, first);
            *self.buckets.at_mut(old) = at;
            at = next;
        }
    }
}

/// A hash table.
pub struct Map<V> {
    keys: Keys,
    values: Segments<V>,
}

impl<V> Default for Map<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Map<V> {
    /// What an entry takes beside what its key and value have on the heap, octets.
    pub const ENTRY: usize = size_of::<Slot>() + size_of::<V>() + size_of::<u32>();

    /// An empty one, which takes no memory.
    pub const fn new() -> Self {
        Self { keys: Keys::new(), values: Segments::new() }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.keys.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key at an index below [`len`](Self::len).
    pub fn key(&self, index: u32) -> &Text {
        &self.keys.slots.at(index as usize).key
    }

    /// The value at an index below [`len`](Self::len).
    pub fn value(&self, index: u32) -> &V {
        self.values.at(index as usize)
    }

    /// The value at an index below [`len`](Self::len).
    pub fn value_mut(&mut self, index: u32) -> &mut V {
        self.values.at_mut(index as usize)
    }

    /// Key and value at an index below [`len`](Self::len).
    pub fn both_mut(&mut self, index: u32) -> (&Text, &mut V) {
        (&self.keys.slots.at(index as usize).key, self.values.at_mut(index as usize))
    }

    /// Where a key is. The index is good until something is removed.
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        self.keys.find(key)
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        self.find(key).map(|at| self.value(at))
    }

    /// The value of a key.
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut V> {
        self.find(key).map(|at| self.value_mut(at))
    }

    /// Adds a key that is not there; where it is.
    pub fn add(&mut self, key: Text, value: V) -> u32 {
        self.keys.add(key);
        self.values.push(value);
        self.len() as u32 - 1
    }

    /// Takes an entry out. The last one moves to its place.
    pub fn remove(&mut self, index: u32) -> Option<(Text, V)> {
        let key = self.keys.remove(index)?;
        Some((key, self.values.swap_remove(index as usize)?))
    }

    /// Takes an entry out, the last one.
    pub fn pop(&mut self) -> Option<(Text, V)> {
        self.remove(self.len().checked_sub(1)? as u32)
    }

    /// Visits the indices of the entries of the next buckets, `most` or a few more, and gives the cursor for the next call,
    /// 0 at the end. What is there from a first call with 0 to the end is visited at least once, whatever comes and goes
    /// between.
    ///
    /// The cursor runs over the hashes with their bits reversed: a bucket is an interval there, and splits in two halves.
    pub fn scan(&self, cursor: u32, most: usize, visit: &mut dyn FnMut(u32)) -> u32 {
        self.keys.scan(cursor, most, visit)
    }

    /// All entries, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &V)> {
        (0..self.len() as u32).map(|at| (self.key(at), self.value(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::vec::Vec;

    fn key(n: u32) -> Text {
        Text::from(std::format!("key:{n}").into_bytes())
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, n: u32) -> u32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 20) as u32 % n
        }
    }

    #[test]
    fn it_does_as_a_map_of_the_standard_library() {
        let (mut map, mut model) = (Map::new(), BTreeMap::new());
        let mut random = Random(1);
        for step in 0..30_000_u32 {
            // It grows, then shrinks.
            let adds = if step < 15_000 { 70 } else { 30 };
            let k = key(random.below(4000));
            match map.find(&k) {
                Some(at) if random.below(100) >= adds => {
                    let (gone, value) = map.remove(at).expect("found");
                    assert_eq!(Some(value), model.remove(&gone.to_vec()));
                }
                Some(at) => assert_eq!(Some(map.value(at)), model.get(&k.to_vec())),
                None => {
                    assert!(model.insert(k.to_vec(), step).is_none());
                    map.add(k, step);
                }
            }
            assert_eq!(map.len(), model.len());
        }
        assert!(map.iter().all(|(key, value)| model.get(&key.to_vec()) == Some(value)));
    }

    #[test]
    fn a_scan_visits_what_stays() {
        for seed in 1..30 {
            let (mut map, mut random) = (Map::new(), Random(seed * 977));
            for n in 0..300 {
                map.add(key(n), ());
            }
            let (mut seen, mut cursor, mut rounds) = (BTreeSet::new(), 0, 0);
            loop {
                cursor = map.scan(cursor, 5, &mut |at| {
                    seen.insert(map.key(at).to_vec());
                });
                rounds += 1;
                // The first hundred stay; the rest come and go in great numbers.
                for _ in 0..random.below(300) {
                    let k = key(100 + random.below(3000));
                    match map.find(&k) {
                        Some(at) => drop(map.remove(at)),
                        None if rounds % 40 < 20 => drop(map.add(k, ())),
                        None => {}
                    }
                }
                if cursor == 0 {
                    break;
                }
                assert!(rounds < 10_000);
            }
            let missed: Vec<u32> = (0..100).filter(|n| !seen.contains(&key(*n).to_vec())).collect();
            assert!(missed.is_empty(), "seed {seed}: {missed:?}");
        }
    }
}
