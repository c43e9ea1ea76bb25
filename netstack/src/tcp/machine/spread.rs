//! How the acknowledgements of a long burst are spread in time.
//!
//! A peer without a pace of its own sends at once what is acknowledged at once, in slow start twice that. Over a long way a
//! whole window comes so within a millisecond: netback's queue of 512 KiB overflows before its thread ran once, however
//! empty the guest's ring is. Slow receivers do not see that: their slowness spreads their acknowledgements. So the first of
//! a burst is acknowledged at once, and the rest over a part of the round trip; at that pace it comes the next time. Data that
//! comes evenly never waits.

use fata_libos::time::{Duration, Instant};

/// On shorter ways windows are small, and what comes at once fits the queues before it.
pub(super) const LONG_WAY: Duration = Duration::from_millis(5);
/// What is acknowledged at once, octets.
const BURST: u32 = 64 << 10;
/// The part of the round trip in which all is acknowledged that may come in one, and its longest. A sender that takes a train of
/// acknowledgements as long as half of the round trip for a full path (HyStart) is not to see one.
const PART: u32 = 3;
const LONGEST: Duration = Duration::from_millis(50);
/// What is acknowledged together later, octets, and the least time until then.
const STEP: u32 = 32 << 10;
const GRAIN: Duration = Duration::from_millis(1);

/// What is to be acknowledged of what has come in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Nothing, or it waits for company.
    Nothing,
    /// What the pace allows.
    Due,
    /// The rest of a burst, in its time.
    Later,
}

/// The pace of acknowledgements: until when it is used up, microseconds, as far as 32 bits tell.
#[derive(Debug, Default)]
pub(super) struct Spread(u32);

/// How fast acknowledgements go: `flight` octets in `time` microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    flight: u64,
    time: u64,
}

impl Pace {
    /// Where `flight` octets may come in a round trip; `None` where nothing has to wait.
    pub(super) fn new(flight: u32, round_trip: Duration) -> Option<Self> {
        let time = (round_trip / PART).min(LONGEST).as_micros() as u64;
        (round_trip >= LONG_WAY && flight > BURST).then_some(Self { flight: u64::from(flight), time })
    }

    fn takes(self, octets: u32) -> u64 {
        self.time * u64::from(octets) / self.flight
    }

    /// When more is to be acknowledged, of which `rest` octets wait.
    pub(super) fn next(self, now: Instant, rest: u32) -> Instant {
        now + Duration::from_micros(self.takes(STEP.min(rest))).max(GRAIN)
    }
}

impl Spread {
    /// Octets that may be acknowledged now.
    pub(super) fn allowance(&self, now: Instant, pace: Pace) -> u32 {
        u32::try_from(self.saved(now, pace) * pace.flight / pace.time).unwrap_or(u32::MAX)
    }

    /// Notes that so many were.
    pub(super) fn spend(&mut self, now: Instant, octets: u32, pace: Pace) {
        self.0 = (now.as_nanos() / 1000 - self.saved(now, pace) + pace.takes(octets)) as u32;
    }

    /// Microseconds that were not used.
    fn saved(&self, now: Instant, pace: Pace) -> u64 {
        // Negative where the pace is used up until later. A number that is out of all proportion is one of long ago.
        let passed = i64::from(((now.as_nanos() / 1000) as u32).wrapping_sub(self.0) as i32);
        let most = pace.takes(BURST).max(GRAIN.as_micros() as u64);
        if passed < -2 * LONGEST.as_micros() as i64 { most } else { (passed.max(0) as u64).min(most) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(60);
    const FLIGHT: u32 = 1 << 20;

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(1_000_000_000 + micros * 1000)
    }

    fn pace(flight: u32) -> Pace {
        Pace::new(flight, ROUND_TRIP).unwrap()
    }

    /// Acknowledges a burst that came at once: the largest step, and how long it took.
    fn burst(waiting: u32, pace: Pace) -> (u32, Duration) {
        let mut spread = Spread::default();
        let (mut now, mut waiting, mut most) = (at(0), waiting, 0);
        loop {
            let allowed = waiting.min(spread.allowance(now, pace));
            spread.spend(now, allowed, pace);
            waiting -= allowed;
            most = most.max(allowed);
            if waiting == 0 {
                return (most, now.duration_since(at(0)));
            }
            let next = pace.next(now, waiting);
            assert!(allowed > 0 && next >= now + GRAIN, "{allowed} at {now:?}");
            now = next;
        }
    }

    #[test]
    fn a_burst_is_acknowledged_in_a_part_of_the_round_trip() {
        let (most, took) = burst(FLIGHT, pace(FLIGHT));
        assert!(most <= BURST, "{most}");
        assert!(took > ROUND_TRIP / 4 && took < ROUND_TRIP / 2, "{took:?}");
    }

    #[test]
    fn the_longest_way_and_the_largest_flight_wait_less_than_a_peers_timeout() {
        let pace = Pace::new(u32::MAX, Duration::from_secs(9)).unwrap();
        assert!(burst(u32::MAX, pace).1 <= 2 * LONGEST);
    }

    #[test]
    fn what_comes_evenly_never_waits() {
        let mut spread = Spread::default();
        for n in 0..1000 {
            assert!(spread.allowance(at(n * 1000), pace(FLIGHT)) >= FLIGHT / 60, "{n}");
            spread.spend(at(n * 1000), FLIGHT / 60, pace(FLIGHT));
        }
    }

    #[test]
    fn short_ways_and_small_flights_have_no_pace() {
        let short = LONG_WAY - Duration::from_micros(1);
        for (flight, round_trip) in [(FLIGHT, short), (BURST, ROUND_TRIP), (0, ROUND_TRIP)] {
            assert!(Pace::new(flight, round_trip).is_none(), "{flight}");
        }
    }

    #[test]
    fn a_pause_saves_no_more_than_a_burst() {
        for pause in [1_000_000, 1 << 31, (1 << 32) - 1_000_000, (1 << 32) + 1_000_000] {
            let mut spread = Spread::default();
            spread.spend(at(0), FLIGHT / 10, pace(FLIGHT));
            let allowed = spread.allowance(at(pause), pace(FLIGHT));
            assert!((BURST * 9 / 10..=BURST).contains(&allowed), "{allowed} after {pause} us");
        }
    }
}
