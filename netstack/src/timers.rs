//! Timers in a binary heap whose entries know their places: setting and clearing one costs the logarithm of their number,
//! and no allocation once there was room for as many.

use alloc::vec::Vec;
use fata_libos::time::Instant;

/// Names a timer that is set: when it fires, its place, and a number that no other timer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    pub(crate) at: Instant,
    slot: u32,
    number: u64,
}

struct Slot<T> {
    at: Instant,
    number: u64,
    /// Where it stands in the heap; in a free slot, the next free one.
    place: u32,
    what: Option<T>,
}

/// See the module.
pub(crate) struct Timers<T> {
    slots: Vec<Slot<T>>,
    /// Numbers of slots; none fires before the one at half its index.
    heap: Vec<u32>,
    free: u32,
    next: u64,
}

/// No slot.
const NONE: u32 = u32::MAX;

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), heap: Vec::new(), free: NONE, next: 0 }
    }
}

impl<T> Timers<T> {
    /// Timers that are set.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// When the first one fires.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.heap.first().map(|slot| self.slots[*slot as usize].at)
    }

    /// Sets one. Those of one moment fire in the order in which they were set.
    pub(crate) fn set(&mut self, at: Instant, what: T) -> TimerKey {
        let number = self.next;
        self.next += 1;
        let place = self.heap.len() as u32;
        let new = Slot { at, number, place, what: Some(what) };
        let slot = self.free;
        let slot = match self.slots.get_mut(slot as usize) {
            Some(free) => {
                self.free = free.place;
                *free = new;
                slot
            }
            None => {
                self.slots.push(new);
                self.slots.len() as u32 - 1
            }
        };
        self.heap.push(slot);
        self.settle(place as usize);
        TimerKey { at, slot, number }
    }

    /// Takes one out; `None` if it has fired or was taken out before.
    pub(crate) fn clear(&mut self, key: TimerKey) -> Option<T> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.number != key.number {
            return None;
        }
        let what = slot.what.take()?;
        let place = slot.place as usize;
        slot.place = self.free;
        self.free = key.slot;
        self.heap.swap_remove(place);
        if let Some(moved) = self.heap.get(place) {
            self.slots[*moved as usize].place = place as u32;
            self.settle(place);
        }
        Some(what)
    }

    /// Takes out the first one if it is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<T> {
        let slot = *self.heap.first()?;
        let Slot { at, number, .. } = self.slots[slot as usize];
        if at > now {
            return None;
        }
        self.clear(TimerKey { at, slot, number })
    }

    fn order(&self, place: usize) -> (Instant, u64) {
        let slot = &self.slots[self.heap[place] as usize];
        (slot.at, slot.number)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        for place in [a, b] {
            self.slots[self.heap[place] as usize].place = place as u32;
        }
    }

    /// Moves an entry to where it belongs.
    fn settle(&mut self, mut place: usize) {
        while place > 0 && self.order(place) < self.order((place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        loop {
            let below = [2 * place + 1, 2 * place + 2].into_iter().filter(|n| *n < self.heap.len());
            let Some(least) = below.min_by_key(|n| self.order(*n)) else { return };
            if self.order(place) <= self.order(least) {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn as_a_sorted_map_would() {
        let (mut timers, mut map) = (Timers::default(), BTreeMap::new());
        let mut keys = Vec::new();
        let mut seed = 1u64;
        for n in 0..20_000u64 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = Instant::from_nanos(n + seed % 500);
            match seed >> 60 {
                0..8 => {
                    let key = timers.set(at, n);
                    map.insert((at, key.number), n);
                    keys.push(key);
                }
                8..12 if !keys.is_empty() => {
                    let key = keys.swap_remove(seed as usize % keys.len());
                    assert_eq!(timers.clear(key), map.remove(&(key.at, key.number)));
                    assert_eq!(timers.clear(key), None);
                }
                _ => {
                    let now = Instant::from_nanos(n);
                    let due =
                        map.first_entry().filter(|first| first.key().0 <= now).map(|first| first.remove());
                    assert_eq!(timers.pop(now), due);
                }
            }
            assert_eq!((timers.len(), timers.first()), (map.len(), map.first_key_value().map(|(k, _)| k.0)));
        }
        assert!(timers.slots.len() < 10_000, "slots are used again");
    }
}
