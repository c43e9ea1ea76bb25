//! A lock that is given in the order of asking. For the store's own two tasks, which are never cancelled while they ask.

use core::cell::Cell;
use core::future::poll_fn;
use core::task::Poll;
use fata_libos::task::WakerSet;

#[derive(Default)]
pub(crate) struct Lock {
    asked: Cell<u64>,
    served: Cell<u64>,
    waiting: WakerSet,
}

pub(crate) struct Guard<'a>(&'a Lock);

impl Lock {
    pub(crate) async fn acquire(&self) -> Guard<'_> {
        let turn = self.asked.replace(self.asked.get() + 1);
        poll_fn(|cx| {
            if self.served.get() == turn {
                return Poll::Ready(());
            }
            self.waiting.register(cx);
            Poll::Pending
        })
        .await;
        Guard(self)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.served.set(self.0.served.get() + 1);
        self.0.waiting.wake_all();
    }
}

/// Waits until `condition` gives something; it is asked again whenever `set` is woken.
pub(crate) async fn until<T>(set: &WakerSet, mut condition: impl FnMut() -> Option<T>) -> T {
    poll_fn(|cx| match condition() {
        Some(value) => Poll::Ready(value),
        None => {
            set.register(cx);
            Poll::Pending
        }
    })
    .await
}
