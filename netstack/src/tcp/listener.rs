//! Listeners: a backlog of established connections that nobody has accepted yet.

use super::{Buffers, Conn, TcpStream};
use crate::error::Error;
use crate::stack::{Core, Stack};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use fata_libos::task::WakerSet;

/// Connections that wait to be accepted, where nothing else is asked for.
const BACKLOG: usize = 128;

/// What the table knows of a listener.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) buffers: Cell<Buffers>,
    backlog: Cell<usize>,
    queue: RefCell<VecDeque<Rc<Conn>>>,
    waiting: WakerSet,
    closed: Cell<bool>,
}

impl Listening {
    pub(crate) fn is_full(&self) -> bool {
        let mut queue = self.queue.borrow_mut();
        queue.len() >= self.backlog.get() || queue.try_reserve(1).is_err()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(crate) fn push(&self, conn: Rc<Conn>) {
        self.queue.borrow_mut().push_back(conn);
        self.waiting.wake_all();
    }

    fn pop(&self) -> Option<Rc<Conn>> {
        let mut queue = self.queue.borrow_mut();
        while let Some(conn) = queue.pop_front() {
            if !conn.is_dead() {
                return Some(conn);
            }
        }
        None
    }
}

/// Accepts TCP connections to one address and port. Dropping it resets those that nobody has accepted.
pub struct TcpListener {
    core: Rc<Core>,
    listening: Rc<Listening>,
}

impl TcpListener {
    /// Listens on `address`; the unspecified address stands for all of this host, now and later.
    pub fn bind(stack: &Stack, address: SocketAddr) -> Result<Self, Error> {
        let core = stack.0.clone();
        if address.port() == 0 {
            return Err(Error::InvalidInput);
        }
        core.check_local(address.ip())?;
        // All of IPv4 are among all of both.
        let clashes = |other: SocketAddr| {
            let (ip, other_ip) = (address.ip(), other.ip());
            let are_open = ip.is_unspecified() && other_ip.is_unspecified();
            address.port() == other.port() && (ip == other_ip || are_open)
        };
        if core.tcp.listeners.borrow().iter().any(|l| clashes(l.address)) {
            return Err(Error::AddrInUse);
        }
        let listening = Rc::new(Listening {
            address,
            buffers: Cell::default(),
            backlog: Cell::new(BACKLOG),
            queue: RefCell::default(),
            waiting: WakerSet::new(),
            closed: Cell::new(false),
        });
        core.tcp.listeners.borrow_mut().push(listening.clone());
        Ok(Self { core, listening })
    }

    /// How many established connections may wait to be accepted; 128 at first.
    pub fn set_backlog(&self, connections: usize) {
        self.listening.backlog.set(connections.max(1));
    }

    /// The most that buffers of connections to come may hold. They get less when memory is short.
    pub fn set_buffers(&self, buffers: Buffers) {
        self.listening.buffers.set(buffers);
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.listening.address
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> Result<(TcpStream, SocketAddr), Error> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// The next connection, if there is one.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<(TcpStream, SocketAddr), Error>> {
        match self.listening.pop() {
            Some(conn) => {
                let peer = conn.iface.scoped(conn.flow.remote());
                Poll::Ready(Ok((TcpStream::new(self.core.clone(), conn), peer)))
            }
            None => {
                self.listening.waiting.register(cx);
                Poll::Pending
            }
        }
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.listening.closed.set(true);
        self.core.tcp.listeners.borrow_mut().retain(|l| !Rc::ptr_eq(l, &self.listening));
        while let Some(conn) = self.listening.pop() {
            conn.abort();
            conn.orphan();
        }
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpListener({})", self.listening.address)
    }
}
