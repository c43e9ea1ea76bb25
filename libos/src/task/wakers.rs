//! A set of wakers waiting for one condition.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::{Context, Waker};

/// Wakers that wait for the same thing; registering one twice keeps it once.
#[derive(Debug, Default)]
pub struct WakerSet(RefCell<Vec<Waker>>);

impl WakerSet {
    /// An empty set.
    pub const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// Keeps the waker of `cx` until the next [`wake_all`](Self::wake_all).
    pub fn register(&self, cx: &Context<'_>) {
        let mut set = self.0.borrow_mut();
        if !set.iter().any(|w| w.will_wake(cx.waker())) {
            set.push(cx.waker().clone());
        }
    }

    /// Wakes and forgets all.
    pub fn wake_all(&self) {
        let mut set = self.0.take();
        for waker in set.drain(..) {
            waker.wake();
        }
        let mut kept = self.0.borrow_mut();
        if kept.is_empty() {
            *kept = set;
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}
