//! The timers of one runtime, by deadline.

use super::Instant;
use alloc::collections::BTreeMap;
use core::task::Waker;

/// Deadline and a number that tells timers of the same moment apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey(Instant, u64);

#[derive(Default)]
pub(crate) struct Timers {
    next: u64,
    waiting: BTreeMap<TimerKey, Waker>,
}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { next: 0, waiting: BTreeMap::new() }
    }

    pub(crate) fn insert(&mut self, deadline: Instant, waker: Waker) -> TimerKey {
        let key = TimerKey(deadline, self.next);
        self.next += 1;
        self.waiting.insert(key, waker);
        key
    }

    pub(crate) fn update(&mut self, key: TimerKey, waker: &Waker) {
        if let Some(w) = self.waiting.get_mut(&key) {
            w.clone_from(waker);
        }
    }

    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<Waker> {
        self.waiting.remove(&key)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(k, _)| k.0)
    }

    /// The waker of one timer that is due at `now`. One at a time: wake it after the borrow has ended.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Waker> {
        let entry = self.waiting.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}
