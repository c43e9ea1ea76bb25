//! Something that happens once, and tasks that wait for it.

use core::cell::Cell;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use fata::task::WakerSet;

/// Something that happens once.
#[derive(Default)]
pub struct Signal {
    is_set: Cell<bool>,
    waiting: WakerSet,
}

impl Signal {
    /// It happens.
    pub fn set(&self) {
        self.is_set.set(true);
        self.waiting.wake_all();
    }

    /// Whether it has happened.
    pub fn is_set(&self) -> bool {
        self.is_set.get()
    }

    /// Waits for it.
    pub async fn wait(&self) {
        self.unless(core::future::pending::<()>()).await;
    }

    /// What `future` gives, unless this happens first.
    pub async fn unless<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if self.is_set() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            self.waiting.register(cx);
            Poll::Pending
        })
        .await
    }
}
