//! When the next block may be sent.

use fata::time::{Duration, Instant};

/// Sending that is late is made good for at most so long: a sender that was held up does not then flood the line.
const MOST_LATE: Duration = Duration::from_millis(100);
/// Waits are no shorter: what falls due within is sent together, as iperf3 does (its pacing timer).
pub const GRAIN: Duration = Duration::from_millis(1);

/// Spreads blocks over time. Without a rate nothing waits.
#[derive(Debug)]
pub struct Pace {
    nanos_per_octet: f64,
    due: Instant,
}

impl Pace {
    /// So many bits a second from `now` on; 0: no limit.
    pub fn new(bits_per_second: u64, now: Instant) -> Self {
        let nanos_per_octet = if bits_per_second == 0 { 0.0 } else { 8e9 / bits_per_second as f64 };
        Self { nanos_per_octet, due: now }
    }

    /// Whether there is a limit.
    pub fn is_limited(&self) -> bool {
        self.nanos_per_octet > 0.0
    }

    /// When the next block may be sent, if not at once.
    pub fn wait(&self, now: Instant) -> Option<Instant> {
        (self.due > now).then(|| self.due.max(now + GRAIN))
    }

    /// Counts octets that were sent.
    pub fn sent(&mut self, octets: usize, now: Instant) {
        if !self.is_limited() {
            return;
        }
        let late = now.duration_since(self.due).saturating_sub(MOST_LATE);
        self.due = self.due + late + Duration::from_nanos((octets as f64 * self.nanos_per_octet) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn blocks_keep_the_rate() {
        let at = |ms| Instant::from_nanos(ms * MS);
        let mut pace = Pace::new(8_000_000, at(0));
        // A thousand octets a millisecond.
        assert_eq!(pace.wait(at(0)), None);
        pace.sent(10_000, at(0));
        assert_eq!(pace.wait(at(1)), Some(at(10)));
        assert_eq!(pace.wait(at(10)), None);
        // A little late is made good for, long late is not.
        pace.sent(10_000, at(50));
        assert_eq!(pace.wait(at(50)), None);
        pace.sent(10_000, at(1000));
        pace.sent(10_000 * 9, at(1000));
        assert_eq!(pace.wait(at(1000)), None);
        pace.sent(10_000, at(1000));
        assert_eq!(pace.wait(at(1000)), Some(at(1010)));
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut pace = Pace::new(0, Instant::from_nanos(0));
        pace.sent(1 << 30, Instant::from_nanos(0));
        assert_eq!(pace.wait(Instant::from_nanos(0)), None);
    }
}
