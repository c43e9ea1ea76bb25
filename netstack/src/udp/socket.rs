//! Sockets for datagrams: binding and receiving; [`send`](super::send) has the rest.

use super::queue::Bound;
use crate::error::Error;
use crate::port;
use crate::stack::{Core, Stack};
use alloc::rc::Rc;
use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};

/// A UDP socket.
///
/// What waits to be received is bounded in octets and in datagrams ([`set_queue`](Self::set_queue),
/// [`set_queue_datagrams`](Self::set_queue_datagrams)), and by the memory of the stack; what does not fit is dropped and
/// counted. Datagrams can be read where they lie ([`recv_with`](Self::recv_with), [`recv_many`](Self::recv_many)) and
/// written where the device takes them from ([`send_with`](Self::send_with), [`send_many`](Self::send_many)).
pub struct UdpSocket {
    pub(super) core: Rc<Core>,
    pub(super) bound: Rc<Bound>,
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
        let bound = Rc::new(Bound::new(local));
        core.udp.insert(bound.clone())?;
        Ok(Self { core, bound })
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.bound.local
    }

    /// Sends to and receives from `peer` only, from now on; and is told when nothing listens there.
    pub fn connect(&self, peer: SocketAddr) -> Result<(), Error> {
        self.bound.peer.set(Some(super::send::target(peer)?));
        self.bound.error.set(None);
        Ok(())
    }

    /// The peer that it is connected to.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.bound.peer.get()
    }

    /// Waits for a datagram. What does not fit into `buf` is lost.
    pub async fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        poll_fn(|cx| self.poll_recv(cx, buf)).await
    }

    /// Waits for a datagram of the peer that the socket is connected to.
    pub async fn recv(&self, buf: &mut [u8]) -> Result<usize, Error> {
        Ok(self.recv_from(buf).await?.0)
    }

    /// Waits for a datagram and shows it to `read` where it lies in the queue: none of it is lost, and the copy that
    /// [`recv_from`](Self::recv_from) makes is saved. One has been made, out of memory that the other side can write, and for a
    /// datagram that is short, in fragments, or has a checksum to be verified, a second one. `read` may receive what else has come;
    /// what comes before it returns is dropped.
    pub async fn recv_with<R>(&self, read: impl FnOnce(&[u8], SocketAddr) -> R) -> Result<R, Error> {
        let mut read = Some(read);
        poll_fn(|cx| self.poll_with(cx, &mut read)).await
    }

    /// Waits for a datagram and shows it to `read`, and after it all that came with it, `limit` at most, one at least. The number of them.
    pub async fn recv_many(
        &self,
        limit: usize,
        mut read: impl FnMut(&[u8], SocketAddr),
    ) -> Result<usize, Error> {
        self.recv_with(&mut read).await?;
        let mut count = 1;
        while count < limit && self.bound.pop(&mut read).is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// The datagram that has come, as [`recv_from`](Self::recv_from) has it; `None`: there is none now.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> Result<Option<(usize, SocketAddr)>, Error> {
        self.try_recv_with(|data, from| (put(buf, data), from))
    }

    /// Shows the datagram that has come to `read`; `None`: there is none now.
    pub fn try_recv_with<R>(&self, read: impl FnOnce(&[u8], SocketAddr) -> R) -> Result<Option<R>, Error> {
        self.bound.error.take().map_or_else(|| Ok(self.bound.pop(read)), Err)
    }

    /// See [`recv_from`](Self::recv_from).
    pub fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<(usize, SocketAddr), Error>> {
        self.poll_with(cx, &mut Some(|data: &[u8], from| (put(buf, data), from)))
    }

    /// Limits what waits to be received, octets; 256 KiB at first, less where memory is short. A datagram counts 64 octets more than its data.
    pub fn set_queue(&self, octets: usize) {
        self.bound.max_octets.set(octets);
    }

    /// Limits what waits to be received, datagrams; 4096 at first.
    pub fn set_queue_datagrams(&self, datagrams: usize) {
        self.bound.max_datagrams.set(datagrams);
    }

    /// Datagrams dropped because the queue was full or memory short.
    pub fn dropped(&self) -> u64 {
        self.bound.dropped.get()
    }

    /// Shows the next datagram to what is in `read`, which is there until there is one.
    fn poll_with<R>(
        &self,
        cx: &mut Context<'_>,
        read: &mut Option<impl FnOnce(&[u8], SocketAddr) -> R>,
    ) -> Poll<Result<R, Error>> {
        let shown = self.try_recv_with(|data, from| read.take().map(|read| read(data, from)));
        match shown.map(Option::flatten).transpose() {
            Some(next) => Poll::Ready(next),
            None => {
                self.bound.readers.register(cx);
                Poll::Pending
            }
        }
    }
}

/// What fits.
fn put(buf: &mut [u8], data: &[u8]) -> usize {
    let len = data.len().min(buf.len());
    buf[..len].copy_from_slice(&data[..len]);
    len
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
