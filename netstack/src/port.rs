//! Ports that nobody asked for by number.

use fata_libos::entropy;

/// The first of the ports that sockets of ours get (RFC 6335, 6); the last is 65535.
pub(crate) const FIRST_EPHEMERAL: u16 = 49_152;

/// A port that `is_free`, chosen so that nobody can guess it (RFC 6056, 3.3.1).
pub(crate) fn ephemeral(is_free: impl Fn(u16) -> bool) -> Option<u16> {
    let count = u16::MAX - FIRST_EPHEMERAL;
    let start = entropy::u32() as u16 % (count + 1);
    (0..=count).map(|n| FIRST_EPHEMERAL + (start + n) % (count + 1)).find(|port| is_free(*port))
}
