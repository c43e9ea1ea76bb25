//! Segments: which are free, which hold something live, which wait for the last reader of what they held.

use super::item::part_len;
use super::layout::Layout;
use super::memtable::Slot;
use crate::fields::{Fields, Put};
use alloc::vec;
use alloc::vec::Vec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Free,
    Used,
    /// Nothing in it is of the tree of this generation, or of a later one; readers may have an earlier one.
    Dead {
        since: u64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) state: State,
    /// Octets that the tree of the last checkpoint refers to.
    pub(crate) live: u32,
    /// Its number in the log of commits; 0 if it is not part of the tail; [`BUILDING`] while a checkpoint writes to it.
    pub(crate) log: u64,
    /// It cannot be emptied, as what it holds is damaged.
    pub(crate) is_hopeless: bool,
}

/// In place of the number in the log of a segment that a checkpoint writes to.
pub(crate) const BUILDING: u64 = u64::MAX;

/// Changes of live octets by segment.
#[derive(Default)]
pub(crate) struct Deltas(Vec<i64>);

impl Deltas {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self(vec![0; layout.segments as usize])
    }

    /// Counts octets that come or go. A segment that there is not, as damage may name one, does not count.
    pub(crate) fn change(&mut self, segment: u32, octets: i64) {
        if let Some(delta) = self.0.get_mut(segment as usize) {
            *delta += octets;
        }
    }

    /// The sums, in the order of the segments.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &i64> {
        self.0.iter()
    }
}

pub(crate) struct Space {
    segments: Vec<Segment>,
    capacity: u32,
    leftover: u32,
    free: u32,
    cursor: u32,
}

/// What an entry may add to the live octets: in a leaf, and as parts of a value.
pub(crate) fn growth(key: usize, slot: &Slot) -> u64 {
    let leaf = key as u64 + 8;
    match slot {
        Slot::Deleted => 0,
        Slot::Inline(value) => leaf + value.len() as u64,
        Slot::Stored(spans) => leaf + spans.iter().map(|s| 16 + u64::from(part_len(key, s.len))).sum::<u64>(),
        Slot::Child(_) => 0,
    }
}

impl Space {
    pub(crate) fn new(layout: Layout, live: &[u32]) -> Self {
        let free = Segment { state: State::Free, live: 0, log: 0, is_hopeless: false };
        let mut segments = vec![free; layout.segments as usize];
        for (segment, live) in segments.iter_mut().zip(live) {
            segment.live = *live;
            segment.state = if *live > 0 { State::Used } else { State::Free };
        }
        let free = segments.iter().filter(|s| s.state == State::Free).count() as u32;
        let (capacity, leftover) = (layout.capacity(), layout.node_limit());
        Self { segments, capacity, leftover, free, cursor: 0 }
    }

    pub(crate) fn free(&self) -> u32 {
        self.free
    }

    pub(crate) fn count(&self) -> u32 {
        self.segments.len() as u32
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = (u32, &Segment)> {
        (0..).zip(&self.segments)
    }

    /// Octets that the tree refers to.
    pub(crate) fn live(&self) -> u64 {
        self.segments.iter().map(|s| u64::from(s.live)).sum()
    }

    /// Segments that the checkpoint alone may use.
    pub(crate) fn reserve_of_checkpoint(&self) -> u32 {
        3.max(self.count() / 64)
    }

    /// Segments that deletes may use, above those of the checkpoint.
    pub(crate) fn reserve_of_deletes(&self) -> u32 {
        2.max(self.count() / 128)
    }

    /// The most live octets that puts may lead to, beside two tails of the log of `tail` octets: what is above is where the
    /// cleaner works.
    pub(crate) fn limit(&self, tail: u64) -> u64 {
        let reserved = self.reserve_of_checkpoint() + self.reserve_of_deletes() + 2;
        let capacity = u64::from(self.capacity);
        // The end of a segment is left over, on the average half a node.
        let usable = capacity - u64::from(self.leftover);
        let rest = u64::from(self.count() - reserved).saturating_sub((2 * tail).div_ceil(capacity));
        rest.max(2) * usable / 8 * 7
    }

    /// Below so many free segments the cleaner works.
    pub(crate) fn low(&self) -> u32 {
        (self.reserve_of_checkpoint() + self.reserve_of_deletes() + 2).max(self.count() / 8)
    }

    /// Takes a free segment for the log.
    pub(crate) fn allocate(&mut self, log: u64) -> Option<u32> {
        let count = self.count();
        let found = (0..count)
            .map(|step| (self.cursor + step) % count)
            .find(|i| self.segments[*i as usize].state == State::Free)?;
        self.cursor = (found + 1) % count;
        self.take(found, log);
        Some(found)
    }

    /// Marks a segment as the log's, whatever it was.
    pub(crate) fn take(&mut self, segment: u32, log: u64) {
        let entry = &mut self.segments[segment as usize];
        if entry.state == State::Free {
            self.free -= 1;
        }
        entry.state = State::Used;
        entry.log = log;
        entry.is_hopeless = false;
    }

    /// Has the cleaner leave a segment alone, until it is written anew.
    pub(crate) fn give_up(&mut self, segment: u32) {
        self.segments[segment as usize].is_hopeless = true;
    }

    /// The live octets of all segments after these changes.
    pub(crate) fn after(&self, deltas: &Deltas) -> Vec<u32> {
        let after = |live: u32, delta: i64| (i64::from(live) + delta).clamp(0, i64::from(u32::MAX)) as u32;
        self.segments.iter().zip(deltas.iter()).map(|(s, delta)| after(s.live, *delta)).collect()
    }

    /// Takes over a checkpoint: its live octets, and that segments before number `tail` of the log are not replayed. The next
    /// will go on writing to the segment `head`.
    pub(crate) fn install(&mut self, live: &[u32], tail: u64, generation: u64, head: Option<u32>) {
        for (index, (entry, live)) in (0..).zip(self.segments.iter_mut().zip(live)) {
            entry.live = *live;
            if entry.log == BUILDING && head != Some(index) {
                entry.log = 0;
            }
            if entry.state == State::Used && entry.live == 0 && entry.log < tail {
                entry.state = State::Dead { since: generation };
            }
        }
    }

    /// Frees what a checkpoint that came to nothing wrote, but for the segment `head`.
    pub(crate) fn abandon(&mut self, head: Option<u32>) {
        for (index, entry) in (0..).zip(&mut self.segments) {
            if entry.log == BUILDING && entry.live == 0 && head != Some(index) {
                entry.state = State::Free;
                entry.log = 0;
                self.free += 1;
            }
        }
    }

    /// Frees dead segments that no reader of a tree older than `oldest` can need; gives them.
    pub(crate) fn reap(&mut self, oldest: u64) -> Vec<u32> {
        let mut freed = Vec::new();
        for (index, entry) in (0..).zip(&mut self.segments) {
            if matches!(entry.state, State::Dead { since } if since <= oldest) {
                entry.state = State::Free;
                entry.log = 0;
                freed.push(index);
            }
        }
        self.free += freed.len() as u32;
        freed
    }

    /// Dead segments that readers keep.
    pub(crate) fn pinned(&self) -> u32 {
        self.segments.iter().filter(|s| matches!(s.state, State::Dead { .. })).count() as u32
    }

    /// Segments before number `tail` of the log with the least that is live, to be emptied: few enough that what they hold
    /// is at most `step` octets; but one that holds more, up to `most`, is emptied in several steps.
    pub(crate) fn victims(&self, tail: u64, step: u64, most: u64) -> Vec<u32> {
        let worth = u64::from(self.capacity) / 16 * 15;
        let can_be = |s: &Segment| {
            s.state == State::Used
                && s.log < tail
                && s.live > 0
                && u64::from(s.live) < worth
                && !s.is_hopeless
        };
        let mut found: Vec<(u32, u32)> =
            self.segments().filter(|(_, s)| can_be(s)).map(|(index, s)| (s.live, index)).collect();
        found.sort_unstable();
        let mut sum = 0;
        let few = found.into_iter().take(2 + self.segments.len() / 16).take_while(|(live, _)| {
            let is_first = sum == 0;
            sum += u64::from(*live);
            sum <= step || (is_first && sum <= most)
        });
        few.map(|(_, index)| index).collect()
    }
}

/// The table of live octets as a checkpoint writes it.
pub(crate) fn encode_table(live: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(live.len() * 4);
    for octets in live {
        out.put_u32(*octets);
    }
    out
}

pub(crate) fn decode_table(octets: &[u8], layout: Layout) -> Option<Vec<u32>> {
    let mut f = Fields::new(octets);
    let mut live = Vec::with_capacity(layout.segments as usize);
    for _ in 0..layout.segments {
        live.push(f.u32().filter(|l| *l <= layout.segment)?);
    }
    f.is_at_end().then_some(live)
}
