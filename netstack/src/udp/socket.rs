//! Sockets for datagrams.

use super::HEADER;
use crate::error::Error;
use crate::ip::{self, MAX_PACKET};
use crate::memory::{Memory, Share, Use, zeroed};
use crate::port;
use crate::stack::{Core, Stack};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::{Context, Poll};
use fata_libos::task::WakerSet;
use fata_libos::time::Instant;
use smoltcp::wire::UdpPacket;

/// What a socket's queue holds at most, octets, each datagram counted with [`OVERHEAD`].
const QUEUE: usize = 256 << 10;
/// What a datagram costs beside its data.
const OVERHEAD: usize = 64;
/// What it takes of the memory beside its data: the queue may have twice the places that it needs.
const COST: usize = 192;
/// Places that an empty queue keeps.
const KEPT: usize = 16;

/// A datagram that waits.
struct Datagram {
    from: SocketAddr,
    data: Vec<u8>,
    _share: Share,
}

/// What the table knows of a socket.
pub(crate) struct Bound {
    pub(crate) local: SocketAddr,
    pub(crate) peer: Cell<Option<SocketAddr>>,
    queue: RefCell<VecDeque<Datagram>>,
    octets: Cell<usize>,
    limit: Cell<usize>,
    dropped: Cell<u64>,
    error: Cell<Option<Error>>,
    readers: WakerSet,
}

impl Bound {
    /// Queues a datagram; false where there is no room.
    pub(crate) fn push(&self, memory: &Rc<Memory>, from: SocketAddr, data: &[u8]) -> bool {
        let pushed = self.try_push(memory, from, data).is_some();
        if pushed {
            self.readers.wake_all();
        } else {
            self.dropped.set(self.dropped.get() + 1);
        }
        pushed
    }

    fn try_push(&self, memory: &Rc<Memory>, from: SocketAddr, data: &[u8]) -> Option<()> {
        let octets = self.octets.get() + data.len() + OVERHEAD;
        if octets > self.limit.get() {
            return None;
        }
        let mut queue = self.queue.borrow_mut();
        let share = memory.take(Use::Datagrams, data.len() + COST)?;
        queue.try_reserve(1).ok()?;
        let mut copy = zeroed(data.len())?;
        copy.copy_from_slice(data);
        queue.push_back(Datagram { from, data: copy, _share: share });
        self.octets.set(octets);
        Some(())
    }

    pub(crate) fn fail(&self, error: Error) {
        self.error.set(Some(error));
        self.readers.wake_all();
    }

    fn pop(&self) -> Option<Datagram> {
        let mut queue = self.queue.borrow_mut();
        let datagram = queue.pop_front()?;
        if queue.is_empty() {
            queue.shrink_to(KEPT);
        }
        self.octets.set(self.octets.get() - datagram.data.len() - OVERHEAD);
        Some(datagram)
    }
}

/// A UDP socket.
pub struct UdpSocket {
    core: Rc<Core>,
    bound: Rc<Bound>,
}

impl UdpSocket {
    /// Binds to `address`; the unspecified address stands for all of this host, port 0 for any that is free.
    pub fn bind(stack: &Stack, address: SocketAddr) -> Result<Self, Error> {
        let core = stack.0.clone();
        core.check_local(address.ip())?;
        let at = |port| SocketAddr::new(address.ip(), port);
        let local = match address.port() {
            0 => at(port::ephemeral(|port| core.udp.is_free(at(port))).ok_or(Error::AddrInUse)?),
            _ if core.udp.is_free(address) => address,
            _ => return Err(Error::AddrInUse),
        };
        let bound = Rc::new(Bound {
            local,
            peer: Cell::new(None),
            queue: RefCell::default(),
            octets: Cell::new(0),
            limit: Cell::new(QUEUE),
            dropped: Cell::new(0),
            error: Cell::new(None),
            readers: WakerSet::new(),
        });
        core.udp.insert(bound.clone());
        Ok(Self { core, bound })
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.bound.local
    }

    /// Sends to and receives from `peer` only, from now on; and is told when nothing listens there.
    pub fn connect(&self, peer: SocketAddr) -> Result<(), Error> {
        self.target(peer)?;
        self.bound.peer.set(Some(peer));
        self.bound.error.set(None);
        Ok(())
    }

    /// The peer that it is connected to.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.bound.peer.get()
    }

    /// Sends a datagram to `peer`. Waits for room on the way out of this host; what becomes of it then is not known.
    pub async fn send_to(&self, data: &[u8], peer: SocketAddr) -> Result<usize, Error> {
        poll_fn(|cx| self.poll_send(cx, data, peer)).await
    }

    /// Sends a datagram to the peer that the socket is connected to.
    pub async fn send(&self, data: &[u8]) -> Result<usize, Error> {
        let peer = self.bound.peer.get().ok_or(Error::NotConnected)?;
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

    /// Limits what waits to be received, octets; 256 KiB at first, less where memory is short. A datagram counts 64 octets more than its data.
    pub fn set_queue(&self, octets: usize) {
        self.bound.limit.set(octets);
    }

    /// Datagrams dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.bound.dropped.get()
    }

    /// See [`recv_from`](Self::recv_from).
    pub fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<(usize, SocketAddr), Error>> {
        if let Some(error) = self.bound.error.take() {
            return Poll::Ready(Err(error));
        }
        let Some(Datagram { from, data, .. }) = self.bound.pop() else {
            self.bound.readers.register(cx);
            return Poll::Pending;
        };
        let len = data.len().min(buf.len());
        buf[..len].copy_from_slice(&data[..len]);
        Poll::Ready(Ok((len, from)))
    }

    fn target(&self, peer: SocketAddr) -> Result<Ipv4Addr, Error> {
        match peer.ip() {
            _ if peer.port() == 0 => Err(Error::InvalidInput),
            IpAddr::V4(to) if to.is_unspecified() => Err(Error::InvalidInput),
            IpAddr::V4(to) => Ok(to),
            IpAddr::V6(_) => Err(Error::Unsupported),
        }
    }

    fn poll_send(&self, cx: &mut Context<'_>, data: &[u8], peer: SocketAddr) -> Poll<Result<usize, Error>> {
        let to = self.target(peer)?;
        if data.len() > MAX_PACKET - ip::HEADER - HEADER {
            return Poll::Ready(Err(Error::MessageTooLong));
        }
        let from = match self.bound.local.ip() {
            IpAddr::V4(own) if !own.is_unspecified() && !own.is_broadcast() => Some(own),
            _ => None,
        };
        let route = self.core.route(to, from).ok_or(Error::NetworkUnreachable)?;
        let iface = route.iface;
        if !iface.link.borrow().has_queue_room() {
            iface.room.register(cx);
            return Poll::Pending;
        }
        let fill = &mut |datagram: &mut [u8]| {
            write_header(datagram, self.bound.local.port(), peer.port());
            datagram[HEADER..].copy_from_slice(data);
        };
        let (counters, len) = (&self.core.counters, HEADER + data.len());
        let own = route.net.address;
        ip::send_datagram(&iface, counters, Instant::recent(), own, (to, route.hop), ip::UDP, len, fill);
        iface.work.kick();
        Poll::Ready(Ok(data.len()))
    }
}

/// Writes the header of a datagram that fills the buffer; the checksum is left to the layers below.
pub(crate) fn write_header(datagram: &mut [u8], from: u16, to: u16) {
    let len = datagram.len() as u16;
    let mut udp = UdpPacket::new_unchecked(datagram);
    udp.set_src_port(from);
    udp.set_dst_port(to);
    udp.set_len(len);
    udp.set_checksum(0);
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.core.udp.remove(&self.bound);
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UdpSocket({})", self.bound.local)
    }
}
