//! What the owner of a connection does with it: reading, writing, closing.

use super::conn::Conn;
use super::smol::Machine;
use crate::error::Error;
use alloc::rc::Rc;
use core::task::{Context, Poll};
use fata_libos::time::{Duration, Instant};
use smoltcp::socket::tcp::{RecvError, State};

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
        match machine.socket().recv_slice(buf) {
            Ok(0) => {
                inner.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            Ok(n) => {
                inner.read = inner.read.wrapping_add(n as u32);
                if inner.done && machine.readable() == 0 {
                    inner.release();
                } else if !inner.done
                    && machine.deadline(Instant::recent()).is_some_and(|at| at <= Instant::recent())
                {
                    self.mark_dirty();
                }
                Poll::Ready(Ok(n))
            }
            Err(RecvError::Finished) => Poll::Ready(Ok(0)),
            Err(RecvError::InvalidState) => Poll::Ready(end(inner.ended)),
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
        match machine.socket().send_slice(buf) {
            Ok(0) => {
                inner.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            Ok(n) => {
                self.mark_dirty();
                Poll::Ready(Ok(n))
            }
            Err(_) => Poll::Ready(Err(Error::BrokenPipe)),
        }
    }

    /// Whether something can be read or the end be seen without waiting.
    pub(crate) fn is_readable(&self) -> bool {
        let mut inner = self.state.borrow_mut();
        if inner.error.is_some() {
            return true;
        }
        inner.machine.as_mut().is_none_or(|machine| machine.readable() > 0 || !machine.socket().may_recv())
    }

    /// Finishes writing: what was written and then the end are sent.
    pub(crate) fn finish_writing(self: &Rc<Self>) {
        if let Some(machine) = &mut self.state.borrow_mut().machine {
            machine.socket().close();
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
            machine.socket().close();
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
            machine.socket().abort();
        }
        inner.wake();
        self.mark_dirty();
    }

    pub(crate) fn set_nodelay(&self, nodelay: bool) {
        if let Some(machine) = &mut self.state.borrow_mut().machine {
            machine.socket().set_nagle_enabled(!nodelay);
        }
    }

    pub(crate) fn nodelay(&self) -> bool {
        self.state.borrow_mut().machine.as_mut().is_some_and(|m| !m.socket().nagle_enabled())
    }

    pub(crate) fn set_keep_alive(self: &Rc<Self>, interval: Option<Duration>) {
        let mut inner = self.state.borrow_mut();
        inner.keep_alive = interval.map(|i| i.max(Duration::from_secs(1)));
        inner.heard = Instant::recent();
        let micros = inner.keep_alive.map(|i| smoltcp::time::Duration::from_micros(i.as_micros() as u64));
        if let Some(machine) = &mut inner.machine {
            machine.socket().set_keep_alive(micros);
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
