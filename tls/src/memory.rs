//! Whether there is memory for what a peer asks.
//!
//! What rustls and the ciphers allocate cannot fail, so that room for it is asked for before they are shown a record: a
//! handshake, which anybody can begin, leaves a sixteenth of the guest's memory free; a connection that is open may take of that
//! too, and leaves a quarter of it.

use crate::session::Phase;
use fata_libos::memory;

/// The most that is kept free, octets.
const MAX_RESERVE: u64 = 8 << 20;
/// What a connection takes when it begins, octets: the state of rustls and of ours.
pub(crate) const BEGINNING: usize = 16 << 10;
/// What rustls takes at most to answer a message of a handshake beside copies of it, octets: keys, and a chain of certificates.
pub(crate) const ANSWER: usize = 32 << 10;

/// Whether there is so much beside what is kept free.
pub(crate) fn is_free(phase: Phase, octets: usize) -> bool {
    let stats = memory::stats();
    let reserve = (stats.total / 16).min(MAX_RESERVE);
    let kept = match phase {
        Phase::Handshake => reserve,
        Phase::Open => reserve / 4,
    };
    // A platform that does not tell has enough.
    stats.total == 0 || stats.free >= kept + octets as u64
}
