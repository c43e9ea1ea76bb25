//! What libos needs of the platform below it.

use crate::time::{Instant, SystemTime};

/// How the guest leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// In order; the host gives the guest's resources back.
    PowerOff,
    /// In order, to be started again.
    Reboot,
    /// Something is broken beyond repair.
    Crash,
}

/// Memory figures, octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// What the guest was given.
    pub total: u64,
    /// Not in use: neither allocated in the heap nor taken by image, tables and devices.
    pub free: u64,
    /// Mapped for the heap so far.
    pub heap: u64,
    /// Allocated in the heap now.
    pub heap_used: u64,
}

/// A platform: the clock, sleep, entropy and the ways out.
pub trait Platform {
    /// Time since an arbitrary moment before the program started; never goes back.
    fn now(&self) -> Instant;

    /// After [`wait`](Self::wait): now, or where that is cheaper to tell the moment since when the processor is ours, if nobody
    /// was told a later one. Never goes back, and is never later than what [`now`](Self::now) says next.
    fn resumed(&self) -> Instant {
        self.now()
    }

    /// The time of day at a moment of the monotonic clock, as the platform knows it.
    fn wall_clock(&self, at: Instant) -> SystemTime;

    /// Returns when something happened that may have made a task ready, or when `deadline` has passed. Wakes the wakers
    /// of what happened. With a deadline in the past, looks at what happened and returns.
    fn wait(&self, deadline: Option<Instant>);

    /// Fills `seed` with bytes that nobody else can guess; false where the platform has no such source. On a guest, the
    /// function `fata_seed` does it.
    #[cfg(not(target_os = "xen"))]
    fn entropy(&self, seed: &mut [u8; 32]) -> bool;

    /// Another number when this program may be the copy of one that has used the same random octets: restored from a file,
    /// forked. On a guest, the function `fata_generation` says it.
    #[cfg(not(target_os = "xen"))]
    fn generation(&self) -> u64 {
        0
    }

    /// A number that a copy of this program has not, made at each request: it tells two apart that
    /// [`generation`](Self::generation) does not. On a guest, the function `fata_fresh` says it.
    #[cfg(not(target_os = "xen"))]
    fn fresh(&self) -> u64 {
        0
    }

    /// Memory figures.
    fn memory(&self) -> MemoryStats;

    /// Leaves at once.
    fn leave(&self, how: Leave) -> !;
}
