//! Futures that wait: `sleep`, `timeout`, `interval`. Dropping one forgets its timer.

use super::{Duration, Instant, TimerKey};
use crate::task::with_timers;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

/// Waits for `duration`.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

/// Waits until `deadline`.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, key: None }
}

/// See [`sleep`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Sleep {
    deadline: Instant,
    key: Option<TimerKey>,
}

impl Sleep {
    /// The moment it waits for.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits for another moment instead.
    pub fn reset(&mut self, deadline: Instant) {
        self.cancel();
        self.deadline = deadline;
    }

    fn cancel(&mut self) {
        if let Some(key) = self.key.take() {
            drop(with_timers(|t| t.remove(key)));
        }
    }
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // The loop fires what is due by the clock it has read; reading it again for each poll would cost a trap.
        if Instant::recent() >= self.deadline {
            self.cancel();
            return Poll::Ready(());
        }
        match self.key {
            Some(key) => with_timers(|t| t.update(key, cx.waker())),
            None => {
                let key = with_timers(|t| t.insert(self.deadline, cx.waker().clone()));
                self.key = Some(key);
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// The time of a [`timeout`] was over before its future was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

/// Runs `future` for at most `duration`; it is dropped when the time is over.
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout { sleep: sleep(duration), future }
}

/// See [`timeout`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Timeout<F> {
    sleep: Sleep,
    future: F,
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: `future` is never moved out of the pinned struct: it is only polled in place here and dropped with it.
        // `sleep` is Unpin and treated so.
        let (sleep, future) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new(&mut this.sleep), Pin::new_unchecked(&mut this.future))
        };
        if let Poll::Ready(out) = future.poll(cx) {
            return Poll::Ready(Ok(out));
        }
        sleep.poll(cx).map(|()| Err(Elapsed))
    }
}

/// Ticks every `period`, the first time one period from now. A tick that was missed is not made up for.
///
/// # Panics
/// If `period` is zero.
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval of zero never sleeps");
    Interval { period, sleep: sleep(period) }
}

/// See [`interval`].
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    sleep: Sleep,
}

impl Interval {
    /// Waits for the next tick and returns its moment.
    pub async fn tick(&mut self) -> Instant {
        (&mut self.sleep).await;
        let due = self.sleep.deadline();
        let now = Instant::now();
        let mut next = due + self.period;
        if next <= now {
            next = now + self.period;
        }
        self.sleep.reset(next);
        due
    }
}
