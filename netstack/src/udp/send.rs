//! Datagrams out of sockets, written into the device's own buffer where it has room.

use super::{HEADER, UdpSocket};
use crate::error::Error;
use crate::interface::Iface;
use crate::ip::{self, Datagram, MAX_PACKET};
use crate::stack::{Route, canonical};
use alloc::rc::Rc;
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::Poll;
use fata_libos::time::Instant;
use smoltcp::wire::UdpPacket;

/// Why not all of many datagrams were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}, after {sent} datagrams were sent")]
pub struct SendManyError {
    /// How many were.
    pub sent: usize,
    /// What was wrong with the next one, which is lost.
    #[source]
    pub error: Error,
}

impl From<SendManyError> for Error {
    fn from(error: SendManyError) -> Self {
        error.error
    }
}

/// What became of a datagram.
enum Offer {
    /// It is on its way, or dropped as datagrams are.
    Taken,
    /// There is no room on the way out by this interface.
    NoRoom(Rc<Iface>),
}

impl UdpSocket {
    /// Sends a datagram to `peer`. Waits for room on the way out of this host; what becomes of it then is not known.
    pub async fn send_to(&self, data: &[u8], peer: SocketAddr) -> Result<usize, Error> {
        self.wait_and_offer(data.len(), peer, &mut |buf| buf.copy_from_slice(data)).await?;
        Ok(data.len())
    }

    /// Sends a datagram to the peer that the socket is connected to.
    pub async fn send(&self, data: &[u8]) -> Result<usize, Error> {
        let peer = self.bound.peer.get().ok_or(Error::NotConnected)?;
        self.send_to(data, peer).await
    }

    /// Sends a datagram of `len` octets, zeros that `write` changes, to `peer`: in the device's own buffer where it has room and
    /// the datagram fits into one packet. `write` is called once, or not at all where the datagram is dropped on its way.
    pub async fn send_with(
        &self,
        len: usize,
        peer: SocketAddr,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<(), Error> {
        let mut write = Some(write);
        self.wait_and_offer(len, peer, &mut |buf| zeroed_with(buf, &mut write)).await
    }

    /// Sends many datagrams, one behind the other: the device hears of a burst of them once, and the way to a peer is looked up once
    /// for those that follow each other. Waits for room where it has to. The number sent; ends at the first that cannot be.
    pub async fn send_many<D: AsRef<[u8]>>(
        &self,
        datagrams: impl IntoIterator<Item = (D, SocketAddr)>,
    ) -> Result<usize, SendManyError> {
        let (mut sent, mut way) = (0, None);
        for (data, peer) in datagrams {
            let data = data.as_ref();
            let offered = self.offer_by(&mut way, data.len(), peer, &mut |buf| buf.copy_from_slice(data));
            if let Ok(Offer::NoRoom(_)) = offered {
                // Who waits may find another way then.
                way = None;
                self.send_to(data, peer).await.map_err(|error| SendManyError { sent, error })?;
            } else {
                offered.map_err(|error| SendManyError { sent, error })?;
            }
            sent += 1;
        }
        Ok(sent)
    }

    /// As [`send_to`](Self::send_to); `None`: there is no room now.
    pub fn try_send_to(&self, data: &[u8], peer: SocketAddr) -> Result<Option<usize>, Error> {
        let offer = self.offer(data.len(), peer, &mut |buf| buf.copy_from_slice(data))?;
        Ok(matches!(offer, Offer::Taken).then_some(data.len()))
    }

    /// As [`send_with`](Self::send_with); `None`: there is no room now.
    pub fn try_send_with(
        &self,
        len: usize,
        peer: SocketAddr,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<Option<()>, Error> {
        let mut write = Some(write);
        let offer = self.offer(len, peer, &mut |buf| zeroed_with(buf, &mut write))?;
        Ok(matches!(offer, Offer::Taken).then_some(()))
    }

    async fn wait_and_offer(
        &self,
        len: usize,
        peer: SocketAddr,
        write: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), Error> {
        poll_fn(|cx| match self.offer(len, peer, write)? {
            Offer::Taken => Poll::Ready(Ok(())),
            Offer::NoRoom(iface) => {
                iface.room.register(cx);
                Poll::Pending
            }
        })
        .await
    }

    fn offer(&self, len: usize, peer: SocketAddr, write: &mut dyn FnMut(&mut [u8])) -> Result<Offer, Error> {
        self.offer_by(&mut None, len, peer, write)
    }

    /// As [`offer`](Self::offer), by the way to that peer if it is known; else notes it.
    fn offer_by(
        &self,
        known: &mut Option<(SocketAddr, Route)>,
        len: usize,
        peer: SocketAddr,
        write: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Offer, Error> {
        let peer = target(peer)?;
        if len > MAX_PACKET - ip::HEADER - HEADER {
            return Err(Error::MessageTooLong);
        }
        if self.bound.local.is_ipv4() && peer.is_ipv6() {
            return Err(Error::Unsupported);
        }
        if known.as_ref().is_none_or(|(to, _)| *to != peer) {
            *known = Some((peer, self.route(peer)?));
        }
        let Some((_, Route { iface, way })) = known else { return Err(Error::NetworkUnreachable) };
        if !iface.link.borrow().has_queue_room() {
            return Ok(Offer::NoRoom(iface.clone()));
        }
        let fill = &mut |datagram: &mut [u8]| {
            write_header(datagram, self.bound.local.port(), peer.port());
            write(&mut datagram[HEADER..]);
        };
        let datagram = Datagram { now: Instant::recent(), way: *way, protocol: ip::UDP, len: HEADER + len };
        ip::send_datagram(iface, &self.core.counters, datagram, fill);
        iface.work.kick();
        Ok(Offer::Taken)
    }

    /// The way to a peer.
    fn route(&self, peer: SocketAddr) -> Result<Route, Error> {
        let from = Some(self.bound.local.ip()).filter(|own| match own {
            IpAddr::V4(own) => !own.is_unspecified() && !own.is_broadcast(),
            IpAddr::V6(own) => !own.is_unspecified(),
        });
        self.core.route(peer, from).ok_or(Error::NetworkUnreachable)
    }
}

/// What a device's buffer had in it before is nobody's to see.
fn zeroed_with(buf: &mut [u8], write: &mut Option<impl FnOnce(&mut [u8])>) {
    buf.fill(0);
    if let Some(write) = write.take() {
        write(buf);
    }
}

/// The address of a peer, if it can be one.
pub(super) fn target(peer: SocketAddr) -> Result<SocketAddr, Error> {
    if peer.port() == 0 || peer.ip().is_unspecified() {
        return Err(Error::InvalidInput);
    }
    Ok(canonical(peer))
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
