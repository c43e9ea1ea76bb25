//! Whether there is memory for what a client asks.
//!
//! What grows with what clients send asks here first, and is refused with 503 while less than a sixteenth of the guest's
//! memory is free (three eighths for content that is kept whole, [`may_keep`]): from that come the small allocations that cannot fail, such as those of the refusal.

use alloc::vec::Vec;
use core::hint::black_box;
use fata_libos::memory;

/// The most that is kept free, octets.
const MAX_RESERVE: u64 = 8 << 20;
/// Content that is kept as long as requests are answered, octets.
const SMALL_CONTENT: usize = 4 << 10;
/// The most that is kept free when clients send content, octets.
const MOST_KEPT_FREE: u64 = 48 << 20;
/// One connection for so many octets of the guest.
const PER_CONNECTION: u64 = 12 << 10;

/// What the task of a connection takes at most before a request has come, and the tables that know of it, in one piece,
/// octets.
pub(crate) const CONNECTION: usize = 32 << 10;
/// What must be there in one piece for a handler to be called, octets: an answer of 40 kB that grows by doubling.
pub(crate) const HANDLER: usize = 128 << 10;

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

/// How many connections at once the guest is large enough for.
pub(crate) fn connections() -> usize {
    match memory::stats().total {
        0 => usize::MAX,
        total => usize::try_from(total / PER_CONNECTION).unwrap_or(usize::MAX),
    }
}
