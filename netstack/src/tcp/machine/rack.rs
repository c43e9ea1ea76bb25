//! RACK-TLP's state (RFC 8985): what was sent well before something that has arrived is lost.

use super::Seq;
use super::queue::Sent;
use fata_libos::time::{Duration, Instant};

/// Recoveries without a duplicate that a widened window lasts (RFC 8985, 6.2.4).
const PERSIST: u8 = 16;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rack {
    /// When what arrived last of all sent was sent, and where it ended.
    at: Instant,
    end: Seq,
    rtt: Duration,
    /// The highest number that has arrived.
    highest: Option<Seq>,
    reordered: bool,
    /// The window for what is out of order, in quarters of the least round trip.
    quarters: u8,
    persist: u8,
    /// The round in which the window was widened last ends here.
    round: Option<Seq>,
}

impl Rack {
    /// Notes what has arrived; true if it came later than what was sent after it. `rtt`: since it was last sent. `before`: the
    /// highest number before this acknowledgement, which may name the latest first.
    pub(super) fn arrived(&mut self, sent: &Sent, rtt: Duration, before: Option<Seq>) -> bool {
        if self.highest.is_none() || sent.at > self.at || (sent.at == self.at && sent.end.after(self.end)) {
            (self.at, self.end, self.rtt) = (sent.at, sent.end, rtt);
        }
        let late = sent.repeats == 0 && before.is_some_and(|highest| sent.end.before(highest));
        self.reordered |= late;
        self.highest = Some(self.highest.map_or(sent.end, |highest| highest.later(sent.end)));
        late
    }

    /// The highest number that has arrived.
    pub(super) fn highest(&self) -> Option<Seq> {
        self.highest
    }

    /// Notes that something was seen to have come late rather than never.
    pub(super) fn saw_reordering(&mut self) {
        self.reordered = true;
    }

    pub(super) fn has_seen_reordering(&self) -> bool {
        self.reordered
    }

    /// The peer got something twice: the window was too small (RFC 8985, 6.2.4).
    pub(super) fn duplicated(&mut self, una: Seq, next: Seq) {
        if self.round.is_none_or(|round| !una.before(round)) {
            self.round = Some(next);
            self.quarters = self.quarters.saturating_add(1).max(2);
            self.persist = PERSIST;
        }
    }

    /// A recovery has ended.
    pub(super) fn recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.quarters = 0;
        }
    }

    /// How much later than others something may come.
    pub(super) fn window(&self, least: Duration, smoothed: Duration, impatient: bool) -> Duration {
        if !self.reordered && impatient {
            return Duration::ZERO;
        }
        // Before the first sample the least round trip is the longest time there is.
        (least / 4).saturating_mul(u32::from(self.quarters.max(1))).min(smoothed)
    }

    /// When an entry is lost, if it was sent before what has arrived.
    pub(super) fn lost_at(&self, sent: &Sent, window: Duration) -> Option<Instant> {
        let later = self.at > sent.at || (self.at == sent.at && self.end.after(sent.end));
        (self.highest.is_some() && later).then(|| sent.at + self.rtt + window)
    }

    /// The round trip of what has arrived last.
    pub(super) fn rtt(&self) -> Duration {
        self.rtt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn sent(seq: u32, at: u64) -> Sent {
        Sent {
            seq: Seq(seq),
            end: Seq(seq + 1),
            at: Instant::default() + MS * at as u32,
            flags: 0,
            repeats: 0,
        }
    }

    #[test]
    fn what_was_sent_before_something_that_arrived_is_lost_after_the_window() {
        let mut rack = Rack::default();
        assert_eq!(rack.lost_at(&sent(1, 1), MS), None);
        rack.arrived(&sent(5, 5), 10 * MS, None);
        assert_eq!(rack.lost_at(&sent(1, 1), MS), Some(Instant::default() + 12 * MS));
        assert_eq!(rack.lost_at(&sent(4, 5), MS), Some(Instant::default() + 16 * MS), "the same burst");
        assert_eq!(rack.lost_at(&sent(6, 5), MS), None);
        assert_eq!(rack.lost_at(&sent(9, 6), MS), None);
    }

    #[test]
    fn the_window_widens_with_duplicates_and_is_none_without_reordering() {
        let mut rack = Rack::default();
        assert_eq!(rack.window(8 * MS, 20 * MS, true), Duration::ZERO);
        assert_eq!(rack.window(8 * MS, 20 * MS, false), 2 * MS);
        // Of one acknowledgement, the latest first.
        let before = rack.highest();
        assert!(!rack.arrived(&sent(5, 5), MS, before) && !rack.arrived(&sent(2, 2), MS, before));
        assert!(!rack.has_seen_reordering());
        assert!(rack.arrived(&sent(3, 3), MS, rack.highest()));
        assert!(rack.has_seen_reordering());
        assert_eq!(rack.window(8 * MS, 20 * MS, true), 2 * MS);
        for n in 0..3 {
            rack.duplicated(Seq(10 * n), Seq(10 * n + 10));
            rack.duplicated(Seq(10 * n + 1), Seq(10 * n + 11));
        }
        assert_eq!(rack.window(8 * MS, 20 * MS, true), 8 * MS);
        assert_eq!(rack.window(8 * MS, 5 * MS, true), 5 * MS);
        // Without a sample yet, however many duplicates a peer tells of.
        for n in 3..300 {
            rack.duplicated(Seq(10 * n), Seq(10 * n + 10));
        }
        assert_eq!(rack.window(Duration::MAX, 5 * MS, true), 5 * MS);
        for _ in 0..PERSIST {
            rack.recovered();
        }
        assert_eq!(rack.window(8 * MS, 20 * MS, true), 2 * MS);
    }
}
