//! What the owner of a connection does with it: reading, writing, closing.

use super::conn::Conn;
use super::machine::{Machine, State};
use crate::error::Error;
use alloc::rc::Rc;
use core::task::{Context, Poll};
use fata_libos::time::{Duration, Instant};

impl Conn {
    pub(crate) fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut inner = self.state.borrow_mut();
        if let Some(error) = inner.error {
            return Poll::Ready(Err(error));
        }
        match inner.machine.as_ref().map(Machine::state) {
            Some(State::SynSent | State::SynReceived) => {
                inner.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(State::Closed) | None => Poll::Ready(Err(Error::ConnectionAborted)),
            Some(_) => Poll::Ready(Ok(())),
        }
    }

    pub(crate) fn poll_read(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize, Error>> {
        let mut guard = self.state.borrow_mut();
        let inner = &mut *guard;
        if let Some(error) = inner.error {
            return Poll::Ready(Err(error));
        }
        let Some(machine) = &mut inner.machine else { return Poll::Ready(end(inner.ended)) };
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let now = Instant::recent();
        match machine.read(now, buf) {
            0 if machine.may_receive() => {
                inner.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            0 => Poll::Ready(Ok(0)),
            n => {
                if inner.done && machine.readable() == 0 {
                    inner.release();
                } else if !inner.done && machine.wants_to_send(now) {
                    self.mark_dirty();
                }
                Poll::Ready(Ok(n))
            }
        }
    }

    pub(crate) fn poll_write(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize, Error>> {
        let mut guard = self.state.borrow_mut();
        let inner = &mut *guard;
        if let Some(error) = inner.error {
            return Poll::Ready(Err(error));
        }
        let Some(machine) = &mut inner.machine else { return Poll::Ready(Err(Error::BrokenPipe)) };
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if !machine.may_send() {
            return Poll::Ready(Err(Error::BrokenPipe));
        }
        match machine.write(buf) {
            // Nothing is on the way whose end would give memory back.
            0 if machine.unacknowledged() == 0 && machine.writable() > 0 => {
                Poll::Ready(Err(Error::OutOfMemory))
            }
            0 => {
                inner.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            n => {
                self.mark_dirty();
                Poll::Ready(Ok(n))
            }
        }
    }

    /// Whether something can be read or the end be seen without waiting.
    pub(crate) fn is_readable(&self) -> bool {
        let inner = self.state.borrow();
        if inner.error.is_some() {
            return true;
        }
        inner.machine.as_ref().is_none_or(|machine| machine.readable() > 0 || !machine.may_receive())
    }

    /// Finishes writing: what was written and then the end are sent.
    pub(crate) fn finish_writing(self: &Rc<Self>) {
        if let Some(machine) = &mut self.state.borrow_mut().machine {
            machine.close();
            self.mark_dirty();
        }
    }

    /// The owner is gone: closes in order, and drops what still comes.
    pub(crate) fn orphan(self: &Rc<Self>) {
        let mut inner = self.state.borrow_mut();
        inner.orphaned = Some(Instant::recent());
        (inner.reader, inner.writer) = (None, None);
        if inner.done {
            inner.release();
        } else if let Some(machine) = &mut inner.machine {
            machine.close();
            self.mark_dirty();
        }
    }

    /// Resets the connection.
    pub(crate) fn abort(self: &Rc<Self>) {
        let mut inner = self.state.borrow_mut();
        if inner.done {
            return;
        }
        inner.error.get_or_insert(Error::ConnectionAborted);
        if let Some(machine) = &mut inner.machine {
            machine.abort();
        }
        inner.wake();
        self.mark_dirty();
    }

    pub(crate) fn set_nodelay(self: &Rc<Self>, nodelay: bool) {
        if let Some(machine) = &mut self.state.borrow_mut().machine {
            machine.set_nodelay(nodelay);
            self.mark_dirty();
        }
    }

    pub(crate) fn nodelay(&self) -> bool {
        self.state.borrow().machine.as_ref().is_some_and(Machine::nodelay)
    }

    pub(crate) fn set_keep_alive(self: &Rc<Self>, interval: Option<Duration>) {
        let mut inner = self.state.borrow_mut();
        inner.keep_alive = interval.map(|i| i.max(Duration::from_secs(1)));
        inner.heard = Instant::recent();
        let interval = inner.keep_alive;
        if let Some(machine) = &mut inner.machine {
            machine.set_keep_alive(Instant::recent(), interval);
            self.mark_dirty();
        }
    }

    /// Whether it is of no use to who would accept it.
    pub(crate) fn is_dead(&self) -> bool {
        self.state.borrow().error.is_some()
    }
}

fn end(ended: bool) -> Result<usize, Error> {
    if ended { Ok(0) } else { Err(Error::NotConnected) }
}
