//! Listening.

use super::{TcpStream, bind, canonical};
use crate::reactor::{Direction, Reactor, Source};
use fata_libos::time::{Duration, Sleep, sleep};
use mio::Interest;
use socket2::{Protocol, SockRef, Type};
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Connections that wait to be accepted, where nothing else is asked for.
const BACKLOG: i32 = 128;
/// How long nothing is accepted after the kernel had no descriptor or memory for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts TCP connections.
pub struct TcpListener {
    reactor: Rc<Reactor>,
    io: Source<mio::net::TcpListener>,
    local: SocketAddr,
    pause: RefCell<Option<Pin<Box<Sleep>>>>,
}

impl TcpListener {
    /// Listens on an address; `[::]` stands for all of both families.
    pub fn bind(reactor: &Rc<Reactor>, address: SocketAddr) -> io::Result<Self> {
        let socket = bind(address, Type::STREAM, Protocol::TCP)?;
        socket.listen(BACKLOG)?;
        let std = std::net::TcpListener::from(socket);
        let local = std.local_addr()?;
        let io = Source::new(reactor, mio::net::TcpListener::from_std(std), Interest::READABLE)?;
        Ok(Self { reactor: reactor.clone(), io, local, pause: RefCell::default() })
    }

    /// How many connections may wait.
    pub fn set_backlog(&self, connections: usize) {
        let _ = SockRef::from(self.io.get()).listen(connections.clamp(1, i32::MAX as usize) as i32);
    }

    /// The sizes of the kernel's buffers for connections to come, octets.
    pub fn set_buffers(&self, receive: usize, send: usize) {
        let socket = SockRef::from(self.io.get());
        let _ = socket.set_recv_buffer_size(receive);
        let _ = socket.set_send_buffer_size(send);
    }

    /// The address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The next connection. A shortage of descriptors or memory is waited out: the connection waits in the backlog.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let mut pause = self.pause.borrow_mut();
        loop {
            if let Some(sleep) = &mut *pause {
                ready!(sleep.as_mut().poll(cx));
                *pause = None;
            }
            match ready!(self.io.poll(Direction::Read, cx, mio::net::TcpListener::accept)) {
                Ok((io, peer)) => {
                    let peer = canonical(peer);
                    return Poll::Ready(TcpStream::new(&self.reactor, io, peer).map(|stream| (stream, peer)));
                }
                Err(error) => match error.raw_os_error() {
                    // The peer has gone already, or the network below it had an error (accept(2)).
                    Some(libc::ECONNABORTED | libc::EPROTO) => {}
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                        log::warn!("connections wait: {error}");
                        *pause = Some(Box::pin(sleep(PAUSE)));
                    }
                    _ => return Poll::Ready(Err(error)),
                },
            }
        }
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpListener({})", self.local)
    }
}
