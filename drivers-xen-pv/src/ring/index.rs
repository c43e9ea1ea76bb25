//! Ring indices: counters that wrap.

use core::fmt;

/// A free-running ring index (`ring.h`: `RING_IDX`): counts messages, wraps at 2^32. Not ordered: only distances are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct RingIdx(pub u32);

impl RingIdx {
    /// The index `count` messages on.
    #[must_use]
    pub const fn plus(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// The messages from `earlier` to this index; a large number if it is not earlier.
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether an index that goes from `old` to `self` passes `event`: the rule by which either side notifies
    /// (`RING_PUSH_REQUESTS_AND_CHECK_NOTIFY`).
    pub const fn passes(self, old: Self, event: Self) -> bool {
        self.since(event) < self.since(old)
    }
}

impl fmt::Display for RingIdx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::RingIdx;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn distances_survive_the_wrap(start: u32, count: u32) {
            let a = RingIdx(start);
            prop_assert_eq!(a.plus(count).since(a), count);
        }

        #[test]
        fn an_event_is_passed_if_it_lies_behind_old_and_up_to_new(start: u32, event in 0u32..1000, step in 0u32..1000) {
            // Told over plain numbers: going from 500 to 500 + step passes exactly the events of 501..=500+step.
            let base = RingIdx(start);
            let passes = base.plus(500 + step).passes(base.plus(500), base.plus(event));
            prop_assert_eq!(passes, event > 500 && event <= 500 + step);
        }
    }
}
