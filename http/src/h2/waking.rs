//! Which streams of a connection were woken: only those are polled.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::task::Waker;

/// Marks one stream as woken, and wakes its connection's task.
pub(crate) struct Waking {
    is_due: AtomicBool,
    /// The connection looks at its streams just now.
    is_seen: AtomicBool,
    task: Waker,
}

impl Waking {
    /// Of a stream that has not been polled yet.
    pub(crate) fn new(task: &Waker) -> Arc<Self> {
        let (is_due, is_seen) = (AtomicBool::new(true), AtomicBool::new(false));
        Arc::new(Self { is_due, is_seen, task: task.clone() })
    }

    /// Whether the stream was woken since this was asked last.
    pub(crate) fn take(&self) -> bool {
        self.is_due.swap(false, Relaxed)
    }

    /// Wakes the stream by `wake` for a connection that looks afterwards.
    pub(crate) fn while_seen(&self, wake: impl FnOnce()) {
        self.is_seen.store(true, Relaxed);
        wake();
        self.is_seen.store(false, Relaxed);
    }
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, Relaxed);
        if !self.is_seen.load(Relaxed) {
            self.task.wake_by_ref();
        }
    }
}
