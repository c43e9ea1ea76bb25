//! What the owner of a connection does with it: reading, writing, closing.

use super::conn::{Conn, Inner};
use super::machine::{Machine, State};
use crate::error::Error;
use alloc::rc::Rc;
use core::ops::Range;
use core::task::{Context, Poll};
use fata_libos::net::Shared;
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
        if machine.readable() == 0 && machine.may_receive() {
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let now = Instant::recent();
        let read = machine.read(now, buf);
        self.was_read(inner, now);
        Poll::Ready(Ok(read))
    }

    /// As [`poll_read`](Self::poll_read), without a copy: shows what lies in one piece, of which so many octets are used. The
    /// connection is not borrowed meanwhile: who is shown it may do with the stack what he likes.
    pub(crate) fn poll_read_with(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        show: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Poll<Result<(), Error>> {
        let mut guard = self.state.borrow_mut();
        let inner = &mut *guard;
        if let Some(error) = inner.error {
            return Poll::Ready(Err(error));
        }
        let Some(machine) = &mut inner.machine else {
            let ended = end(inner.ended);
            drop(guard);
            return Poll::Ready(ended.map(|_| {
                show(&[]);
            }));
        };
        if !machine.has_more_to_show() && machine.may_receive() {
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let lent = machine.lend_received();
        drop(guard);
        let used = show(lent.octets());
        let mut inner = self.state.borrow_mut();
        if let Some(machine) = &mut inner.machine {
            let now = Instant::recent();
            machine.take_used(now, lent, used);
            self.was_read(&mut inner, now);
        }
        Poll::Ready(Ok(()))
    }

    /// Sees to what follows of reading.
    fn was_read(self: &Rc<Self>, inner: &mut Inner, now: Instant) {
        let Some(machine) = &inner.machine else { return };
        if inner.done && machine.readable() == 0 {
            inner.release();
        } else if !inner.done && machine.wants_to_send(now) {
            self.mark_dirty();
        }
    }

    pub(crate) fn poll_write(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize, Error>> {
        self.poll_put(cx, buf.len(), &mut |machine| machine.write(buf))
    }

    /// As [`poll_write`](Self::poll_write), of a part of octets that are sent from where they are.
    pub(crate) fn poll_share(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        octets: &Shared,
        part: Range<usize>,
    ) -> Poll<Result<usize, Error>> {
        self.poll_put(cx, part.len(), &mut |machine| machine.share(octets, part.clone()))
    }

    /// Has `put` give so many octets to the machine, as far as there is room.
    fn poll_put(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        len: usize,
        put: &mut dyn FnMut(&mut Machine) -> usize,
    ) -> Poll<Result<usize, Error>> {
        let mut guard = self.state.borrow_mut();
        let inner = &mut *guard;
        if let Some(error) = inner.error {
            return Poll::Ready(Err(error));
        }
        let Some(machine) = &mut inner.machine else { return Poll::Ready(Err(Error::BrokenPipe)) };
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        if !machine.may_send() {
            return Poll::Ready(Err(Error::BrokenPipe));
        }
        match put(machine) {
            0 => Self::no_room(inner, cx),
            n => {
                self.mark_dirty();
                Poll::Ready(Ok(n))
            }
        }
    }

    /// What becomes of who wants to write and has no room.
    fn no_room<T>(inner: &mut Inner, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        // Nothing is on the way whose end would give memory back.
        let is_idle = |machine: &Machine| machine.unacknowledged() == 0 && machine.writable() > 0;
        if inner.machine.as_ref().is_some_and(is_idle) {
            return Poll::Ready(Err(Error::OutOfMemory));
        }
        inner.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// As [`poll_write`](Self::poll_write), without a copy: lets `fill` write at most so many octets where they are kept. The
    /// connection is not borrowed meanwhile.
    pub(crate) fn poll_write_with(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        most: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<(), Error>> {
        let mut guard = self.state.borrow_mut();
        let inner = &mut *guard;
        if let Some(error) = inner.error {
            return Poll::Ready(Err(error));
        }
        let Some(machine) = inner.machine.as_mut().filter(|machine| machine.may_send()) else {
            return Poll::Ready(Err(Error::BrokenPipe));
        };
        let Some(mut lent) = machine.lend_room(most) else { return Self::no_room(inner, cx) };
        drop(guard);
        let filled = fill(lent.octets_mut());
        if let Some(machine) = &mut self.state.borrow_mut().machine
            && machine.take_filled(lent, filled)
        {
            self.mark_dirty();
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Err(Error::BrokenPipe))
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

    /// Segments sent again so far.
    pub(crate) fn retransmits(&self) -> u64 {
        let inner = self.state.borrow();
        inner.machine.as_ref().map_or(0, |machine| u64::from(machine.info().retransmits))
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
