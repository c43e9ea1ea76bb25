//! The congestion window: slow start, CUBIC, and what a recovery lets out (RFC 5681, 6928, 9438, 6937).

use super::Seq;
use super::cubic::Cubic;
use super::hystart::{CSS_DIVISOR, HyStart};
use fata_libos::time::{Duration, Instant};

/// Why the window is being brought down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something was lost.
    Fast,
    /// The retransmission timer fired.
    Timeout,
    /// The peer saw a mark of congestion (RFC 3168).
    Marked,
}

/// A reaction to congestion, from when it was seen until all that was sent by then is acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    pub(super) kind: Kind,
    pub(super) end: Seq,
    /// Octets on the way at the beginning, and since then delivered and sent (RFC 6937, 3).
    flight: u32,
    delivered: u32,
    out: u32,
}

/// What a reaction changed, for where it turns out to have been wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undo {
    window: u32,
    threshold: u32,
    cubic: Cubic,
    /// The clock of timestamps when something was first sent again.
    pub(super) stamp: Option<u32>,
    /// The first number that was not acknowledged when it began.
    pub(super) from: Seq,
    /// Segments sent again, less those of which the peer says that it got them twice.
    pub(super) repeats: u32,
}

/// See the module. Windows are in octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Congestion {
    window: u32,
    threshold: u32,
    cubic: Cubic,
    hystart: HyStart,
    /// No search for the end of slow start after the first.
    searching: bool,
    pub(super) recovery: Option<Recovery>,
    pub(super) undo: Option<Undo>,
}

/// The first window (RFC 6928).
pub(super) fn initial(mss: u32) -> u32 {
    (10 * mss).min((2 * mss).max(14_600))
}

impl Congestion {
    pub(super) fn new(mss: u32) -> Self {
        Self {
            window: initial(mss),
            threshold: u32::MAX,
            cubic: Cubic::default(),
            hystart: HyStart::default(),
            searching: true,
            recovery: None,
            undo: None,
        }
    }

    pub(super) fn window(&self) -> u32 {
        self.window
    }

    pub(super) fn threshold(&self) -> u32 {
        self.threshold
    }

    pub(super) fn is_slow_start(&self) -> bool {
        self.window < self.threshold
    }

    /// Segments have another size from now on; the window stays the same number of octets.
    pub(super) fn resize(&mut self, mss: u32) {
        self.window = self.window.max(2 * mss);
    }

    /// A handshake that had to be repeated begins with one segment (RFC 5681, 3.1).
    pub(super) fn handshake_repeated(&mut self, mss: u32) {
        self.window = mss;
    }

    /// Octets were acknowledged that were sent when the window was full.
    pub(super) fn grow(&mut self, now: Instant, acked: u32, mss: u32, smoothed: Duration) {
        if self.is_slow_start() {
            let more = if self.hystart.is_careful() { acked / CSS_DIVISOR } else { acked };
            self.window = self.window.saturating_add(more).min(self.threshold.max(self.window));
            return;
        }
        let size = f64::from(mss);
        let window = self.cubic.grow(now, smoothed, f64::from(self.window) / size, f64::from(acked) / size);
        self.window = (window * size).min(f64::from(1 << 30)) as u32;
    }

    /// After a timeout that was none of F-RTO's: what was tried has room, and one segment more (RFC 5682, 2.1, step 3a).
    pub(super) fn narrow(&mut self, octets: u32) {
        self.window = octets;
    }

    /// The application did not fill the window.
    pub(super) fn pause(&mut self, now: Instant) {
        self.cubic.pause(now);
    }

    /// Looks whether round trips got longer: ends the first slow start then.
    pub(super) fn search(&mut self, una: Seq, next: Seq, rtt: Option<Duration>) {
        if self.searching && self.is_slow_start() && self.hystart.acknowledged(una, next, rtt) {
            (self.threshold, self.searching) = (self.window, false);
        }
    }

    /// Sent nothing for a while: what was learnt is old (RFC 5681, 4.1; RFC 2861 halves it with each timeout).
    pub(super) fn idle(&mut self, timeouts: u32, mss: u32) {
        let restart = initial(mss).min(self.window);
        self.threshold = self.threshold.max(self.window / 4 * 3);
        self.window = (self.window >> timeouts.min(31)).max(restart);
    }

    /// Brings the window down; what is sent meanwhile follows [`recover`](Self::recover).
    pub(super) fn react(&mut self, kind: Kind, (from, end): (Seq, Seq), flight: u32, mss: u32) {
        let before = Undo {
            window: self.window.max(self.recovery.map_or(0, |_| self.threshold)),
            threshold: self.threshold,
            cubic: self.cubic,
            stamp: None,
            from,
            repeats: 0,
        };
        let again = self.recovery.is_some_and(|r| r.kind == Kind::Timeout) && kind == Kind::Timeout;
        if !again {
            let basis = f64::from(self.window.max(if self.recovery.is_some() { self.threshold } else { 0 }));
            let reduced = self.cubic.reduce(basis / f64::from(mss)) * f64::from(mss);
            if self.recovery.is_none() || kind == Kind::Timeout {
                self.threshold = (reduced as u32).max(2 * mss);
            }
            self.undo = self.undo.or(Some(before));
        }
        self.searching = false;
        self.recovery = Some(Recovery { kind, end, flight: flight.max(mss), delivered: 0, out: 0 });
        if kind == Kind::Timeout {
            self.window = mss;
        }
    }

    /// An acknowledgement during a recovery that is not a timeout's (RFC 6937 with the changes of its successor): the window
    /// is what is on the way and what may be added. `progress`: more was acknowledged and nothing more was lost.
    pub(super) fn recover(&mut self, delivered: u32, on_the_way: u32, progress: bool, mss: u32) {
        let threshold = self.threshold;
        let Some(recovery) = &mut self.recovery else { return };
        if delivered == 0 {
            return;
        }
        recovery.delivered = recovery.delivered.saturating_add(delivered);
        let mut more = if on_the_way > threshold {
            let share = u64::from(recovery.delivered) * u64::from(threshold);
            (share.div_ceil(u64::from(recovery.flight)) as u32).saturating_sub(recovery.out)
        } else {
            let conserve = recovery.delivered.saturating_sub(recovery.out).max(delivered);
            (conserve + if progress { mss } else { 0 }).min(threshold - on_the_way)
        };
        if recovery.out == 0 {
            // The first segment goes out again at once.
            more = more.max(mss);
        }
        self.window = on_the_way + more;
    }

    /// Octets were sent.
    pub(super) fn sent(&mut self, octets: u32) {
        if let Some(recovery) = &mut self.recovery {
            recovery.out = recovery.out.saturating_add(octets);
        }
    }

    /// All that was sent when the recovery began is acknowledged.
    pub(super) fn recovered(&mut self) {
        if let Some(recovery) = self.recovery.take()
            && recovery.kind != Kind::Timeout
        {
            self.window = self.threshold;
        }
        self.undo = None;
    }

    /// The reaction was wrong: nothing was lost.
    pub(super) fn take_back(&mut self) {
        if let Some(undo) = self.undo.take() {
            self.window = self.window.max(undo.window);
            self.threshold = self.threshold.max(undo.threshold);
            self.cubic = undo.cubic;
        }
        self.recovery = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    #[test]
    fn slow_start_doubles_and_a_loss_leaves_seven_tenths() {
        let mut congestion = Congestion::new(MSS);
        assert_eq!(congestion.window(), 10_000);
        congestion.grow(Instant::default(), 10_000, MSS, Duration::from_millis(10));
        assert_eq!(congestion.window(), 20_000);
        congestion.react(Kind::Fast, (Seq(0), Seq(20_000)), 20_000, MSS);
        assert_eq!(congestion.threshold(), 14_000);
        // Twenty segments on the way, one lost, the others acknowledged one by one: fourteen go out in their place.
        let mut out = 0;
        let mut flight = 19_000;
        for _ in 0..19 {
            flight -= MSS;
            congestion.recover(MSS, flight, false, MSS);
            while flight + MSS <= congestion.window() {
                congestion.sent(MSS);
                (flight, out) = (flight + MSS, out + 1);
            }
        }
        assert!((13..=15).contains(&out), "{out}");
        congestion.recovered();
        assert_eq!(congestion.window(), 14_000);
    }

    #[test]
    fn a_reaction_can_be_taken_back() {
        let mut congestion = Congestion::new(MSS);
        congestion.react(Kind::Timeout, (Seq(0), Seq(0)), 10_000, MSS);
        assert_eq!(congestion.window(), MSS);
        congestion.react(Kind::Timeout, (Seq(0), Seq(0)), 10_000, MSS);
        assert_eq!(congestion.threshold(), 7000, "once only");
        congestion.take_back();
        assert_eq!((congestion.window(), congestion.threshold()), (10_000, u32::MAX));
    }

    #[test]
    fn a_pause_brings_the_window_down_to_the_first() {
        let mut congestion = Congestion::new(MSS);
        for _ in 0..3 {
            congestion.grow(Instant::default(), congestion.window(), MSS, Duration::from_millis(10));
        }
        congestion.idle(1, MSS);
        assert_eq!(congestion.window(), 40_000);
        congestion.idle(9, MSS);
        assert_eq!(congestion.window(), 10_000);
    }
}
