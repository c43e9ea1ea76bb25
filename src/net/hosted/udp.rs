//! Sockets for datagrams.

use super::error::named;
use super::stack::{Below, Host};
use super::{Error, SendManyError, Stack};
use alloc::rc::Rc;
use alloc::vec;
use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use fata_unix::socket;

/// A UDP socket.
pub struct UdpSocket(Socket);

enum Socket {
    Netstack(fata_netstack::UdpSocket),
    Host(socket::UdpSocket, Rc<Host>),
}

/// What receiving gives; `None`: nothing yet.
type Received = Option<std::io::Result<(usize, SocketAddr)>>;

/// The longest datagram, octets.
const LONGEST: usize = 65_535;

impl UdpSocket {
    /// Binds to `address`; the unspecified address stands for all of this host, port 0 for any that is free.
    pub fn bind(stack: &Stack, address: SocketAddr) -> Result<Self, Error> {
        Ok(Self(match &stack.0 {
            Below::Netstack(stack) => Socket::Netstack(fata_netstack::UdpSocket::bind(stack, address)?),
            Below::Host(host) => {
                let socket = socket::UdpSocket::bind(&host.reactor, address).map_err(named)?;
                Socket::Host(socket, host.clone())
            }
        }))
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        match &self.0 {
            Socket::Netstack(socket) => socket.local_addr(),
            Socket::Host(socket, _) => socket.local_addr(),
        }
    }

    /// Sends to and receives from `peer` only, from now on; and is told when nothing listens there.
    pub fn connect(&self, peer: SocketAddr) -> Result<(), Error> {
        match &self.0 {
            Socket::Netstack(socket) => socket.connect(peer),
            Socket::Host(socket, _) => {
                check_target(peer)?;
                socket.connect(peer).map_err(named)
            }
        }
    }

    /// The peer that it is connected to.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match &self.0 {
            Socket::Netstack(socket) => socket.peer_addr(),
            Socket::Host(socket, _) => socket.peer_addr(),
        }
    }

    /// Sends a datagram to `peer`. Waits for room on the way out of this host; what becomes of it then is not known.
    pub async fn send_to(&self, data: &[u8], peer: SocketAddr) -> Result<usize, Error> {
        match &self.0 {
            Socket::Netstack(socket) => socket.send_to(data, peer).await,
            Socket::Host(socket, _) => {
                check_target(peer)?;
                poll_fn(|cx| socket.poll_send_to(cx, data, peer)).await.map_err(named)
            }
        }
    }

    /// Sends a datagram to the peer that the socket is connected to.
    pub async fn send(&self, data: &[u8]) -> Result<usize, Error> {
        let peer = self.peer_addr().ok_or(Error::NotConnected)?;
        self.send_to(data, peer).await
    }

    /// Sends a datagram of `len` octets, zeros that `write` changes, to `peer`. `write` is called once, or not at all where the
    /// datagram is dropped on its way.
    pub async fn send_with(
        &self,
        len: usize,
        peer: SocketAddr,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<(), Error> {
        match &self.0 {
            Socket::Netstack(socket) => socket.send_with(len, peer, write).await,
            Socket::Host(..) => {
                let data = written(len, write)?;
                self.send_to(&data, peer).await.map(drop)
            }
        }
    }

    /// Sends many datagrams, one behind the other. Waits for room where it has to. The number sent; ends at the first that
    /// cannot be.
    pub async fn send_many<D: AsRef<[u8]>>(
        &self,
        datagrams: impl IntoIterator<Item = (D, SocketAddr)>,
    ) -> Result<usize, SendManyError> {
        let mut sent = 0;
        for (data, peer) in datagrams {
            self.send_to(data.as_ref(), peer).await.map_err(|error| SendManyError { sent, error })?;
            sent += 1;
        }
        Ok(sent)
    }

    /// As [`send_to`](Self::send_to); `None`: there is no room now.
    pub fn try_send_to(&self, data: &[u8], peer: SocketAddr) -> Result<Option<usize>, Error> {
        match &self.0 {
            Socket::Netstack(socket) => socket.try_send_to(data, peer),
            Socket::Host(socket, _) => {
                check_target(peer)?;
                socket.try_send_to(data, peer).transpose().map_err(named)
            }
        }
    }

    /// As [`send_with`](Self::send_with); `None`: there is no room now.
    pub fn try_send_with(
        &self,
        len: usize,
        peer: SocketAddr,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<Option<()>, Error> {
        match &self.0 {
            Socket::Netstack(socket) => socket.try_send_with(len, peer, write),
            Socket::Host(..) => Ok(self.try_send_to(&written(len, write)?, peer)?.map(drop)),
        }
    }

    /// Waits for a datagram. What does not fit into `buf` is lost.
    pub async fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        poll_fn(|cx| self.poll_recv(cx, buf)).await
    }

    /// Waits for a datagram of the peer that the socket is connected to.
    pub async fn recv(&self, buf: &mut [u8]) -> Result<usize, Error> {
        Ok(self.recv_from(buf).await?.0)
    }

    /// Waits for a datagram and shows it to `read`: none of it is lost.
    pub async fn recv_with<R>(&self, read: impl FnOnce(&[u8], SocketAddr) -> R) -> Result<R, Error> {
        match &self.0 {
            Socket::Netstack(socket) => socket.recv_with(read).await,
            Socket::Host(socket, host) => {
                let mut read = Some(read);
                poll_fn(|cx| {
                    let receive = |room: &mut [u8]| match socket.poll_recv_from(cx, room) {
                        Poll::Ready(received) => Some(received),
                        Poll::Pending => None,
                    };
                    let read = |data: &[u8], from| read.take().map(|read| read(data, from));
                    match shown(host, receive, read) {
                        Some(Ok(Some(read))) => Poll::Ready(Ok(read)),
                        Some(Err(error)) => Poll::Ready(Err(error)),
                        Some(Ok(None)) | None => Poll::Pending,
                    }
                })
                .await
            }
        }
    }

    /// Waits for a datagram and shows it to `read`, and after it all that came with it, `limit` at most, one at least. The number of them.
    pub async fn recv_many(
        &self,
        limit: usize,
        mut read: impl FnMut(&[u8], SocketAddr),
    ) -> Result<usize, Error> {
        if let Socket::Netstack(socket) = &self.0 {
            return socket.recv_many(limit, read).await;
        }
        self.recv_with(&mut read).await?;
        let mut count = 1;
        // An ICMP error behind a datagram ends the row, and is not told: the datagrams are.
        while count < limit && matches!(self.try_recv_with(&mut read), Ok(Some(()))) {
            count += 1;
        }
        Ok(count)
    }

    /// The datagram that has come, as [`recv_from`](Self::recv_from) has it; `None`: there is none now.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> Result<Option<(usize, SocketAddr)>, Error> {
        match &self.0 {
            Socket::Netstack(socket) => socket.try_recv_from(buf),
            Socket::Host(socket, _) => socket.try_recv_from(buf).transpose().map_err(named),
        }
    }

    /// Shows the datagram that has come to `read`; `None`: there is none now.
    pub fn try_recv_with<R>(&self, read: impl FnOnce(&[u8], SocketAddr) -> R) -> Result<Option<R>, Error> {
        match &self.0 {
            Socket::Netstack(socket) => socket.try_recv_with(read),
            Socket::Host(socket, host) => shown(host, |room| socket.try_recv_from(room), read).transpose(),
        }
    }

    /// Limits what waits to be received, octets; 256 KiB at first, less where memory is short. A datagram counts 64 octets
    /// more than its data; the host's kernel has a way of its own to count.
    pub fn set_queue(&self, octets: usize) {
        match &self.0 {
            Socket::Netstack(socket) => socket.set_queue(octets),
            Socket::Host(socket, _) => socket.set_queue(octets),
        }
    }

    /// Limits what waits to be received, datagrams; 4096 at first. The host's kernel knows octets only.
    pub fn set_queue_datagrams(&self, datagrams: usize) {
        if let Socket::Netstack(socket) = &self.0 {
            socket.set_queue_datagrams(datagrams);
        }
    }

    /// Datagrams dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        match &self.0 {
            Socket::Netstack(socket) => socket.dropped(),
            Socket::Host(socket, _) => socket.dropped(),
        }
    }

    /// See [`recv_from`](Self::recv_from).
    pub fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<(usize, SocketAddr), Error>> {
        match &self.0 {
            Socket::Netstack(socket) => socket.poll_recv(cx, buf),
            Socket::Host(socket, _) => socket.poll_recv_from(cx, buf).map_err(named),
        }
    }
}

/// A datagram that `write` writes.
fn written(len: usize, write: impl FnOnce(&mut [u8])) -> Result<vec::Vec<u8>, Error> {
    if len > LONGEST {
        return Err(Error::MessageTooLong);
    }
    let mut data = vec![0; len];
    write(&mut data);
    Ok(data)
}

/// Gives `receive` room that all sockets share, and what it receives to `read`, which may itself receive.
fn shown<R>(
    host: &Host,
    receive: impl FnOnce(&mut [u8]) -> Received,
    read: impl FnOnce(&[u8], SocketAddr) -> R,
) -> Option<Result<R, Error>> {
    let mut scratch = host.scratch.take();
    scratch.resize(LONGEST, 0);
    let received = receive(&mut scratch);
    let shown = received.map(|result| result.map(|(len, from)| read(&scratch[..len], from)).map_err(named));
    host.scratch.replace(scratch);
    shown
}

/// A target that makes no sense, as netstack has it.
fn check_target(peer: SocketAddr) -> Result<(), Error> {
    if peer.port() == 0 || peer.ip().is_unspecified() { Err(Error::InvalidInput) } else { Ok(()) }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UdpSocket({})", self.local_addr())
    }
}
