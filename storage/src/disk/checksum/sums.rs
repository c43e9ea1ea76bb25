//! Sectors of checksums: two for each sector of a group, what it held and what it holds.

use crate::checksum::crc32c_at;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Octets of a pair of checksums.
pub(super) const PAIR: usize = 8;
/// Octets at the end of a sector of checksums: reserved (4), and the checksum of all before it (4).
pub(super) const TRAILER: usize = 8;

/// The checksum of a sector. None is 0, which stands for what was never written.
pub(super) fn sum_of(sector: u64, octets: &[u8]) -> u32 {
    crc32c_at(sector, octets).max(1)
}

/// What a sector's octets may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// Before the last write.
    pub(super) before: u32,
    /// After it; 0 if there was none.
    pub(super) after: u32,
}

impl Pair {
    pub(super) fn has(self, sum: u32) -> bool {
        sum == self.before || sum == self.after
    }
}

/// A sector of checksums that is whole.
#[derive(Clone)]
pub(super) struct Sums(Rc<[u8]>);

/// One that is being changed.
pub(super) struct Edit(Vec<u8>);

fn pair(octets: &[u8], index: usize) -> Pair {
    let field = |at: usize| {
        let octets = octets[at..].first_chunk::<4>();
        octets.map_or(0, |octets| u32::from_le_bytes(*octets))
    };
    Pair { before: field(index * PAIR), after: field(index * PAIR + 4) }
}

impl Sums {
    /// Those of a group that was never written.
    pub(super) fn empty(group: u64, size: usize) -> Self {
        Edit(alloc::vec![0; size]).seal(group)
    }

    /// `None` if the octets are not those of a group's checksums.
    pub(super) fn decode(group: u64, octets: &[u8]) -> Option<Self> {
        let (body, sum) = octets.split_last_chunk::<4>()?;
        (crc32c_at(group, body) == u32::from_le_bytes(*sum)).then(|| Self(Rc::from(octets)))
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn pair(&self, index: usize) -> Pair {
        pair(&self.0, index)
    }

    pub(super) fn to_edit(&self) -> Edit {
        Edit(self.0.to_vec())
    }
}

impl Edit {
    /// A sector will have `after`; it has `now`, if that could be read.
    pub(super) fn promise(&mut self, index: usize, now: Option<u32>, after: u32) {
        let old = pair(&self.0, index);
        // What is damaged stays so until it is written over: its checksum is not that of what was to be there.
        let before = now.filter(|now| old.after == 0 || old.has(*now)).unwrap_or(old.after);
        let at = index * PAIR;
        self.0[at..at + 4].copy_from_slice(&before.to_le_bytes());
        self.0[at + 4..at + 8].copy_from_slice(&after.to_le_bytes());
    }

    pub(super) fn seal(mut self, group: u64) -> Sums {
        let body = self.0.len() - 4;
        let sum = crc32c_at(group, &self.0[..body]);
        self.0[body..].copy_from_slice(&sum.to_le_bytes());
        Sums(Rc::from(self.0))
    }
}

/// Sectors of checksums in memory, bounded; the first that came goes first.
pub(super) struct Kept {
    sums: BTreeMap<u64, Sums>,
    order: VecDeque<u64>,
    limit: usize,
}

impl Kept {
    pub(super) fn new(limit: usize) -> Self {
        Self { sums: BTreeMap::new(), order: VecDeque::new(), limit: limit.max(1) }
    }

    pub(super) fn get(&self, group: u64) -> Option<Sums> {
        self.sums.get(&group).cloned()
    }

    pub(super) fn insert(&mut self, group: u64, sums: Sums) {
        if self.sums.insert(group, sums).is_none() {
            self.order.push_back(group);
        }
        while self.sums.len() > self.limit {
            let Some(first) = self.order.pop_front() else { break };
            self.sums.remove(&first);
        }
    }

    pub(super) fn forget(&mut self, group: u64) {
        if self.sums.remove(&group).is_some() {
            self.order.retain(|other| *other != group);
        }
    }
}
