//! How soon to be woken for a frame: at once when they come seldom, for several together when they come faster than waking
//! up is worth.
//!
//! A wake-up costs a guest a pass through the hypervisor's scheduler, often more than the frame itself. So the queue asks
//! for a notification only with the last of as many frames as usually come before the peers stop and wait for answers, with
//! a timer in case they do not come. How many that is, is found by trying: batches that fill up become larger, one that the
//! timer has to end soon after makes them smaller, and the next attempt rarer. One client that asks, waits and asks again is
//! hardly slowed down, and many are served faster, because the back end too is left alone. The time that a batch may take
//! is bounded in hypercalls: where those are cheap, waits are short. Long frames, of many slots, are data in bulk, which has
//! rules of its own (`bulk`).

use super::bulk::{Batch, Bulk, Wait};
use fata_libos::time::{Duration, Instant};

/// Slots of short frames waited for at most.
const BATCH: u32 = 12;
/// A hypercall that takes longer was measured while the host was busy, nanoseconds.
const MOST_EXPENSIVE: u64 = 50_000;
/// The longest wait, in the time of hypercalls: where a frame costs the back end fifty, three still come together.
const LONGEST: u64 = 300;
/// A batch may take so many times what its frames usually take: they do not come evenly.
const PATIENCE: u64 = 3;
/// Frames in batches that filled up before a larger size is tried: at first, and at most after sizes that were too large.
const PROOF: (u64, u64) = (24, 256);

/// A batch that falls short after so many that did not tells nothing: peers pause for reasons of their own.
const SELDOM: u64 = 4;

/// When to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// With the next frame.
    Next,
    /// With the `count`th slot from now, or at a moment.
    Several { count: u32, until: Instant },
}

#[derive(Debug)]
pub(super) struct Moderation {
    /// The longest wait, nanoseconds.
    longest: u64,
    /// The batch now: its slots, and when and after how many slots and frames it began.
    wanted: u32,
    began: Instant,
    from: u64,
    from_frames: u64,
    /// Whether the last frames were long.
    is_bulk: bool,
    bulk: Bulk,
    /// The size of batches of short frames, slots.
    size: u32,
    /// When it ends if it does not fill up; `None` where there is no wait.
    until: Option<Instant>,
    /// The usual time from one slot of short frames to the next, nanoseconds.
    gap: u64,
    /// Slots in batches of this size that filled up, and how many it takes to grow.
    full: u64,
    proof: u64,
    /// The same since the last batch that fell short.
    since_short: u64,
    /// The size that last did not fill up.
    too_large: u32,
}

impl Moderation {
    pub(super) fn new(hypercall: Duration) -> Self {
        let unit = u64::try_from(hypercall.as_nanos()).unwrap_or(u64::MAX).min(MOST_EXPENSIVE);
        let longest = LONGEST * unit;
        let began = Instant::from_nanos(0);
        Self {
            longest,
            wanted: 1,
            began,
            from: 0,
            from_frames: 0,
            is_bulk: false,
            bulk: Bulk::new(unit),
            size: 1,
            until: None,
            gap: longest,
            full: 0,
            proof: PROOF.0,
            since_short: 0,
            too_large: 0,
        }
    }

    /// There is nothing to receive at `now`, after so many slots and frames in all.
    pub(super) fn plan(&mut self, now: Instant, slots: u64, frames: u64) -> Plan {
        let new = slots - self.from;
        let is_full = new >= u64::from(self.wanted);
        match self.until {
            // Asked in between, about something else.
            Some(until) if !is_full && now < until => {
                return Plan::Several { count: self.wanted - new as u32, until };
            }
            // Nothing came at all, so nobody waited.
            _ if new == 0 => {
                (self.until, self.wanted, self.from) = (None, 1, slots);
                return Plan::Next;
            }
            _ => {}
        }
        let took = now.duration_since(self.began);
        let batch = Batch { slots: new, frames: frames - self.from_frames, took, is_full };
        self.is_bulk = Bulk::is_bulk(batch).unwrap_or(self.is_bulk);
        (self.began, self.from, self.from_frames) = (now, slots, frames);
        let wait = match self.is_bulk {
            true => self.bulk.after(batch),
            false => self.after_short(batch),
        };
        self.wanted = wait.map_or(1, |wait| wait.slots);
        self.until = wait.map(|wait| now + wait.time);
        self.until.map_or(Plan::Next, |until| Plan::Several { count: self.wanted, until })
    }

    /// After a batch of short frames: what to wait for, where that is more than the next.
    fn after_short(&mut self, batch: Batch) -> Option<Wait> {
        if batch.slots >= u64::from(self.size) {
            self.filled_up(batch.slots);
        } else if self.until.is_some() {
            self.fell_short(batch.slots as u32);
        }
        self.measure(batch);
        self.size = self.size.min((self.longest / (PATIENCE * self.gap.max(1))) as u32).max(1);
        let time = Duration::from_nanos(PATIENCE * u64::from(self.size) * self.gap);
        (self.size > 1).then_some(Wait { slots: self.size, time })
    }

    /// An eighth of each new gap; a long pause counts as just too long to wait.
    fn measure(&mut self, batch: Batch) {
        let took = u64::try_from(batch.took.as_nanos()).unwrap_or(u64::MAX);
        let gap = (took / batch.slots.max(1)).min(self.longest);
        self.gap = (self.gap * 7 + gap) / 8;
    }

    fn filled_up(&mut self, slots: u64) {
        self.full += slots;
        self.since_short += slots;
        if self.full >= self.proof {
            self.full = 0;
            if self.size >= self.too_large {
                self.proof = (self.proof / 2).max(PROOF.0);
            }
            let size = (self.size + 1 + self.size / 4).min(BATCH);
            if size > self.size {
                (self.size, self.since_short) = (size, 0);
            }
        }
    }

    fn fell_short(&mut self, by_then: u32) {
        if core::mem::take(&mut self.since_short) < SELDOM * u64::from(self.size) {
            (self.too_large, self.proof) = (self.size, (self.proof * 2).min(PROOF.1));
            self.size = by_then.max(self.size / 2);
            self.full = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYPERCALL: Duration = Duration::from_micros(5);

    /// Clients that ask, wait for the answer, and ask again after `think` microseconds, each on its own; a request and an
    /// answer take a microsecond, one after the other. What they got done in two seconds, and the wake-ups.
    fn closed_loop(clients: usize, think: u64, hypercall: Duration) -> (u64, u64) {
        let mut moderation = Moderation::new(hypercall);
        let (mut frames, mut wakes) = (0, 0);
        let mut arrivals: Vec<u64> = (0..clients as u64).collect();
        let mut now = 0;
        while now < 2_000_000 {
            arrivals.sort_unstable();
            let plan = moderation.plan(Instant::from_nanos(now * 1000), frames, frames);
            let (count, until) = match plan {
                Plan::Next => (1, u64::MAX),
                Plan::Several { count, until } => (count as usize, until.as_nanos().div_ceil(1000)),
            };
            let filled = arrivals.get(count - 1).copied().unwrap_or(u64::MAX);
            now = now.max(filled.min(until)) + 1;
            let here = arrivals.iter().filter(|at| **at <= now).count();
            for (n, arrival) in arrivals[..here].iter_mut().enumerate() {
                *arrival = now + n as u64 + think;
            }
            wakes += 1;
            frames += here as u64;
        }
        (frames, wakes)
    }

    #[test]
    fn seldom_frames_are_heard_at_once() {
        let mut moderation = Moderation::new(HYPERCALL);
        for n in 1..1000 {
            assert_eq!(moderation.plan(Instant::from_nanos(n * 1_000_000), n, n), Plan::Next);
        }
    }

    #[test]
    fn gathering_many_clients_saves_half_the_wake_ups_and_costs_less_than_a_third_of_the_speed() {
        for (clients, think) in [(16, 50), (64, 200), (8, 100), (16, 400)] {
            let (frames, wakes) = closed_loop(clients, think, HYPERCALL);
            let (unmoderated, _) = closed_loop(clients, think, Duration::ZERO);
            assert!(wakes * 2 < frames, "{clients} clients: {wakes} wake-ups for {frames} frames");
            assert!(frames * 10 > unmoderated * 7, "{clients} clients: {frames} of {unmoderated} frames");
        }
    }

    #[test]
    fn one_that_asks_and_waits_is_hardly_slowed_down() {
        for think in [20, 50, 150] {
            let (frames, _) = closed_loop(1, think, HYPERCALL);
            let (unmoderated, _) = closed_loop(1, think, Duration::ZERO);
            assert!(frames * 1000 > unmoderated * 975, "{frames} of {unmoderated}");
        }
    }

    #[test]
    fn where_hypercalls_cost_nothing_nothing_waits() {
        let mut moderation = Moderation::new(Duration::ZERO);
        assert!(
            (1..1000).all(|n| moderation.plan(Instant::from_nanos(n * 10_000), n * 4, n * 4) == Plan::Next)
        );
    }

    #[test]
    fn a_wait_is_bounded_and_not_prolonged_by_questions_in_between() {
        let mut moderation = Moderation::new(HYPERCALL);
        let at = |micros| Instant::from_nanos(micros * 1000);
        let mut last = Plan::Next;
        for n in 1..400 {
            last = moderation.plan(at(n * 10), n * 12, n * 12);
        }
        let Plan::Several { count, until } = last else { panic!("no wait") };
        assert!(until > at(3990) && until <= at(3990 + 5 * LONGEST));
        let frames = 399 * 12;
        assert_eq!(moderation.plan(at(3991), frames, frames), last);
        let fewer = Plan::Several { count: count - 1, until };
        assert_eq!(moderation.plan(at(3992), frames + 1, frames + 1), fewer);
        moderation.plan(until, frames + 1, frames + 1);
        assert_eq!(
            moderation.plan(until + Duration::from_millis(1), frames + 1, frames + 1),
            Plan::Next,
            "nothing came"
        );
    }
}
