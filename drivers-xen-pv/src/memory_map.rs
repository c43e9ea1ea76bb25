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
}

impl MapError {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Overflow => "an entry has no end",
            Self::Overlap => "entries overlap",
        }
    }
}

/// Ranges of page frames that are memory, apart from each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryMap {
    /// Empty ones among them.
    ranges: [Range<usize>; MAX_RANGES],
    /// Ranges that found no place.
    pub(crate) ignored: usize,
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
            map.add(
                entry.addr.div_ceil(page).min(FRAMES_END) as usize..(end / page).min(FRAMES_END) as usize,
            );
        }
        Ok(map)
    }

    /// Adds a range that overlaps none; as one with those that it touches.
    fn add(&mut self, mut frames: Range<usize>) {
        if frames.is_empty() {
            return;
        }
        for range in &mut self.ranges {
            if range.end == frames.start || range.start == frames.end {
                frames = range.start.min(frames.start)..range.end.max(frames.end);
                *range = 0..0;
            }
        }
        match self.ranges.iter_mut().find(|range| range.start >= range.end) {
            Some(place) => *place = frames,
            None => self.ignored += 1,
        }
    }

    /// Leaves only the first `frames`.
    pub(crate) fn keep(&mut self, mut frames: usize) {
        for range in &mut self.ranges {
            range.end = range.end.min(range.start.saturating_add(frames));
            frames -= range.len();
        }
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = &Range<usize>> {
        self.ranges.iter().filter(|range| !range.is_empty())
    }

    /// Frames in all ranges.
    pub(crate) fn total(&self) -> usize {
        self.ranges.iter().map(Range::len).sum()
    }

    /// Whether frames are memory, in one piece.
    pub(crate) fn contains(&self, frames: Range<usize>) -> bool {
        self.ranges.iter().any(|range| range.start <= frames.start && frames.end <= range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges(map: &MemoryMap) -> Vec<Range<usize>> {
        map.ranges().cloned().collect()
    }

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
        assert_eq!(ranges(&map), [0..0x9f, 0x100..0x7ffd, 0x10_0000..0x14_0000]);
        assert_eq!(map.total(), 0x9f + 0x7efd + 0x4_0000);
        assert!(map.contains(0x100..0x101) && map.contains(0x100..0x7ffd) && map.contains(0..0x9f));
        assert!(!map.contains(0xff..0x100) && !map.contains(0x7ffc..0x7ffe) && !map.contains(0..0x200));
    }

    #[test]
    fn neighbours_are_one() {
        let apart = [(0x1000, 0x1000, 1), (0x3000, 0x1000, 1), (0x8000, 0x1000, 1)];
        assert_eq!(ranges(&map(&apart).unwrap()), [1..2, 3..4, 8..9]);
        let joined = [&apart[..], &[(0x2000, 0x1000, 1)]].concat();
        assert_eq!(ranges(&map(&joined).unwrap()), [1..4, 8..9]);
        // Kept apart by octets that are no whole page.
        assert_eq!(ranges(&map(&[(0, 0x1800, 1), (0x1800, 0x1800, 1)]).unwrap()), [0..1, 2..3]);
        // However many a firmware makes of one.
        let many: Vec<_> = (0..100).map(|n| (n * 0x1000, 0x1000, 1)).collect();
        assert_eq!(ranges(&map(&many).unwrap()), [Range { start: 0, end: 100 }]);
    }

    #[test]
    fn what_finds_no_place_is_told() {
        let many: Vec<_> = (0..20).map(|n| (n * 0x10_0000, 0x2000, 1)).collect();
        let map = map(&many).unwrap();
        assert_eq!((map.ranges().count(), map.ignored), (MAX_RANGES, 12));
        assert_eq!(map.ranges().last(), Some(&(0x700..0x702)));
    }

    #[test]
    fn a_map_is_cut_at_its_end() {
        let entries = [(0, 0x9_f000, 1), (0x10_0000, 0x100_0000, 1), (0x1_0000_0000, 0x100_0000, 1)];
        for (frames, left) in
            [(usize::MAX, 0x209f), (0x2000, 0x2000), (0x109f, 0x109f), (0x100, 0x100), (0x50, 0x50), (0, 0)]
        {
            let mut map = map(&entries).unwrap();
            map.keep(frames);
            assert_eq!(map.total(), left);
            assert_eq!(map.contains(0x160..0x161), frames >= 0x100);
        }
    }

    #[test]
    fn lists_that_cannot_be_are_refused() {
        assert_eq!(map(&[(u64::MAX, 2, 1)]).unwrap_err(), MapError::Overflow);
        assert_eq!(map(&[(0, 0x2000, 1), (0x1000, 0x1000, 2)]).unwrap_err(), MapError::Overlap);
        assert_eq!(map(&[(0, 0x2000, 1), (0, 0x2000, 1)]).unwrap_err(), MapError::Overlap);
    }

    proptest! {
        #[test]
        fn whatever_the_loader_says_ranges_are_apart(
            entries in proptest::collection::vec((any::<u64>(), any::<u64>(), 0u32..3), 0..12),
        ) {
            if let Ok(map) = map(&entries) {
                let ranges = ranges(&map);
                for (n, a) in ranges.iter().enumerate() {
                    prop_assert!(ranges[..n].iter().all(|b| a.end < b.start || b.end < a.start));
                    prop_assert!(!a.is_empty() && a.end as u64 <= FRAMES_END);
                }
            }
        }
    }
}
