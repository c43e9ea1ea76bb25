//! Moments of this protocol family: lifetimes in seconds that may be infinite, delays by chance.

use fata_libos::time::{Duration, Instant};

/// A moment that does not come.
pub(super) const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// The end of a lifetime of so many seconds; all ones have none.
#[inline(never)]
pub(super) fn end(now: Instant, seconds: u32) -> Instant {
    if seconds == u32::MAX { NEVER } else { now + Duration::from_secs(u64::from(seconds)) }
}

/// A part of `most` by chance, in whole milliseconds.
pub(super) fn part(random: u32, most: Duration) -> Duration {
    Duration::from_millis(part_of(random, millis(most)))
}

/// Whole milliseconds, without the wide numbers of `Duration::as_millis`.
pub(super) const fn millis(time: Duration) -> u64 {
    time.as_secs() * 1000 + time.subsec_millis() as u64
}

/// A part of `most` milliseconds, which are less than 2^32.
pub(super) fn part_of(random: u32, most: u64) -> u64 {
    ((most.min(u64::from(u32::MAX)) + 1) * u64::from(random)) >> 32
}

/// A moment to wait for, if it comes.
pub(super) fn awaited(moment: Instant) -> Option<Instant> {
    (moment != NEVER).then_some(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_end_or_do_not() {
        let now = Instant::from_nanos(5);
        assert_eq!(end(now, 2), Instant::from_nanos(2_000_000_005));
        assert_eq!((awaited(end(now, u32::MAX)), awaited(end(now, 0))), (None, Some(now)));
    }

    #[test]
    fn parts_are_between_nothing_and_all() {
        let most = Duration::from_millis(100);
        assert_eq!((part(0, most), part(u32::MAX, most)), (Duration::ZERO, most));
        assert_eq!(part(1 << 31, most), Duration::from_millis(50));
        assert_eq!(part(u32::MAX, Duration::ZERO), Duration::ZERO);
    }
}
