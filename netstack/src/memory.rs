//! The memory that remotes can make the stack use: one account, asked before every growth that a packet causes.
//!
//! What is refused is refused to the peer that asks: its packet is dropped, its connection not opened. Each [`Use`] has a
//! part of the account, so that a flood of one kind leaves room for the others. And whoever has used the memory up,
//! nothing is granted while less than a [`reserve`] is free, give or take an eighth of it: from that come the small allocations that cannot fail.

use crate::stats::Counters;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::hint::black_box;
use fata_libos::memory;
use fata_libos::platform::MemoryStats;

/// The limit where the platform does not tell how much memory there is, octets.
const UNKNOWN: usize = 256 << 20;
/// What every question costs of the credit, octets: so that it is looked again at times, however little is asked for.
const LEAST_COST: usize = 256;
/// The largest that a table of a small guest grows to at once, octets.
const PIECE: usize = 64 << 10;
/// The most that is kept free, octets.
const MAX_RESERVE: u64 = 16 << 20;

/// What memory is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// TCP connections with their buffers.
    Connections,
    /// Handshakes.
    HalfOpen,
    /// TIME-WAIT.
    TimeWait,
    /// Packets being put together.
    Fragments,
    /// Datagrams that wait in sockets.
    Datagrams,
    /// Addresses of neighbours.
    Neighbours,
    /// Frames that wait for a neighbour or the device.
    Frames,
    /// Names and their addresses.
    Names,
    /// Captured frames: not a remote's to fill, but a remote's to fetch.
    Capture,
}

const USES: usize = Use::Capture as usize + 1;

impl Use {
    /// Its part of the account, in thirty-seconds. Together they are more than the whole, and still less than what was
    /// free when the account was made.
    const fn part(self) -> usize {
        match self {
            Self::Connections => 32,
            Self::Capture => 8,
            Self::Datagrams => 4,
            Self::Fragments | Self::Frames => 2,
            Self::HalfOpen | Self::TimeWait | Self::Neighbours | Self::Names => 1,
        }
    }
}

/// The account.
pub(crate) struct Memory {
    limit: Cell<usize>,
    used: [Cell<usize>; USES],
    refused: Cell<u64>,
    /// What may be granted before the next look at what is free, octets.
    credit: Cell<usize>,
    /// Says what the guest has.
    stats: fn() -> MemoryStats,
    /// Whether what is free has one piece at least that a table can grow into.
    has_piece: fn() -> bool,
}

/// Memory that was granted; given back when dropped.
pub(crate) struct Share {
    memory: Rc<Memory>,
    of: Use,
    octets: usize,
}

impl Memory {
    /// An account of half of what is free now.
    pub(crate) fn new() -> Rc<Self> {
        let limit = match usize::try_from(memory::stats().free / 2).unwrap_or(usize::MAX) {
            0 => UNKNOWN,
            half => half,
        };
        Self::with(limit, memory::stats, has_piece)
    }

    pub(crate) fn with(limit: usize, stats: fn() -> MemoryStats, has_piece: fn() -> bool) -> Rc<Self> {
        let (limit, used, refused) = (Cell::new(limit), Default::default(), Cell::new(0));
        Rc::new(Self { limit, used, refused, credit: Cell::new(0), stats, has_piece })
    }

    pub(crate) fn set_limit(&self, octets: usize) {
        self.limit.set(octets);
    }

    /// What a use may have in all.
    pub(crate) fn limit(&self, of: Use) -> usize {
        self.limit.get() / 32 * of.part()
    }

    /// What it has.
    pub(crate) fn used(&self, of: Use) -> usize {
        self.used[of as usize].get()
    }

    /// Asks for memory.
    pub(crate) fn take(self: &Rc<Self>, of: Use, octets: usize) -> Option<Share> {
        let mut share = Share { memory: self.clone(), of, octets: 0 };
        share.grow(octets).then_some(share)
    }

    /// Whether that much could be had now beside the reserve, whatever for. While there is plenty it is looked at only after
    /// every eighth of the reserve: whoever else takes memory meanwhile leaves at least the rest of it.
    pub(crate) fn is_free(&self, octets: usize) -> bool {
        let cost = octets.max(LEAST_COST);
        if cost < self.credit.get() {
            self.credit.set(self.credit.get() - cost);
            return true;
        }
        let stats = (self.stats)();
        let (reserve, wanted) = (reserve(stats.total), octets as u64);
        let plenty = stats.free.saturating_sub(2 * reserve).saturating_sub(wanted);
        let is_whole = stats.free >= stats.total / 2 || (self.has_piece)();
        self.credit.set(if is_whole { plenty.min(reserve / 8) as usize } else { 0 });
        stats.total == 0 || stats.free >= reserve + wanted && is_whole
    }

    /// Whether that much could be had and as much as the reserve would be left beside it: for what needs more later.
    pub(crate) fn is_plenty(&self, octets: usize) -> bool {
        if octets < self.credit.get() {
            return true;
        }
        let stats = (self.stats)();
        stats.total == 0 || stats.free >= 2 * reserve(stats.total) + octets as u64
    }

    /// Whether more than half of what there is for a use would be used with so many octets more, or there is no plenty: who wants
    /// much has to do with less, so that there is something for who wants little.
    pub(crate) fn is_scarce(&self, of: Use, more: usize) -> bool {
        self.used(of).saturating_add(more) > self.limit(of) / 2 || !self.is_plenty(more)
    }

    /// Brings the gauges up to date.
    pub(crate) fn count(&self, counters: &Counters) {
        counters.memory_octets.set(self.used.iter().map(|used| used.get() as u64).sum());
        counters.memory_refused.set(self.refused.get());
        counters.tcp_buffer_octets.set(self.used(Use::Connections) as u64);
    }
}

impl Share {
    /// Asks for more; false if there is none.
    pub(crate) fn grow(&mut self, octets: usize) -> bool {
        let memory = &*self.memory;
        let used = memory.used(self.of).saturating_add(octets);
        if used > memory.limit(self.of) || !memory.is_free(octets) {
            memory.refused.set(memory.refused.get() + 1);
            return false;
        }
        memory.used[self.of as usize].set(used);
        self.octets += octets;
        true
    }
}

impl Share {
    /// Whether more than half of what there is for this use would be used with so much more, or nothing is free.
    pub(crate) fn is_scarce(&self, more: usize) -> bool {
        self.memory.is_scarce(self.of, more)
    }

    /// Gives some of it back.
    pub(crate) fn shrink(&mut self, octets: usize) {
        let octets = octets.min(self.octets);
        let used = &self.memory.used[self.of as usize];
        used.set(used.get() - octets);
        self.octets -= octets;
    }
}

impl core::fmt::Debug for Share {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} octets", self.octets)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let used = &self.memory.used[self.of as usize];
        used.set(used.get() - self.octets);
    }
}

/// What is kept free in a guest of `total` octets.
fn reserve(total: u64) -> u64 {
    (total / 8).min(MAX_RESERVE)
}

/// Whether there is one piece at least that a table can grow into: where much is in use it may be in small ones.
fn has_piece() -> bool {
    black_box(&mut Vec::<u8>::new()).try_reserve_exact(PIECE).is_ok()
}

/// A buffer of zeros, if there is memory for it.
pub(crate) fn zeroed(octets: usize) -> Option<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(octets).ok()?;
    buffer.resize(octets, 0);
    Some(buffer)
}

#[cfg(test)]
impl Memory {
    /// An account of so much, for tests outside of a runtime.
    pub(crate) fn of(octets: usize) -> Rc<Self> {
        Self::with(octets, MemoryStats::default, || true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn each_use_has_its_part_and_gives_it_back() {
        let memory = Memory::of(32_000);
        let all = memory.take(Use::HalfOpen, 1000).unwrap();
        assert!(memory.take(Use::HalfOpen, 1).is_none());
        let mut other = memory.take(Use::Connections, 20_000).unwrap();
        assert!(other.grow(12_000) && !other.grow(1) && !other.grow(usize::MAX));
        drop(all);
        assert!(memory.take(Use::HalfOpen, 1000).is_some());
        let counters = Counters::default();
        memory.count(&counters);
        let stats = counters.snapshot();
        assert_eq!((stats.memory_octets, stats.tcp_buffer_octets, stats.memory_refused), (32_000, 32_000, 3));
        drop(other);
        assert_eq!(memory.used(Use::Connections), 0);
    }

    #[test]
    fn it_is_looked_again_before_the_reserve_can_be_gone() {
        static FREE: AtomicU64 = AtomicU64::new(6 << 20);
        fn stats() -> MemoryStats {
            let mut stats = MemoryStats::default();
            (stats.total, stats.free) = (8 << 20, FREE.load(Ordering::Relaxed));
            stats
        }
        let memory = Memory::with(4 << 20, stats, || true);
        let mut share = memory.take(Use::Connections, 5000).unwrap();
        // Somebody else takes all but the reserve.
        FREE.store((1 << 20) - 1, Ordering::Relaxed);
        let granted = (0..1000).take_while(|_| share.grow(1000)).count();
        assert!((1..=131).contains(&granted), "{granted} kB of a reserve of 1 MiB");
        let asked = (0..10_000).take_while(|_| !memory.is_scarce(Use::Connections, 0)).count();
        assert_eq!(asked, 0);
    }

    #[test]
    fn free_memory_in_small_pieces_is_none() {
        fn stats() -> MemoryStats {
            let mut stats = MemoryStats::default();
            (stats.total, stats.free) = (8 << 20, 3 << 20);
            stats
        }
        let memory = Memory::with(4 << 20, stats, || false);
        assert!((0..1000).all(|_| memory.take(Use::Connections, 100).is_none()));
        let memory = Memory::with(4 << 20, stats, || true);
        assert!((0..1000).all(|_| memory.take(Use::Connections, 100).is_some()));
    }

    #[test]
    fn the_last_eighth_is_not_granted_whoever_used_the_rest() {
        fn stats() -> MemoryStats {
            let mut stats = MemoryStats::default();
            (stats.total, stats.free) = (8 << 20, (1 << 20) + 5000);
            stats
        }
        let memory = Memory::with(4 << 20, stats, || true);
        assert!(memory.take(Use::Connections, 5000).is_some());
        assert!(memory.take(Use::Connections, 5001).is_none());
        assert_eq!((reserve(8 << 20), reserve(1 << 30)), (1 << 20, MAX_RESERVE));
    }
}
