//! Listeners and streams.

use super::error::named;
use super::stack::Below;
use super::{Buffers, Error, Stack};
use alloc::rc::Rc;
use alloc::vec;
use core::fmt;
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::ops::Range;
use core::task::{Context, Poll};
use embedded_io_async::{ErrorType, Read, ReadReady, Write};
use fata_libos::net::{Abort, Shared};
use fata_libos::time::{Duration, sleep, timeout};
use fata_unix::socket;

/// How long a peer may take to answer, as netstack has it.
const CONNECT_TIME: Duration = Duration::from_secs(30);

/// Accepts TCP connections to one address and port. Dropping it resets those that nobody has accepted.
pub struct TcpListener(Listener);

enum Listener {
    Netstack(fata_netstack::TcpListener),
    Host(socket::TcpListener),
}

impl TcpListener {
    /// Listens on `address`; the unspecified address stands for all of this host, now and later.
    pub fn bind(stack: &Stack, address: SocketAddr) -> Result<Self, Error> {
        Ok(Self(match &stack.0 {
            Below::Netstack(stack) => Listener::Netstack(fata_netstack::TcpListener::bind(stack, address)?),
            Below::Host(_) if address.port() == 0 => return Err(Error::InvalidInput),
            Below::Host(host) => {
                Listener::Host(socket::TcpListener::bind(&host.reactor, address).map_err(named)?)
            }
        }))
    }

    /// How many established connections may wait to be accepted; 128 at first.
    pub fn set_backlog(&self, connections: usize) {
        match &self.0 {
            Listener::Netstack(listener) => listener.set_backlog(connections),
            Listener::Host(listener) => listener.set_backlog(connections),
        }
    }

    /// The buffers of connections to come. They get less when memory is short.
    pub fn set_buffers(&self, buffers: Buffers) {
        match &self.0 {
            Listener::Netstack(listener) => listener.set_buffers(buffers),
            Listener::Host(listener) => listener.set_buffers(buffers.receive, buffers.send),
        }
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        match &self.0 {
            Listener::Netstack(listener) => listener.local_addr(),
            Listener::Host(listener) => listener.local_addr(),
        }
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> Result<(TcpStream, SocketAddr), Error> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// The next connection, if there is one.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<(TcpStream, SocketAddr), Error>> {
        match &self.0 {
            Listener::Netstack(listener) => {
                listener.poll_accept(cx).map_ok(|(stream, peer)| (TcpStream(Stream::Netstack(stream)), peer))
            }
            Listener::Host(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, peer)| (TcpStream(Stream::Host(Rc::new(stream))), peer))
                .map_err(named),
        }
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpListener({})", self.local_addr())
    }
}

/// A TCP connection. Dropping it closes it in order: what was written is sent.
pub struct TcpStream(Stream);

enum Stream {
    Netstack(fata_netstack::TcpStream),
    Host(Rc<socket::TcpStream>),
}

impl TcpStream {
    /// Connects to `peer`; gives up after half a minute without an answer.
    pub async fn connect(stack: &Stack, peer: SocketAddr) -> Result<Self, Error> {
        Self::connect_to(stack, peer, None).await
    }

    /// Connects with buffers of the given sizes.
    pub async fn connect_with(stack: &Stack, peer: SocketAddr, buffers: Buffers) -> Result<Self, Error> {
        Self::connect_to(stack, peer, Some(buffers)).await
    }

    async fn connect_to(stack: &Stack, peer: SocketAddr, buffers: Option<Buffers>) -> Result<Self, Error> {
        Ok(Self(match &stack.0 {
            Below::Netstack(stack) => Stream::Netstack(
                fata_netstack::TcpStream::connect_with(stack, peer, buffers.unwrap_or_default()).await?,
            ),
            Below::Host(host) => {
                check_peer(peer)?;
                let connecting = timeout(CONNECT_TIME, socket::TcpStream::connect(&host.reactor, peer));
                let stream = connecting.await.map_err(|_| Error::TimedOut)?.map_err(named)?;
                if let Some(buffers) = buffers {
                    stream.set_buffers(buffers.receive, buffers.send);
                }
                Stream::Host(Rc::new(stream))
            }
        }))
    }

    /// The other end.
    pub fn peer_addr(&self) -> SocketAddr {
        match &self.0 {
            Stream::Netstack(stream) => stream.peer_addr(),
            Stream::Host(stream) => stream.peer_addr(),
        }
    }

    /// This end.
    pub fn local_addr(&self) -> SocketAddr {
        match &self.0 {
            Stream::Netstack(stream) => stream.local_addr(),
            Stream::Host(stream) => stream.local_addr(),
        }
    }

    /// Reads what has come, at least one octet, at most `buf` takes. 0: the peer has finished, or `buf` is empty.
    pub async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        match &mut self.0 {
            Stream::Netstack(stream) => stream.read(buf).await,
            Stream::Host(stream) => read(stream, buf).await,
        }
    }

    /// Shows `used` what has come where it lies, as far as that is one piece, at least one octet; takes away as many of them as
    /// it says, and returns what it says beside. No octets: the peer has finished. Where it used none, the next call waits until
    /// more has come, and shows all in one piece; no more than before: the peer has finished, or the buffer is full. The host's
    /// sockets show a copy of 64 KiB at most, and let who used none look again after a millisecond.
    pub async fn read_with<R>(&mut self, used: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Error> {
        match &mut self.0 {
            Stream::Netstack(stream) => stream.read_with(used).await,
            Stream::Host(stream) => read_with(stream, used).await,
        }
    }

    /// Writes as much of `buf` as there is room for, at least one octet.
    pub async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        match &mut self.0 {
            Stream::Netstack(stream) => stream.write(buf).await,
            Stream::Host(stream) => write(stream, buf).await,
        }
    }

    /// Writes as much of a part of `octets` as there is room for, at least one octet, from where they are. The host's sockets send
    /// a copy.
    pub async fn write_shared(&mut self, octets: &Shared, part: Range<usize>) -> Result<usize, Error> {
        match &mut self.0 {
            Stream::Netstack(stream) => stream.write_shared(octets, part).await,
            Stream::Host(stream) => write(stream, &octets[part]).await,
        }
    }

    /// Lets `fill` write at most `most` octets where they are kept until they are acknowledged; as many as it says are sent. There
    /// is room for one at least, and perhaps for no more; what stands there is old. `most` is what memory is taken for. The host's
    /// sockets send a copy, in parts if need be: who gives up waiting does not know how much of it went.
    pub async fn write_with<R>(
        &mut self,
        most: usize,
        fill: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, Error> {
        match &mut self.0 {
            Stream::Netstack(stream) => stream.write_with(most, fill).await,
            Stream::Host(stream) => write_with(stream, most, fill).await,
        }
    }

    /// Finishes writing: the peer reads to the end. Reading goes on.
    pub async fn shutdown(&mut self) -> Result<(), Error> {
        match &mut self.0 {
            Stream::Netstack(stream) => stream.shutdown().await,
            Stream::Host(stream) => {
                stream.finish_writing();
                Ok(())
            }
        }
    }

    /// Ends the connection at once: the peer is sent a reset, what was not sent yet is lost.
    pub fn abort(mut self) {
        Abort::abort(&mut self);
    }

    /// Whether small writes are sent at once rather than gathered while something is unacknowledged (Nagle).
    pub fn set_nodelay(&self, nodelay: bool) {
        match &self.0 {
            Stream::Netstack(stream) => stream.set_nodelay(nodelay),
            Stream::Host(stream) => stream.set_nodelay(nodelay),
        }
    }

    /// See [`set_nodelay`](Self::set_nodelay).
    pub fn nodelay(&self) -> bool {
        match &self.0 {
            Stream::Netstack(stream) => stream.nodelay(),
            Stream::Host(stream) => stream.nodelay(),
        }
    }

    /// Segments that were sent again so far: what Linux's `tcpi_total_retrans` counts.
    pub fn retransmits(&self) -> u64 {
        match &self.0 {
            Stream::Netstack(stream) => stream.retransmits(),
            Stream::Host(stream) => stream.retransmits(),
        }
    }

    /// Asks a silent peer every `interval` (a second at least) whether it is still there, and gives it up after five
    /// questions without an answer.
    pub fn set_keep_alive(&self, interval: Option<Duration>) {
        match &self.0 {
            Stream::Netstack(stream) => stream.set_keep_alive(interval),
            Stream::Host(stream) => stream.set_keep_alive(interval),
        }
    }

    /// Both directions, to be used side by side while the stream is borrowed.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        match &mut self.0 {
            Stream::Netstack(stream) => {
                let (read, write) = stream.split();
                (ReadHalf(Reading::Netstack(read)), WriteHalf(Writing::Netstack(write)))
            }
            Stream::Host(stream) => (ReadHalf(Reading::Host(stream)), WriteHalf(Writing::Host(stream))),
        }
    }

    /// Both directions, each owned. Dropping the writing one finishes writing; the connection closes with the last.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        match self.0 {
            Stream::Netstack(stream) => {
                let (read, write) = stream.into_split();
                (OwnedReadHalf(OwnedReading::Netstack(read)), OwnedWriteHalf(OwnedWriting::Netstack(write)))
            }
            Stream::Host(stream) => {
                let write = HostWriter(stream.clone());
                (OwnedReadHalf(OwnedReading::Host(stream)), OwnedWriteHalf(OwnedWriting::Host(write)))
            }
        }
    }
}

/// A peer that makes no sense, as netstack has it: the host would take some of them for itself.
pub(super) fn check_peer(peer: SocketAddr) -> Result<(), Error> {
    let is_many = match peer.ip() {
        IpAddr::V4(to) => to.is_multicast() || to.is_broadcast(),
        IpAddr::V6(to) => to.is_multicast(),
    };
    if peer.port() == 0 || peer.ip().is_unspecified() || is_many {
        return Err(Error::InvalidInput);
    }
    Ok(())
}

async fn read(stream: &socket::TcpStream, buf: &mut [u8]) -> Result<usize, Error> {
    poll_fn(|cx| stream.poll_read(cx, buf)).await.map_err(named)
}

/// Octets of a host's socket that are shown at once.
const SHOWN: usize = 64 << 10;

async fn read_with<R>(
    stream: &socket::TcpStream,
    used: impl FnOnce(&[u8]) -> (usize, R),
) -> Result<R, Error> {
    // Who only waits needs no memory.
    poll_fn(|cx| stream.poll_peek(cx, &mut [0])).await.map_err(named)?;
    let mut buf = vec![0; SHOWN];
    let shown = poll_fn(|cx| stream.poll_peek(cx, &mut buf)).await.map_err(named)?;
    let (len, result) = used(&buf[..shown]);
    let mut left = len.min(shown);
    if left == 0 && shown > 0 {
        // The host does not say when there is more.
        sleep(Duration::from_millis(1)).await;
    }
    while left > 0 {
        // An error since is for the next one who asks: what was used was there.
        match read(stream, &mut buf[..left]).await {
            Ok(0) | Err(_) => break,
            Ok(read) => left -= read,
        }
    }
    Ok(result)
}

async fn write(stream: &socket::TcpStream, buf: &[u8]) -> Result<usize, Error> {
    poll_fn(|cx| stream.poll_write(cx, buf)).await.map_err(named)
}

async fn write_with<R>(
    stream: &socket::TcpStream,
    most: usize,
    fill: impl FnOnce(&mut [u8]) -> (usize, R),
) -> Result<R, Error> {
    let mut buf = vec![0; most.clamp(1, SHOWN)];
    let (len, result) = fill(&mut buf);
    let mut left = &buf[..len.min(buf.len())];
    while !left.is_empty() {
        let sent = write(stream, left).await?;
        left = &left[sent..];
    }
    Ok(result)
}

impl Abort for TcpStream {
    fn abort(&mut self) {
        match &mut self.0 {
            Stream::Netstack(stream) => Abort::abort(stream),
            Stream::Host(stream) => stream.abort(),
        }
    }

    fn poll_share(
        &mut self,
        cx: &mut Context<'_>,
        octets: &Shared,
        part: Range<usize>,
    ) -> Poll<Option<usize>> {
        match &mut self.0 {
            Stream::Netstack(stream) => stream.poll_share(cx, octets, part),
            Stream::Host(_) => Poll::Ready(None),
        }
    }
}

/// The reading direction of a borrowed [`TcpStream`].
#[derive(Debug)]
pub struct ReadHalf<'a>(Reading<'a>);

#[derive(Debug)]
enum Reading<'a> {
    Netstack(fata_netstack::ReadHalf<'a>),
    Host(&'a socket::TcpStream),
}

/// The writing direction of a borrowed [`TcpStream`].
#[derive(Debug)]
pub struct WriteHalf<'a>(Writing<'a>);

#[derive(Debug)]
enum Writing<'a> {
    Netstack(fata_netstack::WriteHalf<'a>),
    Host(&'a socket::TcpStream),
}

/// The reading direction of a connection.
#[derive(Debug)]
pub struct OwnedReadHalf(OwnedReading);

#[derive(Debug)]
enum OwnedReading {
    Netstack(fata_netstack::OwnedReadHalf),
    Host(Rc<socket::TcpStream>),
}

/// The writing direction of a connection.
#[derive(Debug)]
pub struct OwnedWriteHalf(OwnedWriting);

#[derive(Debug)]
enum OwnedWriting {
    Netstack(fata_netstack::OwnedWriteHalf),
    Host(HostWriter),
}

/// Finishes writing when dropped.
#[derive(Debug)]
struct HostWriter(Rc<socket::TcpStream>);

impl Drop for HostWriter {
    fn drop(&mut self) {
        self.0.finish_writing();
    }
}

impl ReadHalf<'_> {
    /// See [`TcpStream::read_with`].
    pub async fn read_with<R>(&mut self, used: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Error> {
        match &mut self.0 {
            Reading::Netstack(stream) => stream.read_with(used).await,
            Reading::Host(stream) => read_with(stream, used).await,
        }
    }
}

impl OwnedReadHalf {
    /// See [`TcpStream::read_with`].
    pub async fn read_with<R>(&mut self, used: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Error> {
        match &mut self.0 {
            OwnedReading::Netstack(stream) => stream.read_with(used).await,
            OwnedReading::Host(stream) => read_with(stream, used).await,
        }
    }
}

macro_rules! reader {
    ($($name:ty, $way:ident;)*) => { $(
        impl ErrorType for $name {
            type Error = Error;
        }
        impl Read for $name {
            async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
                match &mut self.0 {
                    $way::Netstack(stream) => Read::read(stream, buf).await,
                    $way::Host(stream) => read(stream, buf).await,
                }
            }
        }
        impl ReadReady for $name {
            fn read_ready(&mut self) -> Result<bool, Error> {
                match &mut self.0 {
                    $way::Netstack(stream) => stream.read_ready(),
                    $way::Host(stream) => Ok(stream.is_readable()),
                }
            }
        }
    )* };
}

macro_rules! writer {
    ($($name:ty, $way:ident, $stream:ident => $host:expr;)*) => { $(
        impl Write for $name {
            async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
                match &mut self.0 {
                    $way::Netstack(stream) => Write::write(stream, buf).await,
                    $way::Host($stream) => write($host, buf).await,
                }
            }
            /// Nothing to do: what is written is on its way.
            async fn flush(&mut self) -> Result<(), Error> {
                Ok(())
            }
        }
    )* };
}

macro_rules! write_half {
    ($($name:ty, $way:ident, $stream:ident => $host:expr;)*) => { $(
        impl ErrorType for $name {
            type Error = Error;
        }
        impl $name {
            /// See [`TcpStream::write_shared`].
            pub async fn write_shared(
                &mut self,
                octets: &Shared,
                part: Range<usize>,
            ) -> Result<usize, Error> {
                match &mut self.0 {
                    $way::Netstack(stream) => stream.write_shared(octets, part).await,
                    $way::Host($stream) => write(&$host, &octets[part]).await,
                }
            }
            /// See [`TcpStream::write_with`].
            pub async fn write_with<R>(
                &mut self,
                most: usize,
                fill: impl FnOnce(&mut [u8]) -> (usize, R),
            ) -> Result<R, Error> {
                match &mut self.0 {
                    $way::Netstack(stream) => stream.write_with(most, fill).await,
                    $way::Host($stream) => write_with(&$host, most, fill).await,
                }
            }
            /// See [`TcpStream::shutdown`].
            pub async fn shutdown(&mut self) -> Result<(), Error> {
                match &mut self.0 {
                    $way::Netstack(stream) => stream.shutdown().await,
                    $way::Host($stream) => {
                        $host.finish_writing();
                        Ok(())
                    }
                }
            }
        }
    )* };
}

reader! {
    TcpStream, Stream;
    ReadHalf<'_>, Reading;
    OwnedReadHalf, OwnedReading;
}

writer! {
    TcpStream, Stream, stream => stream;
    WriteHalf<'_>, Writing, stream => stream;
    OwnedWriteHalf, OwnedWriting, stream => &stream.0;
}

write_half! {
    WriteHalf<'_>, Writing, stream => stream;
    OwnedWriteHalf, OwnedWriting, stream => stream.0;
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpStream({} to {})", self.local_addr(), self.peer_addr())
    }
}
