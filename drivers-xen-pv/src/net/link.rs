//! What the stack's handle and the task that keeps the device connected share.
//!
//! The task brings the link up with queues and takes them away; the handle moves frames while there is one. Whoever
//! sees the back end break the protocol takes the link down and leaves the fault for the task, which closes the device.

use super::fault::NetFault;
use super::queues::Queues;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::task::{Context, Poll};
use fata_libos::net::{ETHERNET_HEADER, MacAddress, NetCounters, Offloads};
use fata_libos::task::WakerSet;

/// What a connection was agreed to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) mac: MacAddress,
    pub(super) mtu: usize,
    pub(super) offloads: Offloads,
}

impl Terms {
    /// The longest frame, octets.
    pub(super) const fn max_frame(&self) -> usize {
        self.mtu + ETHERNET_HEADER
    }
}

pub(super) struct Link {
    state: RefCell<State>,
    /// The stack, waiting for the link to go up or down.
    stack: WakerSet,
    /// The task, waiting for a fault.
    task: WakerSet,
}

/// Why the stack's side has no use for the connection any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The back end broke the protocol.
    Fault(NetFault),
    /// Nobody has the handle any more.
    Unwanted,
}

struct State {
    terms: Terms,
    up: Option<Queues>,
    /// Queues that are no longer used, until the task takes it.
    retired: Option<Queues>,
    /// Why the task has to close the device, until it takes notice.
    lost: Option<Lost>,
    /// Up or down since the stack last looked.
    changed: bool,
    /// Of queues that are gone.
    counters: NetCounters,
}

impl Link {
    pub(super) fn new(terms: Terms) -> Rc<Self> {
        let counters = NetCounters::default();
        let state = State { terms, up: None, retired: None, lost: None, changed: false, counters };
        Rc::new(Self { state: RefCell::new(state), stack: WakerSet::new(), task: WakerSet::new() })
    }

    pub(super) fn terms(&self) -> Terms {
        self.state.borrow().terms
    }

    pub(super) fn is_up(&self) -> bool {
        self.state.borrow().up.is_some()
    }

    pub(super) fn counters(&self) -> NetCounters {
        let state = self.state.borrow();
        let mut counters = state.counters;
        if let Some(queue) = &state.up {
            queue.add_counts(&mut counters);
        }
        counters
    }

    pub(super) fn count_tx_error(&self) {
        self.state.borrow_mut().counters.tx_errors += 1;
    }

    /// Frames move from now on.
    pub(super) fn bring_up(&self, terms: Terms, queues: Queues) {
        let mut state = self.state.borrow_mut();
        state.terms = terms;
        state.up = Some(queues);
        state.changed = true;
        state.counters.connects += 1;
        drop(state);
        self.stack.wake_all();
    }

    /// No frames move from now on; the queues, if there were any, are the caller's to end.
    pub(super) fn take_down(&self) -> Option<Queues> {
        let mut state = self.state.borrow_mut();
        state.retire();
        let queue = state.retired.take();
        drop(state);
        self.stack.wake_all();
        queue
    }

    /// Counts a back end that broke the protocol.
    pub(super) fn count_fault(&self) {
        self.state.borrow_mut().counters.faults += 1;
    }

    /// The handle is gone: the task closes the device and ends.
    pub(super) fn give_up(&self) {
        self.lose(Lost::Unwanted);
    }

    fn lose(&self, lost: Lost) {
        let mut state = self.state.borrow_mut();
        state.retire();
        state.lost = Some(lost);
        drop(state);
        self.task.wake_all();
        self.stack.wake_all();
    }

    /// Waits until the stack's side has no use for the connection any more; each reason is told once.
    pub(super) fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<Lost> {
        if let Some(lost) = self.state.borrow_mut().lost.take() {
            return Poll::Ready(lost);
        }
        self.task.register(cx);
        Poll::Pending
    }

    /// Moves frames with the queues; `None` while there is none, or when the back end turns out to be broken.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Queues) -> Result<R, NetFault>) -> Option<R> {
        let done = f(self.state.borrow_mut().up.as_mut()?);
        done.map_err(|fault| self.lose(Lost::Fault(fault))).ok()
    }

    /// Ready when the link went up or down since the last time, or when a queue says so.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.with(|queue| queue.poll(cx));
        if core::mem::take(&mut self.state.borrow_mut().changed) {
            return Poll::Ready(());
        }
        self.stack.register(cx);
        polled.unwrap_or(Poll::Pending)
    }
}

impl State {
    /// Takes the queues out of use; what it had in flight is lost.
    fn retire(&mut self) {
        let Some(mut queue) = self.up.take() else { return };
        queue.settle();
        queue.add_counts(&mut self.counters);
        self.counters.tx_errors += queue.frames_in_flight();
        self.changed = true;
        self.retired = Some(queue);
    }
}
