//! Sockets for datagrams.

use super::error::named;
use super::stack::Below;
use super::{Error, Stack};
use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use fata_unix::socket;

/// A UDP socket.
pub struct UdpSocket(Socket);

enum Socket {
    Netstack(fata_netstack::UdpSocket),
    Host(socket::UdpSocket),
}

impl UdpSocket {
    /// Binds to `address`; the unspecified address stands for all of this host, port 0 for any that is free.
    pub fn bind(stack: &Stack, address: SocketAddr) -> Result<Self, Error> {
        Ok(Self(match &stack.0 {
            Below::Netstack(stack) => Socket::Netstack(fata_netstack::UdpSocket::bind(stack, address)?),
            Below::Host(host) => {
                Socket::Host(socket::UdpSocket::bind(&host.reactor, address).map_err(named)?)
            }
        }))
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        match &self.0 {
            Socket::Netstack(socket) => socket.local_addr(),
            Socket::Host(socket) => socket.local_addr(),
        }
    }

    /// Sends to and receives from `peer` only, from now on; and is told when nothing listens there.
    pub fn connect(&self, peer: SocketAddr) -> Result<(), Error> {
        match &self.0 {
            Socket::Netstack(socket) => socket.connect(peer),
            Socket::Host(socket) => {
                check_target(peer)?;
                socket.connect(peer).map_err(named)
            }
        }
    }

    /// The peer that it is connected to.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match &self.0 {
            Socket::Netstack(socket) => socket.peer_addr(),
            Socket::Host(socket) => socket.peer_addr(),
        }
    }

    /// Sends a datagram to `peer`. Waits for room on the way out of this host; what becomes of it then is not known.
    pub async fn send_to(&self, data: &[u8], peer: SocketAddr) -> Result<usize, Error> {
        match &self.0 {
            Socket::Netstack(socket) => socket.send_to(data, peer).await,
            Socket::Host(socket) => {
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

    /// Waits for a datagram. What does not fit into `buf` is lost.
    pub async fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        poll_fn(|cx| self.poll_recv(cx, buf)).await
    }

    /// Waits for a datagram of the peer that the socket is connected to.
    pub async fn recv(&self, buf: &mut [u8]) -> Result<usize, Error> {
        Ok(self.recv_from(buf).await?.0)
    }

    /// Limits what waits to be received, octets; 256 KiB at first, less where memory is short. A datagram counts 64 octets
    /// more than its data; the host's kernel has a way of its own to count.
    pub fn set_queue(&self, octets: usize) {
        match &self.0 {
            Socket::Netstack(socket) => socket.set_queue(octets),
            Socket::Host(socket) => socket.set_queue(octets),
        }
    }

    /// Datagrams dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        match &self.0 {
            Socket::Netstack(socket) => socket.dropped(),
            Socket::Host(socket) => socket.dropped(),
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
            Socket::Host(socket) => socket.poll_recv_from(cx, buf).map_err(named),
        }
    }
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
