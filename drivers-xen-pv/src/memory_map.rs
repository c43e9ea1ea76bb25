//! The memory of a machine, from the list that a PVH loader leaves (`hvm_memmap_table_entry`): claims, checked here.

use crate::abi::hvm::{HvmMemmapTableEntry, MEMMAP_TYPE_RAM};
use crate::types::PAGE_SIZE;
use core::ops::Range;

/// Ranges that are kept at most; real lists have two or three.
pub(crate) const MAX_RANGES: usize = 8;
/// Frames from here on are left alone: half a TiB.
const FRAMES_END: u64 = 1 << 27;

/// Why a list is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapError {
    /// It ends behind the last address there is.
    Overflow,
    /// One part is said to be memory and something else, or twice memory.
    Overlap,
    /// More ranges of memory than a machine of this kind has.
    TooMany,
}

impl MapError {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Overflow => "an entry has no end",
            Self::Overlap => "entries overlap",
            Self::TooMany => "too many ranges",
        }
    }
}

/// Ranges of page frames that are memory, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryMap {
    ranges: [Range<usize>; MAX_RANGES],
    count: usize,
}

impl MemoryMap {
    /// Whole pages of memory among the entries.
    pub(crate) fn new<I>(entries: I) -> Result<Self, MapError>
    where
        I: Iterator<Item = HvmMemmapTableEntry> + Clone,
    {
        let mut map = Self::default();
        for (n, entry) in entries.clone().enumerate() {
            let end = entry.addr.checked_add(entry.size).ok_or(MapError::Overflow)?;
            if entry.r#type != MEMMAP_TYPE_RAM || entry.size == 0 {
                continue;
            }
            let overlaps = |other: HvmMemmapTableEntry| {
                other.size > 0 && other.addr < end && entry.addr < other.addr.saturating_add(other.size)
            };
            if entries.clone().enumerate().any(|(m, other)| m != n && overlaps(other)) {
                return Err(MapError::Overlap);
            }
            let page = PAGE_SIZE as u64;
            map.add(entry.addr.div_ceil(page).min(FRAMES_END)..(end / page).min(FRAMES_END))?;
        }
        Ok(map)
    }

    fn add(&mut self, frames: Range<u64>) -> Result<(), MapError> {
        if frames.is_empty() {
            return Ok(());
        }
        if self.count == MAX_RANGES {
            return Err(MapError::TooMany);
        }
        let place = self.ranges().iter().position(|r| r.start as u64 > frames.start).unwrap_or(self.count);
        self.ranges[self.count] = frames.start as usize..frames.end as usize;
        self.count += 1;
        self.ranges[place..self.count].rotate_right(1);
        Ok(())
    }

    pub(crate) fn ranges(&self) -> &[Range<usize>] {
        self.ranges.get(..self.count).unwrap_or_default()
    }

    /// Frames in all ranges.
    pub(crate) fn total(&self) -> usize {
        self.ranges().iter().map(Range::len).sum()
    }

    /// Whether a frame is memory.
    pub(crate) fn contains(&self, frame: usize) -> bool {
        self.ranges().iter().any(|range| range.contains(&frame))
    }

    /// The part of the memory that lies in `frames`; where that is in several pieces, the last of them.
    #[inline(never)]
    pub(crate) fn last_within(&self, frames: Range<usize>) -> Range<usize> {
        let mut parts = self.ranges().iter().map(|r| r.start.max(frames.start)..r.end.min(frames.end));
        parts.rfind(|part| !part.is_empty()).unwrap_or(0..0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(entries: &[(u64, u64, u32)]) -> Result<MemoryMap, MapError> {
        MemoryMap::new(entries.iter().map(|&(addr, size, kind)| HvmMemmapTableEntry::new(addr, size, kind)))
    }

    #[test]
    fn a_list_as_qemu_leaves_it() {
        let entries = [
            (0, 0x9_fc00, 1),
            (0x9_fc00, 0x400, 2),
            (0xf_0000, 0x1_0000, 2),
            (0x10_0000, 0x7ef_d000, 1),
            (0x1_0000_0000, 0x4000_0000, 1),
            (0xfffc_0000, 0x4_0000, 2),
        ];
        let map = map(&entries).unwrap();
        assert_eq!(map.ranges(), [0..0x9f, 0x100..0x7ffd, 0x10_0000..0x14_0000]);
        assert_eq!(map.total(), 0x9f + 0x7efd + 0x4_0000);
        assert!(map.contains(0x100) && !map.contains(0xff) && !map.contains(0x7ffd));
        assert_eq!(map.last_within(0..0x200), 0x100..0x200);
        assert_eq!(map.last_within(0..0x100), 0..0x9f);
        assert_eq!(map.last_within(0xa0..0x100), 0..0);
    }

    #[test]
    fn lists_that_cannot_be_are_refused() {
        assert_eq!(map(&[(u64::MAX, 2, 1)]).unwrap_err(), MapError::Overflow);
        assert_eq!(map(&[(0, 0x2000, 1), (0x1000, 0x1000, 2)]).unwrap_err(), MapError::Overlap);
        assert_eq!(map(&[(0, 0x2000, 1), (0, 0x2000, 1)]).unwrap_err(), MapError::Overlap);
        let many: Vec<_> = (0..20).map(|n| (n * 0x10_0000, 0x1000, 1)).collect();
        assert_eq!(map(&many).unwrap_err(), MapError::TooMany);
    }

    proptest! {
        #[test]
        fn whatever_the_loader_says_ranges_are_in_order_and_apart(
            entries in proptest::collection::vec((any::<u64>(), any::<u64>(), 0u32..3), 0..12),
        ) {
            if let Ok(map) = map(&entries) {
                prop_assert!(map.ranges().is_sorted_by(|a, b| a.end <= b.start));
                prop_assert!(map.ranges().iter().all(|r| !r.is_empty() && r.end as u64 <= FRAMES_END));
            }
        }
    }
}
