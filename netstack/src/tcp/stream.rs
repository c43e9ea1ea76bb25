//! Streams: the owner's side of a connection.

use super::conn::Conn;
use super::machine::{Account, Machine};
use super::{Buffers, Flow, Place};
use crate::error::Error;
use crate::port;
use crate::stack::{Core, Stack, canonical};
use alloc::rc::Rc;
use core::fmt;
use core::future::{Future, poll_fn};
use core::net::{IpAddr, SocketAddr};
use core::ops::Range;
use core::task::{Context, Poll};
use embedded_io_async::{ErrorType, Read, ReadReady, Write};
use fata_libos::net::{Abort, Shared};
use fata_libos::time::{Duration, Instant};

/// Closes the connection when the last of its owners is gone.
struct Owned(Rc<Conn>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.orphan();
    }
}

/// A TCP connection. Dropping it closes it in order: what was written is sent, until the peer has taken none of it for half a
/// minute; where memory is scarce, for half a minute in all.
pub struct TcpStream(Rc<Owned>);

impl TcpStream {
    pub(super) fn new(_core: Rc<Core>, conn: Rc<Conn>) -> Self {
        Self(Rc::new(Owned(conn)))
    }

    /// Connects to `peer`; gives up after half a minute without an answer.
    pub async fn connect(stack: &Stack, peer: SocketAddr) -> Result<Self, Error> {
        Self::connect_with(stack, peer, Buffers::default()).await
    }

    /// Connects with buffers of at most the given sizes.
    pub async fn connect_with(stack: &Stack, peer: SocketAddr, buffers: Buffers) -> Result<Self, Error> {
        let stream = Self::open(&stack.0, peer, buffers)?;
        poll_fn(|cx| stream.conn().poll_connected(cx)).await?;
        Ok(stream)
    }

    fn open(core: &Rc<Core>, peer: SocketAddr, buffers: Buffers) -> Result<Self, Error> {
        let peer = canonical(peer);
        let to = peer.ip();
        let is_broadcast = matches!(to, IpAddr::V4(to) if to.is_broadcast());
        if peer.port() == 0 || to.is_unspecified() || to.is_multicast() || is_broadcast {
            return Err(Error::InvalidInput);
        }
        let route = core.route(peer, None).ok_or(Error::NetworkUnreachable)?;
        let flow = |port| Flow::new(SocketAddr::new(route.way.own, port), peer);
        let port =
            port::ephemeral(|port| core.tcp.find(&flow(port)).is_none()).ok_or(Error::AddrNotAvailable)?;
        let Some(share) = core.tcp.reserve() else {
            core.counters.tcp_refused_memory.one();
            return Err(Error::OutOfMemory);
        };
        let (flow, now) = (flow(port), Instant::recent());
        let config = core.tcp.config(&route.iface, now, &flow, core.tcp.size(buffers));
        let mut machine = Machine::connect(config, now);
        machine.charge(Account(Some(share)));
        let conn = Conn::new(flow, route.iface, machine, now);
        core.tcp.insert(flow, Place::Live(conn.clone()));
        core.tcp.count_opening(1);
        conn.mark_dirty();
        Ok(Self::new(core.clone(), conn))
    }

    fn conn(&self) -> &Rc<Conn> {
        &self.0.0
    }

    /// The other end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.conn().iface.scoped(self.conn().flow.remote())
    }

    /// This end.
    pub fn local_addr(&self) -> SocketAddr {
        self.conn().flow.local()
    }

    /// Reads what has come, at least one octet, at most `buf` takes. 0: the peer has finished, or `buf` is empty.
    pub async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        read(self.conn(), buf).await
    }

    /// Shows `used` what has come where it lies, as far as that is one piece, at least one octet; takes away as many of them as
    /// it says, and returns what it says beside. No octets: the peer has finished. Where it used none, the next call waits until
    /// more has come, and shows all in one piece; no more than before: the peer has finished, or the buffer is full. For who would
    /// copy them a second time, or not at all.
    pub async fn read_with<R>(&mut self, used: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Error> {
        read_with(self.conn(), used).await
    }

    /// Writes as much of `buf` as there is room for, at least one octet.
    pub async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        write(self.conn(), buf).await
    }

    /// Writes as much of a part of `octets` as there is room for, at least one octet. They are sent from where they are, with one
    /// copy, into the device's own memory, and so must stay: until the peer has acknowledged them, the stream keeps a clone. What
    /// is short is copied.
    pub async fn write_shared(&mut self, octets: &Shared, part: Range<usize>) -> Result<usize, Error> {
        write_shared(self.conn(), octets, part).await
    }

    /// Lets `fill` write at most `most` octets where they are kept until they are acknowledged; as many as it says are sent. There
    /// is room for one at least, and perhaps for no more; what stands there is old. `most` is what memory is taken for. For who
    /// would copy them a second time.
    pub async fn write_with<R>(
        &mut self,
        most: usize,
        fill: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, Error> {
        write_with(self.conn(), most, fill).await
    }

    /// Finishes writing: the peer reads to the end. Reading goes on.
    pub async fn shutdown(&mut self) -> Result<(), Error> {
        self.conn().finish_writing();
        Ok(())
    }

    /// Ends the connection at once: the peer is sent a reset, what was not sent yet is lost.
    pub fn abort(self) {
        self.conn().abort();
    }

    /// Whether small writes are sent at once rather than gathered while something is unacknowledged (Nagle).
    pub fn set_nodelay(&self, nodelay: bool) {
        self.conn().set_nodelay(nodelay);
    }

    /// See [`set_nodelay`](Self::set_nodelay).
    pub fn nodelay(&self) -> bool {
        self.conn().nodelay()
    }

    /// Asks a silent peer every `interval` (a second at least) whether it is still there, and gives it up after five
    /// questions without an answer.
    pub fn set_keep_alive(&self, interval: Option<Duration>) {
        self.conn().set_keep_alive(interval);
    }

    /// Segments that were sent again so far: what Linux's `tcpi_total_retrans` counts.
    pub fn retransmits(&self) -> u64 {
        self.conn().retransmits()
    }

    /// Both directions, to be used side by side while the stream is borrowed.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// Both directions, each owned. Dropping the writing one finishes writing; the connection closes with the last.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        (OwnedReadHalf(self.0.clone()), OwnedWriteHalf(self.0))
    }
}

fn read<'a>(conn: &'a Rc<Conn>, buf: &'a mut [u8]) -> impl Future<Output = Result<usize, Error>> + 'a {
    poll_fn(|cx| conn.poll_read(cx, buf))
}

async fn read_with<R>(conn: &Rc<Conn>, used: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Error> {
    let (mut used, mut result) = (Some(used), None);
    poll_fn(|cx| {
        conn.poll_read_with(cx, &mut |octets| {
            let (len, value) = used.take().map(|used| used(octets)).unzip();
            result = value;
            len.unwrap_or(0)
        })
    })
    .await?;
    result.ok_or(Error::NotConnected)
}

fn write<'a>(conn: &'a Rc<Conn>, buf: &'a [u8]) -> impl Future<Output = Result<usize, Error>> + 'a {
    poll_fn(|cx| conn.poll_write(cx, buf))
}

fn write_shared<'a>(
    conn: &'a Rc<Conn>,
    octets: &'a Shared,
    part: Range<usize>,
) -> impl Future<Output = Result<usize, Error>> + 'a {
    poll_fn(move |cx| conn.poll_share(cx, octets, part.clone()))
}

async fn write_with<R>(
    conn: &Rc<Conn>,
    most: usize,
    fill: impl FnOnce(&mut [u8]) -> (usize, R),
) -> Result<R, Error> {
    let (mut fill, mut result) = (Some(fill), None);
    poll_fn(|cx| {
        conn.poll_write_with(cx, most, &mut |room| {
            let (len, value) = fill.take().map(|fill| fill(room)).unzip();
            result = value;
            len.unwrap_or(0)
        })
    })
    .await?;
    result.ok_or(Error::BrokenPipe)
}

impl Abort for TcpStream {
    fn abort(&mut self) {
        self.conn().abort();
    }

    fn poll_share(
        &mut self,
        cx: &mut Context<'_>,
        octets: &Shared,
        part: Range<usize>,
    ) -> Poll<Option<usize>> {
        self.conn().poll_share(cx, octets, part).map(Result::ok)
    }
}

/// The reading direction of a borrowed [`TcpStream`].
#[derive(Debug)]
pub struct ReadHalf<'a>(&'a TcpStream);

/// The writing direction of a borrowed [`TcpStream`].
#[derive(Debug)]
pub struct WriteHalf<'a>(&'a TcpStream);

/// The reading direction of a connection.
pub struct OwnedReadHalf(Rc<Owned>);

/// The writing direction of a connection.
pub struct OwnedWriteHalf(Rc<Owned>);

impl ReadHalf<'_> {
    /// See [`TcpStream::read_with`].
    pub async fn read_with<R>(&mut self, used: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Error> {
        read_with(self.0.conn(), used).await
    }
}

impl OwnedReadHalf {
    /// See [`TcpStream::read_with`].
    pub async fn read_with<R>(&mut self, used: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Error> {
        read_with(&self.0.0, used).await
    }
}

impl WriteHalf<'_> {
    /// See [`TcpStream::write_shared`].
    pub async fn write_shared(&mut self, octets: &Shared, part: Range<usize>) -> Result<usize, Error> {
        write_shared(self.0.conn(), octets, part).await
    }

    /// See [`TcpStream::write_with`].
    pub async fn write_with<R>(
        &mut self,
        most: usize,
        fill: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, Error> {
        write_with(self.0.conn(), most, fill).await
    }

    /// See [`TcpStream::shutdown`].
    pub async fn shutdown(&mut self) -> Result<(), Error> {
        self.0.conn().finish_writing();
        Ok(())
    }
}

impl OwnedWriteHalf {
    /// See [`TcpStream::write_shared`].
    pub async fn write_shared(&mut self, octets: &Shared, part: Range<usize>) -> Result<usize, Error> {
        write_shared(&self.0.0, octets, part).await
    }

    /// See [`TcpStream::write_with`].
    pub async fn write_with<R>(
        &mut self,
        most: usize,
        fill: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, Error> {
        write_with(&self.0.0, most, fill).await
    }

    /// See [`TcpStream::shutdown`].
    pub async fn shutdown(&mut self) -> Result<(), Error> {
        self.0.0.finish_writing();
        Ok(())
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        self.0.0.finish_writing();
    }
}

macro_rules! reader {
    ($($name:ty: $self:ident => $conn:expr;)*) => { $(
        impl ErrorType for $name {
            type Error = Error;
        }
        impl Read for $name {
            async fn read(&mut $self, buf: &mut [u8]) -> Result<usize, Error> {
                read($conn, buf).await
            }
        }
        impl ReadReady for $name {
            fn read_ready(&mut $self) -> Result<bool, Error> {
                Ok($conn.is_readable())
            }
        }
    )* };
}

macro_rules! writer {
    ($($name:ty: $self:ident => $conn:expr;)*) => { $(
        impl Write for $name {
            async fn write(&mut $self, buf: &[u8]) -> Result<usize, Error> {
                write($conn, buf).await
            }
            /// Nothing to do: what is written is on its way.
            async fn flush(&mut self) -> Result<(), Error> {
                Ok(())
            }
        }
    )* };
}

reader! {
    TcpStream: self => self.conn();
    ReadHalf<'_>: self => self.0.conn();
    OwnedReadHalf: self => &self.0.0;
}

writer! {
    TcpStream: self => self.conn();
    WriteHalf<'_>: self => self.0.conn();
    OwnedWriteHalf: self => &self.0.0;
}

impl ErrorType for WriteHalf<'_> {
    type Error = Error;
}

impl ErrorType for OwnedWriteHalf {
    type Error = Error;
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpStream({} to {})", self.local_addr(), self.peer_addr())
    }
}

impl fmt::Debug for OwnedReadHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedReadHalf({})", self.0.0.flow.remote())
    }
}

impl fmt::Debug for OwnedWriteHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedWriteHalf({})", self.0.0.flow.remote())
    }
}
