//! How long both sides of something may be silent.

use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Poll, ready};
use embedded_io_async::{ErrorType, Read};
use fata::time::{Duration, Instant, sleep_until};

/// Watches for silence.
#[derive(Debug)]
pub struct Silence {
    last: Cell<Instant>,
    limit: Cell<Duration>,
    /// Somebody else is waited for, who has a limit of his own.
    is_excused: Cell<bool>,
}

impl Silence {
    /// So long is too long.
    pub fn new(limit: Duration) -> Self {
        Self { last: Cell::new(Instant::now()), limit: Cell::new(limit), is_excused: Cell::new(false) }
    }

    /// Something has come.
    pub fn broken(&self) {
        self.last.set(Instant::now());
    }

    /// From now on at most so long.
    pub fn shorten(&self, limit: Duration) {
        self.limit.set(limit.min(self.limit.get()));
        self.broken();
    }

    /// While `waiting` waits no silence counts.
    pub async fn excused<T>(&self, waiting: impl Future<Output = T>) -> T {
        self.is_excused.set(true);
        let output = waiting.await;
        self.is_excused.set(false);
        self.broken();
        output
    }

    /// Waits until it has been too long.
    pub async fn too_long(&self) {
        let mut sleep = pin!(sleep_until(self.last.get() + self.limit.get()));
        poll_fn(|cx| {
            loop {
                if self.is_excused.get() {
                    self.broken();
                }
                let (now, deadline) = (Instant::now(), self.last.get() + self.limit.get());
                if now >= deadline {
                    return Poll::Ready(());
                }
                // It may fire too early, but not too late.
                if sleep.deadline() <= now || deadline < sleep.deadline() {
                    sleep.reset(deadline);
                }
                ready!(sleep.as_mut().poll(cx));
            }
        })
        .await;
    }
}

/// A source whose octets break the silence.
pub struct Heard<'a, S> {
    source: S,
    silence: &'a Silence,
}

impl<'a, S> Heard<'a, S> {
    /// All that comes from `source`.
    pub fn new(source: S, silence: &'a Silence) -> Self {
        Self { source, silence }
    }
}

impl<S: ErrorType> ErrorType for Heard<'_, S> {
    type Error = S::Error;
}

impl<S: Read> Read for Heard<'_, S> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, S::Error> {
        let n = self.source.read(out).await?;
        self.silence.broken();
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata::time::{sleep, timeout};
    use fata_libos::testing::run;

    #[test]
    fn what_is_too_long() {
        run(async {
            let seconds = Duration::from_secs;
            let silence = Silence::new(seconds(10));
            let began = Instant::now();
            let mut too_long = pin!(silence.too_long());
            assert!(timeout(seconds(9), &mut too_long).await.is_err());
            silence.broken();
            assert!(timeout(seconds(9), &mut too_long).await.is_err());
            let mut excused = pin!(silence.excused(sleep(seconds(100))));
            assert!(timeout(seconds(50), &mut excused).await.is_err());
            assert!(timeout(seconds(49), &mut too_long).await.is_err());
            excused.await;
            assert!(timeout(seconds(9), &mut too_long).await.is_err());
            silence.shorten(seconds(2));
            too_long.await;
            assert_eq!(began.elapsed(), seconds(9 + 9 + 100 + 9 + 2));
        });
    }
}
