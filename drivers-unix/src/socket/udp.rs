//! Datagrams.

use super::{bind, canonical};
use crate::reactor::{Direction, Reactor, Source};
use mio::Interest;
use socket2::{Protocol, SockRef, Type};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A UDP socket.
pub struct UdpSocket {
    io: Source<mio::net::UdpSocket>,
    local: SocketAddr,
    peer: Cell<Option<SocketAddr>>,
}

impl UdpSocket {
    /// Binds to an address; port 0 is any that is free.
    pub fn bind(reactor: &Rc<Reactor>, address: SocketAddr) -> io::Result<Self> {
        let socket = bind(address, Type::DGRAM, Protocol::UDP)?;
        if address.is_ipv4() {
            socket.set_broadcast(true)?;
        }
        let std = std::net::UdpSocket::from(socket);
        let local = std.local_addr()?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let io = Source::new(reactor, mio::net::UdpSocket::from_std(std), interest)?;
        Ok(Self { io, local, peer: Cell::new(None) })
    }

    /// The address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Receives from `peer` only, from now on.
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.io.get().connect(self.in_family(peer))?;
        self.peer.set(Some(peer));
        Ok(())
    }

    /// The peer that it is connected to.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer.get()
    }

    /// Sends a datagram.
    pub fn poll_send_to(&self, cx: &Context<'_>, data: &[u8], peer: SocketAddr) -> Poll<io::Result<usize>> {
        let peer = self.in_family(peer);
        self.io.poll(Direction::Write, cx, |io| io.send_to(data, peer))
    }

    /// Receives a datagram. What does not fit into `buf` is lost.
    pub fn poll_recv_from(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let received = self.io.poll(Direction::Read, cx, |io| io.recv_from(buf));
        received.map_ok(|(len, from)| (len, canonical(from)))
    }

    /// Sends a datagram; `None`: there is no room now.
    pub fn try_send_to(&self, data: &[u8], peer: SocketAddr) -> Option<io::Result<usize>> {
        let peer = self.in_family(peer);
        self.io.attempt(Direction::Write, |io| io.send_to(data, peer))
    }

    /// Receives a datagram; `None`: there is none now. What does not fit into `buf` is lost.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> Option<io::Result<(usize, SocketAddr)>> {
        let received = self.io.attempt(Direction::Read, |io| io.recv_from(buf))?;
        Some(received.map(|(len, from)| (len, canonical(from))))
    }

    /// Limits what waits to be received, octets, as the kernel counts them.
    pub fn set_queue(&self, octets: usize) {
        let _ = SockRef::from(self.io.get()).set_recv_buffer_size(octets);
    }

    /// Datagrams dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        /// `SK_MEMINFO_DROPS` of `linux/sock_diag.h`, and how many figures there are.
        const DROPS: usize = 8;
        const FIGURES: usize = 9;
        let mut figures = [0u32; FIGURES];
        let mut len = size_of_val(&figures) as libc::socklen_t;
        // SAFETY: the descriptor is open as long as `self.io`; the kernel writes at most `len` octets to `figures`.
        let result = unsafe {
            libc::getsockopt(
                self.io.get().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                figures.as_mut_ptr().cast(),
                &mut len,
            )
        };
        if result == 0 { figures[DROPS].into() } else { 0 }
    }

    /// A socket of both families knows IPv4 peers by their address in IPv6.
    fn in_family(&self, peer: SocketAddr) -> SocketAddr {
        match peer.ip() {
            IpAddr::V4(address) if self.local.is_ipv6() => {
                SocketAddr::new(Ipv4Addr::to_ipv6_mapped(&address).into(), peer.port())
            }
            _ => peer,
        }
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UdpSocket({})", self.local)
    }
}
