//! Whether there is memory for what a client asks.
//!
//! What grows with what clients send asks here first, and is refused with 503 while less than a sixteenth of the guest's
//! memory is free (three eighths for content that is kept whole, [`may_keep`]): from that come the small allocations that cannot fail, such as those of the refusal.

use alloc::vec::Vec;
use core::cell::Cell;
use core::hint::black_box;
use fata_libos::memory;

/// The most that is kept free, octets.
const MAX_RESERVE: u64 = 8 << 20;
/// Content that is kept as long as requests are answered, octets.
const SMALL_CONTENT: usize = 4 << 10;
/// The most that is kept free when clients send content, octets.
const MOST_KEPT_FREE: u64 = 48 << 20;
/// A buffer that comes from what is kept free, octets.
#[cfg(feature = "h2")]
const SMALL_BUFFER: usize = 512;
/// One connection for so many octets of the guest.
const PER_CONNECTION: u64 = 12 << 10;

/// What the task of a connection takes at most before a request has come, and the tables that know of it, in one piece,
/// octets.
pub(crate) const CONNECTION: usize = 32 << 10;
/// What must be there in one piece for a handler to be called, octets: an answer of 40 kB that grows by doubling.
pub(crate) const HANDLER: usize = 128 << 10;
/// What a handler that waits is thought to take when it goes on, octets.
const PER_HANDLER: usize = 8 << 10;

/// What a stream of HTTP/2 takes in several pieces before its handler is called, octets.
#[cfg(feature = "h2")]
pub(crate) const STREAM: usize = 2 << 10;

/// Whether there is so much beside the reserve.
pub(crate) fn is_free(octets: usize) -> bool {
    let stats = memory::stats();
    // A platform that does not tell has enough.
    stats.total == 0 || stats.free >= (stats.total / 16).min(MAX_RESERVE) + octets as u64
}

/// Whether content of so much may be kept: what is small as any request; more while three eighths are free beside it, so that the network under this server
/// has what it keeps for new connections, however many clients send content that is kept.
pub(crate) fn may_keep(octets: usize) -> bool {
    let stats = memory::stats();
    let is_free_beside =
        || stats.total == 0 || stats.free >= (stats.total / 8 * 3).min(MOST_KEPT_FREE) + octets as u64;
    is_free_beside() || octets <= SMALL_CONTENT && is_free(octets)
}

/// Whether there is a piece of so much beside the reserve. It is tried where much is in use: what is free then may be in
/// smaller ones.
pub(crate) fn has_piece(octets: usize) -> bool {
    let stats = memory::stats();
    let is_there = || black_box(&mut Vec::<u8>::new()).try_reserve_exact(octets).is_ok();
    is_free(octets) && (stats.free >= stats.total / 2 || is_there())
}

/// Handlers that were called, and may still take the memory that their answers need.
#[derive(Default)]
pub(crate) struct Waiting(Cell<usize>);

impl Waiting {
    /// Whether another handler may be called.
    pub(crate) fn may_call(&self) -> bool {
        self.leave(HANDLER)
    }

    /// Whether a stream of HTTP/2 may be opened.
    #[cfg(feature = "h2")]
    pub(crate) fn may_open(&self) -> bool {
        self.leave(STREAM)
    }

    /// Whether there is a piece of so much beside what handlers that wait may still take.
    fn leave(&self, octets: usize) -> bool {
        has_piece(octets) && is_free(octets + self.0.get().saturating_mul(PER_HANDLER))
    }

    /// A handler waits, until this is dropped.
    pub(crate) fn one(&self) -> Waits<'_> {
        self.0.set(self.0.get() + 1);
        Waits(self)
    }
}

/// See [`Waiting::one`].
pub(crate) struct Waits<'a>(&'a Waiting);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}

/// Makes room for so many octets more in a buffer that grows with what a client sends; false if there is no memory for it.
#[cfg(feature = "h2")]
pub(crate) fn reserve(buffer: &mut Vec<u8>, octets: usize) -> bool {
    let grown = buffer.len() + octets;
    let may_grow = grown <= SMALL_BUFFER.max(buffer.capacity()) || is_free(grown);
    may_grow && buffer.try_reserve(octets).is_ok()
}

/// How many streams of HTTP/2 at once a connection may have: they take at most a 64th of the guest.
#[cfg(feature = "h2")]
pub(crate) fn streams() -> usize {
    const MOST: usize = crate::h2::STREAMS;
    const LEAST: usize = 8;
    match memory::stats().total {
        0 => MOST,
        total => usize::try_from(total / 64).unwrap_or(usize::MAX).div_euclid(STREAM).clamp(LEAST, MOST),
    }
}

/// How many connections at once the guest is large enough for.
pub(crate) fn connections() -> usize {
    match memory::stats().total {
        0 => usize::MAX,
        total => usize::try_from(total / PER_CONNECTION).unwrap_or(usize::MAX),
    }
}
