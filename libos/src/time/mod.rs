//! Time: a monotonic clock in nanoseconds, the time of day, and futures that wait.

mod sleep;
mod timers;
mod wall;

pub use core::time::Duration;
pub use sleep::{Elapsed, Interval, Sleep, Timeout, interval, sleep, sleep_until, timeout};
pub(crate) use timers::{TimerKey, Timers};
pub use wall::{SystemTime, UtcDateTime};

use core::ops::{Add, AddAssign, Sub};

/// A moment of the monotonic clock, in nanoseconds since an arbitrary start. Comparable within one boot only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// Now.
    pub fn now() -> Self {
        crate::task::platform().now()
    }

    /// The last moment at which the task loop looked at the clock: never later than now, and not much earlier. Free, where
    /// [`now`](Self::now) may trap to the hypervisor; for time-outs and the like on a data path. Stands still while a task
    /// runs.
    pub fn recent() -> Self {
        crate::task::recent()
    }

    /// A moment from its nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    #[inline(never)]
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The time since this moment.
    pub fn elapsed(self) -> Duration {
        Self::now().duration_since(self)
    }
}

/// Saturates: a moment that cannot be told is the end of time.
impl Add<Duration> for Instant {
    type Output = Self;
    // In an image many add, and compare: what this saves counts more than a few cycles.
    #[inline(never)]
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}
