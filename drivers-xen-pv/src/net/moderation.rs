//! How soon to be woken for a frame: at once when they come seldom, for several together when they come faster than waking
//! up is worth.
//!
//! A wake-up costs a guest a pass through the hypervisor's scheduler, often more than the frame itself. When frames follow
//! each other closely, the queue asks for a notification only with the [`BATCH`]th, and for a timer that bounds the wait by
//! the usual time of a few. What is close is measured in hypercalls: on a machine where those are cheap, waits are short.
//! Where waiting turns out to bring no more than a frame or two (one client that asks, waits for the answer and asks again),
//! it is left alone for longer and longer: such a client would only be slowed down.

use fata_libos::time::{Duration, Instant};

/// Frames waited for.
pub(super) const BATCH: u32 = 12;
/// Frames whose usual time a wait lasts at most.
const SPAN: u64 = 6;
/// Frames further apart than so many hypercalls take are not worth a wait.
const CLOSE: u64 = 80;
/// The longest wait, in the time of hypercalls.
const LONGEST: u64 = 400;
/// Frames that a wait has to bring to have been worth it.
const WORTH: u64 = 3;
/// Wake-ups without a wait after one that was not worth it; twice as many each time, up to the second.
const REST: (u32, u32) = (64, 4096);

/// When to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// With the next frame.
    Next,
    /// With the [`BATCH`]th frame, or at this moment.
    Several(Instant),
}

#[derive(Debug)]
pub(super) struct Moderation {
    /// Nanoseconds that a hypercall takes here.
    unit: u64,
    /// The last wake-up that brought frames, and the frames received until then.
    last: Instant,
    frames: u64,
    /// The usual time from one frame to the next, nanoseconds.
    gap: u64,
    /// Under way until.
    until: Option<Instant>,
    /// Wake-ups to come without a wait, and how many after the next that is not worth it.
    rest: u32,
    next_rest: u32,
}

impl Moderation {
    pub(super) fn new(hypercall: Duration) -> Self {
        let unit = u64::try_from(hypercall.as_nanos()).unwrap_or(u64::MAX).min(100_000);
        let last = Instant::from_nanos(0);
        Self { unit, last, frames: 0, gap: CLOSE * unit, until: None, rest: 0, next_rest: REST.0 }
    }

    /// There is nothing to receive at `now`, after `frames` frames in all.
    pub(super) fn plan(&mut self, now: Instant, frames: u64) -> Plan {
        let new = frames - self.frames;
        if new > 0 {
            self.woken(now, new);
            self.frames = frames;
        } else if let Some(until) = self.until {
            // Asked in between, about something else.
            if now < until {
                return Plan::Several(until);
            }
            self.until = None;
            self.relax();
        }
        if self.rest > 0 || self.gap >= CLOSE * self.unit {
            return Plan::Next;
        }
        let until = now + Duration::from_nanos((SPAN * self.gap).min(LONGEST * self.unit));
        self.until = Some(until);
        Plan::Several(until)
    }

    fn woken(&mut self, now: Instant, new: u64) {
        let gap = u64::try_from(now.duration_since(self.last).as_nanos()).unwrap_or(u64::MAX) / new;
        self.last = now;
        // An eighth of each new gap; a long pause counts as just not close.
        self.gap = (self.gap * 7 + gap.min(8 * CLOSE * self.unit)) / 8;
        self.rest = self.rest.saturating_sub(1);
        if self.until.take().is_some() {
            if new < WORTH {
                self.relax();
            } else {
                self.next_rest = REST.0;
            }
        }
    }

    fn relax(&mut self) {
        self.rest = self.next_rest;
        self.next_rest = (self.next_rest * 2).min(REST.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1000)
    }

    /// Wake-ups with `frames` frames each, `gap` microseconds apart; how many plans of the last hundred were to wait.
    fn waits(frames: u64, gap: u64) -> usize {
        let mut moderation = Moderation::new(Duration::from_micros(5));
        let plans = (1..=1000).map(|n| moderation.plan(at(n * gap), n * frames));
        plans.skip(900).filter(|plan| *plan != Plan::Next).count()
    }

    #[test]
    fn seldom_frames_are_heard_at_once() {
        assert_eq!(waits(1, 1000), 0);
        assert_eq!(waits(2, 2000), 0);
    }

    #[test]
    fn a_stream_is_gathered() {
        assert_eq!(waits(4, 100), 100);
        assert_eq!(waits(4, 1200), 100, "as slow as the waits themselves make it");
    }

    #[test]
    fn one_that_asks_and_waits_is_hardly_slowed_down() {
        assert!(waits(1, 100) <= 1);
    }

    #[test]
    fn where_hypercalls_cost_nothing_nothing_waits() {
        let mut moderation = Moderation::new(Duration::ZERO);
        assert!((1..1000).all(|n| moderation.plan(at(n * 10), n * 4) == Plan::Next));
    }

    #[test]
    fn a_wait_is_bounded_and_not_prolonged_by_questions_in_between() {
        let mut moderation = Moderation::new(Duration::from_micros(5));
        for n in 1..100 {
            moderation.plan(at(n * 100), n * 4);
        }
        let Plan::Several(until) = moderation.plan(at(10_000), 400) else { panic!("no wait") };
        assert!(until <= at(10_000 + 5 * LONGEST));
        assert_eq!(moderation.plan(at(10_050), 400), Plan::Several(until));
        assert_eq!(moderation.plan(until, 400), Plan::Next, "nothing came");
    }
}
