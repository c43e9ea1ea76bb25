//! The round-trip time and the retransmission timeout (RFC 6298), and the least time seen of late.

use fata_libos::time::{Duration, Instant};

/// Before the first sample (RFC 6298, 2.1).
const INITIAL: Duration = Duration::from_secs(1);
/// RFC 6298, 2.5.
const MOST: Duration = Duration::from_secs(60);
/// What the timeout is later than the smoothed time at least: G of RFC 6298, 2.3. The grain of clocks here is a millisecond, and that
/// is what a peer may hold back an acknowledgement for: on a steady path, however long, the variation says nothing of it, and a
/// floor of the whole timeout would leave a few milliseconds of jitter no room. RFC 6298 (2.4) asks for a second in all, for the
/// clocks of its day; this is what others have long used, and RFC 8961 lets it be where measurements carry it.
const GRAIN: Duration = Duration::from_millis(200);
/// How long the least time counts, before one of later samples does.
const WINDOW: Duration = Duration::from_secs(300);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rtt {
    /// Nanoseconds; 0 before the first sample.
    smoothed: u64,
    variation: u64,
    /// The timeout without backing off.
    base: Duration,
    backoff: u8,
    least: Duration,
    least_at: Instant,
}

impl Default for Rtt {
    fn default() -> Self {
        Self {
            smoothed: 0,
            variation: 0,
            base: INITIAL,
            backoff: 0,
            least: Duration::MAX,
            least_at: Instant::default(),
        }
    }
}

impl Rtt {
    /// Takes a sample, and ends the backing off.
    pub(super) fn sample(&mut self, now: Instant, rtt: Duration) {
        let rtt = rtt.max(Duration::from_micros(1));
        if rtt <= self.least || now.duration_since(self.least_at) > WINDOW {
            (self.least, self.least_at) = (rtt, now);
        }
        self.backoff = 0;
        // The arithmetic of whole nanoseconds costs a fraction of what that of `Duration` does.
        let rtt = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX / 16).min(u64::MAX / 16);
        if self.smoothed == 0 {
            (self.smoothed, self.variation) = (rtt, rtt / 2);
        } else {
            self.variation = (self.variation * 3 + self.smoothed.abs_diff(rtt)) / 4;
            self.smoothed = (self.smoothed * 7 + rtt) / 8;
        }
        let timeout = self.smoothed.saturating_add((self.variation * 4).max(GRAIN.as_nanos() as u64));
        self.base = Duration::from_nanos(timeout).min(MOST);
    }

    pub(super) fn smoothed(&self) -> Option<Duration> {
        (self.smoothed > 0).then(|| Duration::from_nanos(self.smoothed))
    }

    /// The least of the last minutes; the longest there is before the first sample.
    pub(super) fn least(&self) -> Duration {
        self.least
    }

    /// The timeout without backing off.
    pub(super) fn base(&self) -> Duration {
        self.base
    }

    /// The timeout now.
    pub(super) fn timeout(&self) -> Duration {
        match self.backoff {
            0 => self.base,
            times => (self.base * (1 << times.min(16))).min(MOST),
        }
    }

    /// Doubles the timeout.
    pub(super) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    pub(super) fn end_backing_off(&mut self) {
        self.backoff = 0;
    }

    /// Of a handshake that had to be repeated: nothing was measured, and until something is, the timeout is three times the
    /// usual (RFC 6298, 5.7).
    pub(super) fn handshake_repeated(&mut self) {
        if self.smoothed == 0 {
            self.base = INITIAL * 3;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn as_the_rfc_has_it() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.timeout(), INITIAL);
        rtt.back_off();
        rtt.back_off();
        assert_eq!(rtt.timeout(), 4 * INITIAL);
        let now = Instant::default();
        rtt.sample(now, 400 * MS);
        assert_eq!((rtt.timeout(), rtt.least()), (1200 * MS, 400 * MS));
        rtt.sample(now, 800 * MS);
        // SRTT 450, RTTVAR (3 * 200 + 400) / 4 = 250.
        assert_eq!(rtt.timeout(), 1450 * MS);
        for _ in 0..9 {
            rtt.back_off();
        }
        assert_eq!(rtt.timeout(), MOST);
        for _ in 0..100 {
            rtt.sample(now, MS);
        }
        // A few nanoseconds above a millisecond are left of the first samples.
        assert_eq!((rtt.timeout().as_millis(), rtt.least()), (201, MS));
    }

    #[test]
    fn a_steady_path_has_room_for_what_comes_late() {
        let mut rtt = Rtt::default();
        for _ in 0..200 {
            rtt.sample(Instant::default(), 300 * MS);
        }
        assert_eq!(rtt.timeout(), 500 * MS);
    }

    #[test]
    fn the_least_time_is_forgotten() {
        let mut rtt = Rtt::default();
        rtt.sample(Instant::default(), MS);
        rtt.sample(Instant::default() + WINDOW, 5 * MS);
        assert_eq!(rtt.least(), MS);
        rtt.sample(Instant::default() + WINDOW + MS, 5 * MS);
        assert_eq!(rtt.least(), 5 * MS);
    }
}
