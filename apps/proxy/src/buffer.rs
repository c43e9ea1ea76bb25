//! Memory for content on its way: asked for, and less of it where there is little.

use alloc::vec::Vec;
use fata::memory::{self, MemoryStats};

/// The usual piece, and what does where memory is short, octets.
const PIECES: [usize; 3] = [16 << 10, 4 << 10, 1 << 10];
/// The most that is kept free for others, octets: a sixteenth of the guest, if that is less.
const MAX_RESERVE: u64 = 8 << 20;

/// Whether there is so much beside what is kept free.
pub fn is_free(octets: usize) -> bool {
    is_free_of(&memory::stats(), octets)
}

fn is_free_of(stats: &MemoryStats, octets: usize) -> bool {
    // A platform that does not tell has enough.
    stats.total == 0 || stats.free >= (stats.total / 16).min(MAX_RESERVE) + octets as u64
}

/// A buffer of at most so many octets; `None` where there is no memory even for a small one.
pub fn piece(most: usize) -> Option<Vec<u8>> {
    let stats = memory::stats();
    let mut sizes = PIECES.into_iter().map(|len| len.min(most)).filter(|&len| is_free_of(&stats, len));
    sizes.find_map(|len| {
        let mut piece = Vec::new();
        piece.try_reserve_exact(len).ok()?;
        piece.resize(len, 0);
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_libos::testing::run_with_memory;

    #[test]
    fn less_where_there_is_little() {
        for (free_kib, expected) in
            [(4096, Some(16 << 10)), (2058, Some(4 << 10)), (2049, Some(1 << 10)), (2048, None), (0, None)]
        {
            let mut stats = MemoryStats::default();
            (stats.total, stats.free) = (32 << 20, free_kib << 10);
            run_with_memory(move || stats, async move {
                assert_eq!(piece(usize::MAX).map(|piece| piece.len()), expected, "{free_kib} KiB");
                assert_eq!(is_free(1 << 10), expected.is_some());
            });
        }
        let mut stats = MemoryStats::default();
        (stats.total, stats.free) = (32 << 20, 32 << 20);
        run_with_memory(move || stats, async {
            assert_eq!(piece(4096).map(|piece| piece.len()), Some(4096))
        });
    }
}
