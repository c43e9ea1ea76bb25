//! The timers of one runtime: a heap by deadline over slots that hold the wakers.
//!
//! A cancelled timer's slot is free at once; its entry in the heap goes stale and is passed over when it comes up. When more
//! than half of the heap is stale it is built anew, so that it never holds more than twice what waits.

use super::Instant;
use crate::local::local;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cell::Cell;
use core::cmp::Reverse;
use core::task::Waker;

/// A slot, and which of its uses is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    slot: u32,
    generation: u32,
}

struct Slot {
    generation: u32,
    waker: Option<Waker>,
}

/// Stale entries that are not worth a rebuild.
const FEW: usize = 64;

local! {
    static IS_USED: Cell<bool> = Cell::new(false);
}

pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, TimerKey)>>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    stale: usize,
}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), stale: 0 }
    }

    /// Whether there was ever a timer. Where none can be, an image has no code for those that are due.
    fn is_used() -> bool {
        IS_USED.with(Cell::get)
    }

    pub(crate) fn insert(&mut self, deadline: Instant, waker: Waker) -> TimerKey {
        IS_USED.with(|used| used.set(true));
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, waker: None });
            self.slots.len() as u32 - 1
        });
        let place = &mut self.slots[slot as usize];
        place.waker = Some(waker);
        let key = TimerKey { slot, generation: place.generation };
        self.heap.push(Reverse((deadline, key)));
        key
    }

    pub(crate) fn update(&mut self, key: TimerKey, waker: &Waker) {
        if let Some(w) = self.live(key) {
            w.clone_from(waker);
        }
    }

    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<Waker> {
        let waker = self.take(key)?;
        self.stale += 1;
        if self.stale > FEW && self.stale > self.heap.len() / 2 {
            let slots = &self.slots;
            self.heap.retain(|Reverse((_, k))| slots[k.slot as usize].generation == k.generation);
            self.stale = 0;
        }
        Some(waker)
    }

    pub(crate) fn next_deadline(&mut self) -> Option<Instant> {
        if !Self::is_used() {
            return None;
        }
        while let Some(&Reverse((deadline, key))) = self.heap.peek() {
            if self.slots[key.slot as usize].generation == key.generation {
                return Some(deadline);
            }
            self.heap.pop();
            self.stale -= 1;
        }
        None
    }

    /// The waker of one timer that is due at `now`. One at a time: wake it after the borrow has ended.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Waker> {
        if !Self::is_used() || self.next_deadline()? > now {
            return None;
        }
        let Reverse((_, key)) = self.heap.pop()?;
        self.take(key)
    }

    fn live(&mut self, key: TimerKey) -> Option<&mut Waker> {
        let slot = &mut self.slots[key.slot as usize];
        slot.waker.as_mut().filter(|_| slot.generation == key.generation)
    }

    /// The waker of a live timer, whose slot is free then.
    fn take(&mut self, key: TimerKey) -> Option<Waker> {
        self.live(key)?;
        let slot = &mut self.slots[key.slot as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.slot);
        slot.waker.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timers_at(deadlines: &[u64]) -> (Timers, Vec<TimerKey>) {
        let mut timers = Timers::new();
        let keys =
            deadlines.iter().map(|&d| timers.insert(Instant::from_nanos(d), Waker::noop().clone())).collect();
        (timers, keys)
    }

    #[test]
    fn the_earliest_that_was_not_cancelled_comes_first() {
        let (mut timers, keys) = timers_at(&[30, 10, 20]);
        assert!(timers.remove(keys[1]).is_some());
        assert!(timers.remove(keys[1]).is_none(), "cancelled once");
        assert_eq!(timers.next_deadline(), Some(Instant::from_nanos(20)));
        assert!(timers.pop_due(Instant::from_nanos(19)).is_none());
        assert!(timers.pop_due(Instant::from_nanos(20)).is_some());
        assert!(timers.remove(keys[2]).is_none(), "it has fired");
        assert_eq!(timers.next_deadline(), Some(Instant::from_nanos(30)));
    }

    #[test]
    fn a_key_of_an_earlier_use_does_not_reach_the_slot() {
        let (mut timers, keys) = timers_at(&[10]);
        timers.remove(keys[0]);
        let second = timers.insert(Instant::from_nanos(5), Waker::noop().clone());
        assert_eq!(second.slot, keys[0].slot);
        assert!(timers.remove(keys[0]).is_none());
        assert_eq!(timers.next_deadline(), Some(Instant::from_nanos(5)));
    }

    #[test]
    fn cancelled_timers_do_not_pile_up() {
        let mut timers = Timers::new();
        for n in 0..100_000 {
            let key = timers.insert(Instant::from_nanos(1_000_000 + n), Waker::noop().clone());
            timers.remove(key);
            assert!(timers.heap.len() <= 2 * FEW && timers.slots.len() == 1);
        }
        assert_eq!(timers.next_deadline(), None);
    }
}
