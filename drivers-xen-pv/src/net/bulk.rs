//! How many long frames to be woken for together.
//!
//! Data in bulk comes in frames of many slots. Told of each, a guest that is faster than its peer sleeps between them, and each costs the back
//! end a notification, which is what bounds the rate where it shares a processor with the sender. So several are waited for. A sender whose window
//! is hardly larger than what is waited for would stop meanwhile: whether data comes more slowly than it did with fewer, is looked at after each
//! attempt with one more, and after one that did not pay the next comes later.

use fata_libos::time::Duration;

/// Frames that take so many slots each are long: with this on an average few short ones are among them.
const LONG: u64 = 12;
/// Long frames waited for at most: with what the stack acknowledges together they fit the queue of Linux's back end, 512 KiB.
const MOST: u32 = 4;
/// The longest wait, in the time of hypercalls, and however long these take.
const LONGEST: u64 = 900;
const LONGEST_EVER: u64 = 6_000_000;
/// Frames that were waited for may take so many times what they usually take.
const PATIENCE: u64 = 2;
/// Batches after which one more frame is tried: at first, and at most after attempts that did not pay.
const REST: (u32, u32) = (8, 512);
/// Batches that tell whether an attempt pays.
const TRIAL: u32 = 16;

/// What came since it was last decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) slots: u64,
    /// Frames of which the end came.
    pub(super) frames: u64,
    pub(super) took: Duration,
    /// Whether it was all that was waited for.
    pub(super) is_full: bool,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) slots: u32,
    pub(super) time: Duration,
}

#[derive(Debug)]
pub(super) struct Bulk {
    /// The longest wait, nanoseconds.
    longest: u64,
    /// Frames in a batch.
    size: u32,
    /// Slots of a frame.
    slots: u64,
    /// The usual time from one slot to the next, nanoseconds; 0 at first.
    gap: u64,
    /// That with one frame fewer, while it is seen whether one more pays.
    fewer: Option<u64>,
    /// Batches of this size.
    batches: u32,
    rest: u32,
}

impl Bulk {
    /// Where a hypercall takes so many nanoseconds.
    pub(super) fn new(hypercall: u64) -> Self {
        let longest = (LONGEST * hypercall).min(LONGEST_EVER);
        Self { longest, size: 1, slots: LONG, gap: 0, fewer: None, batches: 0, rest: REST.0 }
    }

    /// Whether frames are long; `None` where the end of none came.
    pub(super) fn is_bulk(batch: Batch) -> Option<bool> {
        (batch.frames > 0).then_some(batch.slots >= LONG * batch.frames)
    }

    /// After a batch of long frames: what to wait for, where that is more than the next.
    pub(super) fn after(&mut self, batch: Batch) -> Option<Wait> {
        self.slots = batch.slots.checked_div(batch.frames).unwrap_or(self.slots);
        let took = u64::try_from(batch.took.as_nanos()).unwrap_or(u64::MAX);
        let gap = (took / batch.slots.max(1)).max(1);
        // A pause, which is the sender's own business, counts as twice as much as usual.
        self.gap = if self.gap == 0 { gap } else { (self.gap * 7 + gap.min(2 * self.gap)) / 8 };
        self.batches += 1;
        match self.fewer {
            _ if !batch.is_full => self.go_back(self.size / 2),
            Some(fewer) if self.batches >= TRIAL && self.gap > fewer + fewer / 16 => {
                self.go_back(self.size - 1);
            }
            Some(_) if self.batches >= TRIAL => {
                (self.fewer, self.batches, self.rest) = (None, 0, (self.rest / 2).max(REST.0));
            }
            None if self.batches >= self.rest && self.size < self.fitting().min(MOST) => {
                (self.fewer, self.batches, self.size) = (Some(self.gap), 0, self.size + 1);
            }
            _ => {}
        }
        let frames = self.size.min(self.fitting());
        let slots = u64::from(frames) * self.slots;
        let time = Duration::from_nanos(PATIENCE * slots * self.gap);
        (frames > 1).then_some(Wait { slots: slots as u32, time })
    }

    /// Fewer frames for a while.
    fn go_back(&mut self, size: u32) {
        (self.size, self.fewer, self.batches) = (size.max(1), None, 0);
        self.rest = (self.rest * 2).min(REST.1);
    }

    /// How many frames come in the longest wait.
    fn fitting(&self) -> u32 {
        let one = PATIENCE * self.slots.max(1) * self.gap.max(1);
        u32::try_from(self.longest / one).unwrap_or(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::super::moderation::{Moderation, Plan};
    use super::*;
    use fata_libos::time::Instant;

    const SLOTS: u64 = 17;
    const HYPERCALL: Duration = Duration::from_micros(5);

    /// A sender, and a guest that is told of its frames.
    #[derive(Clone, Copy)]
    struct Line {
        /// Frames on their way at most, before the guest has taken the first of them.
        window: usize,
        /// What each takes to be sent, microseconds, what the guest takes for it, and the way of its answer.
        sending: u64,
        taking: u64,
        way: u64,
        hypercall: Duration,
    }

    impl Line {
        /// Frames in two seconds, and the guest's wake-ups.
        fn run(self) -> (usize, usize) {
            let mut moderation = Moderation::new(self.hypercall);
            // When each has arrived, and was taken.
            let (mut arrived, mut taken): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
            let (mut now, mut wakes) = (0, 0);
            while now < 2_000_000 {
                while arrived.len() < taken.len() + self.window {
                    let n = arrived.len();
                    let may = n.checked_sub(self.window).map_or(0, |before| taken[before] + self.way);
                    arrived.push(may.max(arrived.last().copied().unwrap_or(0)) + self.sending);
                }
                let done = taken.len() as u64;
                let plan = moderation.plan(Instant::from_nanos(now * 1000), SLOTS * done, done);
                let (count, until) = match plan {
                    Plan::Next => (1, u64::MAX),
                    Plan::Several { count, until } => (u64::from(count), until.as_nanos().div_ceil(1000)),
                };
                let wanted = count.div_ceil(SLOTS) as usize;
                let filled = arrived.get(taken.len() + wanted - 1).copied().unwrap_or(u64::MAX);
                assert!(filled.min(until) < u64::MAX, "it would sleep for ever");
                now = now.max(filled.min(until));
                wakes += 1;
                while arrived.get(taken.len()).is_some_and(|at| *at <= now) {
                    now += self.taking;
                    taken.push(now);
                }
            }
            (taken.len(), wakes)
        }

        /// The rate beside that of a guest that is told of each, and wake-ups a frame.
        fn gains(self) -> (f64, f64) {
            let (frames, wakes) = self.run();
            let (told_of_each, _) = Self { hypercall: Duration::ZERO, ..self }.run();
            (frames as f64 / told_of_each as f64, wakes as f64 / frames as f64)
        }
    }

    const EMULATED: Line = Line { window: 12, sending: 600, taking: 80, way: 50, hypercall: HYPERCALL };
    const HARDWARE: Line =
        Line { window: 12, sending: 50, taking: 15, way: 30, hypercall: Duration::from_nanos(600) };

    #[test]
    fn frames_of_a_sender_that_is_ahead_come_together() {
        for line in [EMULATED, HARDWARE] {
            let (rate, wakes) = line.gains();
            assert!(rate > 0.98 && wakes < 0.4, "{rate:.2} of the rate, {wakes:.2} wake-ups a frame");
        }
    }

    /// Its frames come as fast as they would if each were told of, nearly: attempts with more cost a little.
    #[test]
    fn no_sender_is_kept_waiting_for_its_window() {
        for line in [EMULATED, HARDWARE] {
            for window in 1..8 {
                let (rate, wakes) = Line { window, ..line }.gains();
                assert!(rate > 0.93 && wakes < 1.05, "{window}: {rate:.2}, {wakes:.2} wake-ups a frame");
            }
        }
    }

    #[test]
    fn what_would_take_too_long_is_not_waited_for() {
        for (sending, hypercall) in [(600, HYPERCALL / 10), (600, Duration::ZERO), (5000, HYPERCALL)] {
            let (frames, wakes) = Line { sending, hypercall, ..EMULATED }.run();
            assert!(wakes <= frames + 1, "{wakes} wake-ups for {frames} frames");
        }
        let mut slow = Bulk::new(50_000);
        let batch = Batch { slots: 17, frames: 1, took: Duration::from_micros(900), is_full: true };
        for _ in 0..1000 {
            assert!(slow.after(batch).is_none_or(|wait| wait.time.as_nanos() <= u128::from(LONGEST_EVER)));
        }
    }

    /// After data in bulk, frames of a slot each are no bulk; nor are long ones with as many short ones.
    #[test]
    fn short_frames_are_no_bulk() {
        let batch = |slots, frames| Batch { slots, frames, took: Duration::ZERO, is_full: true };
        assert_eq!(Bulk::is_bulk(batch(5, 0)), None, "a part of one");
        for (slots, frames, expected) in
            [(17, 1, true), (18, 2, false), (35, 3, false), (36, 3, true), (3, 3, false)]
        {
            assert_eq!(
                Bulk::is_bulk(batch(slots, frames)),
                Some(expected),
                "{frames} frames in {slots} slots"
            );
        }
    }
}
