//! Connections.

use super::canonical;
use crate::reactor::{Direction, Reactor, Source};
use fata_libos::time::Duration;
use mio::Interest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{SockRef, TcpKeepalive};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The shortest time between two questions whether the peer is still there.
const LEAST_KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Questions without an answer after which it is given up.
const KEEP_ALIVE_RETRIES: u32 = 5;

/// A TCP connection. Dropping it closes it in order: the kernel sends what was written.
pub struct TcpStream {
    /// Gone once it was aborted.
    io: RefCell<Option<Source<mio::net::TcpStream>>>,
    local: SocketAddr,
    peer: SocketAddr,
    /// The error that ended it: the kernel tells once.
    ended: Cell<Option<i32>>,
}

impl TcpStream {
    pub(super) fn new(reactor: &Rc<Reactor>, io: mio::net::TcpStream, peer: SocketAddr) -> io::Result<Self> {
        let local = canonical(io.local_addr()?);
        let io = Source::new(reactor, io, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { io: RefCell::new(Some(io)), local, peer, ended: Cell::new(None) })
    }

    /// Connects, and waits as long as the kernel does.
    pub async fn connect(reactor: &Rc<Reactor>, peer: SocketAddr) -> io::Result<Self> {
        let io = mio::net::TcpStream::connect(peer)?;
        let io = Source::new(reactor, io, Interest::READABLE | Interest::WRITABLE)?;
        let local = poll_fn(|cx| io.poll(Direction::Write, cx, connected)).await?;
        let io = RefCell::new(Some(io));
        Ok(Self { io, local: canonical(local), peer: canonical(peer), ended: Cell::new(None) })
    }

    /// The other end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// This end.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Reads what has come. 0: the peer has finished, or `buf` is empty.
    pub fn poll_read(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll(Direction::Read, cx, |mut io| io.read(buf))
    }

    /// Copies what has come and leaves it there, to be read again. 0: the peer has finished, or `buf` is empty.
    pub fn poll_peek(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll(Direction::Read, cx, |io| io.peek(buf))
    }

    /// Writes as much of `buf` as there is room for.
    pub fn poll_write(&self, cx: &Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll(Direction::Write, cx, |mut io| io.write(buf))
    }

    fn poll<T>(
        &self,
        direction: Direction,
        cx: &Context<'_>,
        operation: impl FnMut(&mio::net::TcpStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        if let Some(errno) = self.ended.get() {
            return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
        }
        let io = self.io.borrow();
        let Some(io) = &*io else { return Poll::Ready(Err(ErrorKind::ConnectionAborted.into())) };
        let done = io.poll(direction, cx, operation);
        if let Poll::Ready(Err(error)) = &done
            && error.kind() != ErrorKind::BrokenPipe
        {
            self.ended.set(error.raw_os_error());
        }
        done
    }

    /// Whether something can be read, or the end be seen, without waiting.
    pub fn is_readable(&self) -> bool {
        self.io.borrow().as_ref().is_none_or(|io| {
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            poll(&mut [PollFd::new(io.get(), PollFlags::IN)], Some(&now)) != Ok(0)
        })
    }

    /// Finishes writing.
    pub fn finish_writing(&self) {
        if let Some(io) = &*self.io.borrow() {
            let _ = io.get().shutdown(Shutdown::Write);
        }
    }

    /// Resets the connection.
    pub fn abort(&self) {
        let Some(io) = self.io.take() else { return };
        // Closing with no time to linger is a reset (socket(7)).
        let _ = SockRef::from(io.get()).set_linger(Some(Duration::ZERO));
    }

    /// Whether small writes are sent at once.
    pub fn set_nodelay(&self, nodelay: bool) {
        if let Some(io) = &*self.io.borrow() {
            let _ = io.get().set_nodelay(nodelay);
        }
    }

    /// See [`set_nodelay`](Self::set_nodelay).
    pub fn nodelay(&self) -> bool {
        self.io.borrow().as_ref().is_some_and(|io| io.get().nodelay().unwrap_or(false))
    }

    /// Asks a silent peer whether it is still there.
    pub fn set_keep_alive(&self, interval: Option<Duration>) {
        let Some(io) = &*self.io.borrow() else { return };
        let socket = SockRef::from(io.get());
        let _ = match interval.map(|interval| interval.max(LEAST_KEEP_ALIVE)) {
            None => socket.set_keepalive(false),
            Some(interval) => {
                let alive = TcpKeepalive::new().with_time(interval).with_interval(interval);
                socket.set_tcp_keepalive(&alive.with_retries(KEEP_ALIVE_RETRIES))
            }
        };
    }

    /// Segments that the kernel has sent again so far; 0 where it does not tell.
    pub fn retransmits(&self) -> u64 {
        self.io.borrow().as_ref().map_or(0, |io| u64::from(info(io.get()).tcpi_total_retrans))
    }

    /// The sizes of the kernel's buffers, octets.
    pub fn set_buffers(&self, receive: usize, send: usize) {
        if let Some(io) = &*self.io.borrow() {
            let socket = SockRef::from(io.get());
            let _ = socket.set_recv_buffer_size(receive);
            let _ = socket.set_send_buffer_size(send);
        }
    }
}

/// What the kernel knows of a connection (tcp(7), `TCP_INFO`); zeros where it does not tell.
fn info(io: &mio::net::TcpStream) -> libc::tcp_info {
    // SAFETY: a C structure of integers alone, for which zeros are a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    let place: *mut libc::tcp_info = &mut info;
    // SAFETY: the descriptor is open as long as `io`, and the kernel writes at most `len` octets at the place of `info`.
    unsafe { libc::getsockopt(io.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, place.cast(), &mut len) };
    info
}

/// Whether an attempt to connect is over, and how; its address then.
fn connected(io: &mio::net::TcpStream) -> io::Result<SocketAddr> {
    if let Some(error) = io.take_error()? {
        return Err(error);
    }
    match io.peer_addr() {
        Ok(_) => io.local_addr(),
        Err(error) if error.kind() == ErrorKind::NotConnected => Err(ErrorKind::WouldBlock.into()),
        Err(error) => Err(error),
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpStream({} to {})", self.local, self.peer)
    }
}
