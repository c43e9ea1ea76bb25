//! How fast a device is tried again: at once the first time, then ever slower while connections do not last.

use super::link::{Link, Lost};
use super::session::Why;
use core::future::{Future as _, poll_fn};
use core::pin::pin;
use core::task::Poll;
use fata_libos::time::{Duration, Instant, sleep};

const SHORTEST: Duration = Duration::from_millis(50);
const AFTER_FAULT: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// The longest after what is nobody's fault: a back end that is away may be there again soon.
const LONGEST_AWAY: Duration = Duration::from_secs(5);
/// A connection that lasted so long was a good one.
const LASTING: Duration = Duration::from_secs(30);

pub(super) struct Pace {
    delay: Duration,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { delay: SHORTEST }
    }

    /// Takes notice of a connection that ended, or came to nothing.
    pub(super) fn after(&mut self, why: &Why, since: Option<Instant>) {
        if since.is_some_and(|since| since.elapsed() >= LASTING) {
            self.delay = SHORTEST;
        }
        self.delay = match why {
            Why::Fault(_) | Why::Resources(_) | Why::Store(_) => self.delay.max(AFTER_FAULT),
            Why::Closing | Why::Gone | Why::Unwanted => self.delay.min(LONGEST_AWAY),
        };
    }

    /// Waits until the device may be tried again, or for the link to be lost.
    pub(super) async fn wait(&mut self, link: &Link) -> Result<(), Lost> {
        let mut due = pin!(sleep(self.delay));
        self.delay = (self.delay * 2).min(LONGEST);
        poll_fn(|cx| match link.poll_lost(cx) {
            Poll::Ready(lost) => Poll::Ready(Err(lost)),
            Poll::Pending => due.as_mut().poll(cx).map(Ok),
        })
        .await
    }
}
