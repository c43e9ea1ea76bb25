//! What an interface's task has to do: connections with something to send, and timers.

use crate::stack::Core;
use crate::tcp::Flow;
pub(crate) use crate::timers::TimerKey;
use crate::timers::Timers;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::task::Waker;
use fata_libos::time::Instant;

/// A connection, as the task sees it: an image without connections has none of their code, nor of what drops them.
pub(crate) trait Sender {
    /// Sends what there is to send.
    fn send(self: Rc<Self>, core: &Core, now: Instant);
    /// Its timer is due.
    fn timer_fired(self: Rc<Self>);
}

/// Whose timer it is.
pub(crate) enum Due {
    /// A connection's.
    Conn(Rc<dyn Sender>),
    /// A handshake's.
    HalfOpen(Flow),
}

/// See the module.
#[derive(Default)]
pub(crate) struct Work {
    waker: RefCell<Option<Waker>>,
    kicked: Cell<bool>,
    dirty: RefCell<VecDeque<Rc<dyn Sender>>>,
    /// What came last is to be acknowledged before more is taken: TCP knows whose it is.
    hasty: Cell<bool>,
    timers: RefCell<Timers<Due>>,
}

impl Work {
    /// Makes the task run.
    pub(crate) fn kick(&self) {
        if !self.kicked.replace(true)
            && let Some(waker) = self.waker.borrow_mut().take()
        {
            waker.wake();
        }
    }

    /// Keeps the task's waker; true if it was kicked since.
    pub(crate) fn listen(&self, waker: &Waker) -> bool {
        *self.waker.borrow_mut() = Some(waker.clone());
        self.kicked.replace(false)
    }

    /// Puts a connection into the queue of those that have something to send.
    pub(crate) fn push(&self, conn: Rc<dyn Sender>) {
        self.dirty.borrow_mut().push_back(conn);
        self.kick();
    }

    /// Notes that a connection acknowledges what it has just taken before more is.
    pub(crate) fn hasten(&self) {
        self.hasty.set(true);
    }

    pub(crate) fn take_hasty(&self) -> bool {
        self.hasty.take()
    }

    /// Puts a connection back to the front: the device had no room for anything of it.
    pub(crate) fn put_back(&self, conn: Rc<dyn Sender>) {
        self.dirty.borrow_mut().push_front(conn);
    }

    /// Puts a connection that has had its turn behind the others.
    pub(crate) fn put_last(&self, conn: Rc<dyn Sender>) {
        self.dirty.borrow_mut().push_back(conn);
    }

    pub(crate) fn pop(&self) -> Option<Rc<dyn Sender>> {
        self.dirty.borrow_mut().pop_front()
    }

    /// Whether a connection is in the queue.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.dirty.borrow().is_empty()
    }

    pub(crate) fn set_timer(&self, at: Instant, due: Due) -> TimerKey {
        let mut timers = self.timers.borrow_mut();
        if timers.first().is_none_or(|first| at < first) {
            self.kick();
        }
        timers.set(at, due)
    }

    pub(crate) fn clear_timer(&self, key: TimerKey) {
        // What it held may hold more of this: it goes when the timers are free again.
        let cleared = self.timers.borrow_mut().clear(key);
        drop(cleared);
    }

    /// Timers that are set.
    pub(crate) fn timers(&self) -> usize {
        self.timers.borrow().len()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timers.borrow().first()
    }

    pub(crate) fn pop_due(&self, now: Instant) -> Option<Due> {
        self.timers.borrow_mut().pop(now)
    }
}
