//! The connections of a server: how many, which are idle, and how they are told to end.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::task::{Context, Poll, Waker};
use fata_libos::task::WakerSet;

/// What the server and one connection know of each other.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// When it became idle, by the registry's count; 0 while busy.
    idle_since: Cell<u64>,
    closing: Cell<bool>,
    aborted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Slot {
    /// Lets the connection's task wait, with its waker kept for the server.
    pub(crate) fn pend<T>(&self, cx: &Context<'_>) -> Poll<T> {
        let mut kept = self.waker.borrow_mut();
        if !kept.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *kept = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Whether to end as soon as no request is under way.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Whether to end now.
    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.get()
    }

    pub(crate) fn set_busy(&self) {
        self.idle_since.set(0);
    }

    fn close(&self) {
        self.closing.set(true);
        self.wake();
    }

    fn wake(&self) {
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// All open connections.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    slots: RefCell<Vec<Rc<Slot>>>,
    clock: Cell<u64>,
    draining: Cell<bool>,
    /// Told when one has left.
    pub(crate) left: WakerSet,
}

impl Registry {
    /// Makes an entry, which [`leave`](Self::leave) takes out.
    pub(crate) fn enter(&self) -> Rc<Slot> {
        let slot = Rc::new(Slot::default());
        slot.closing.set(self.draining.get());
        self.set_idle(&slot);
        self.slots.borrow_mut().push(slot.clone());
        slot
    }

    pub(crate) fn leave(&self, slot: &Rc<Slot>) {
        let mut slots = self.slots.borrow_mut();
        if let Some(at) = slots.iter().position(|s| Rc::ptr_eq(s, slot)) {
            slots.swap_remove(at);
        }
        drop(slots);
        self.left.wake_all();
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.borrow().len()
    }

    pub(crate) fn set_idle(&self, slot: &Slot) {
        let now = self.clock.get() + 1;
        self.clock.set(now);
        slot.idle_since.set(now);
    }

    /// Asks the connection that is idle for longest to close; false if none is idle, or one was asked and has not gone yet.
    pub(crate) fn evict_one(&self) -> bool {
        let slots = self.slots.borrow();
        let idle = slots.iter().filter(|s| s.idle_since.get() > 0 && !s.is_closing());
        let Some(longest) = idle.min_by_key(|s| s.idle_since.get()).cloned() else { return false };
        drop(slots);
        longest.close();
        true
    }

    /// Idle connections close now, others after their request.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        self.for_each(Slot::close);
    }

    /// All connections end now.
    pub(crate) fn abort(&self) {
        self.for_each(|slot| {
            slot.aborted.set(true);
            slot.wake();
        });
    }

    fn for_each(&self, f: impl Fn(&Slot)) {
        let slots = self.slots.borrow().clone();
        slots.iter().for_each(|s| f(s));
    }
}
