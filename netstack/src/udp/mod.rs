//! UDP: sockets found by port ([`table`]), with bounded queues ([`queue`]) of datagrams behind each other ([`ring`]).

mod queue;
mod ring;
mod send;
mod slot;
mod socket;
mod table;

pub use send::SendManyError;
pub(crate) use send::write_header;
pub(crate) use slot::Slot;
use slot::Sockets;
pub use socket::UdpSocket;

use crate::checksum::Sum;
use crate::data::Data;
use crate::dhcp;
use crate::error::Error;
use crate::icmp::Unreachable;
use crate::interface::Iface;
use crate::ip::{self, Header};
use crate::stack::Core;
use crate::traffic::{Lost, Protocol};
use crate::version::of6;
use alloc::rc::Rc;
use core::net::SocketAddr;
use fata_libos::time::Instant;
use smoltcp::wire::UdpPacket;

/// A UDP header, octets.
pub(crate) const HEADER: usize = 8;
/// The port that a DHCP server's answers come to.
pub(crate) const DHCP_CLIENT: u16 = 68;

/// Takes a datagram with its IP header.
pub(crate) fn receive(
    core: &Rc<Core>,
    iface: &Rc<Iface>,
    now: Instant,
    header: Header,
    packet: &[u8],
    header_len: usize,
) {
    let lost = |what| iface.traffic.lost(&core.counters, what);
    iface.traffic.received(Protocol::Udp);
    let data = &packet[header_len..];
    let Ok(udp) = UdpPacket::new_checked(data) else { return lost(Lost::UdpMalformed) };
    let len = usize::from(udp.len());
    if len < HEADER || udp.dst_port() == 0 {
        return lost(Lost::UdpMalformed);
    }
    let sum = || Sum::default().pseudo(header.source, header.destination, ip::UDP, len).data(&data[..len]);
    // RFC 8200, 8.1: over IPv6 there has to be one.
    let is_v4 = of6(header.source).is_none();
    let has_none = udp.checksum() == 0 && is_v4;
    if !header.verified && !has_none && !sum().is_valid() {
        return lost(Lost::UdpChecksum);
    }
    let payload = &data[HEADER..len];
    let remote = iface.scoped(SocketAddr::new(header.source, udp.src_port()));
    let local = SocketAddr::new(header.destination, udp.dst_port());
    if (local.port(), remote.port()) == (DHCP_CLIENT, dhcp::SERVER_PORT) && is_v4 {
        return iface.dhcp.push(payload);
    }
    if iface.net.get().is_none() && is_v4 {
        return lost(Lost::IpNotOurs);
    }
    let received = core.udp.in_use().map_or(Err(Lost::UdpNoPort), |sockets| {
        let data = Data::new(&payload, 0, payload.len());
        sockets.receive(&core.memory, local, remote, !header.is_unicast, data)
    });
    match received {
        Ok(()) => core.counters.udp_received.one(),
        Err(what) => lost(what),
    }
    if received == Err(Lost::UdpNoPort) {
        ip::unreachable_port(core, iface, now, header, packet);
    }
}

/// Takes a datagram that is still in the frame which brought it, whose checksum is good and whose first octets are in `head`:
/// its data is copied to its place in the socket and nowhere else. False, and nothing has come of it, if it is for no socket, or
/// anything is strange about it: then it has to come whole.
fn take(
    sockets: &dyn Sockets,
    core: &Core,
    iface: &Iface,
    header: Header,
    head: &[u8],
    datagram: Data<'_>,
) -> bool {
    let Some(&[s1, s0, d1, d0, l1, l0, ..]) = head.first_chunk::<HEADER>() else { return false };
    let word = |high, low| u16::from_be_bytes([high, low]);
    let (from, to, len) = (word(s1, s0), word(d1, d0), usize::from(word(l1, l0)));
    if !(HEADER..=datagram.len()).contains(&len) || to == 0 || to == DHCP_CLIENT {
        return false;
    }
    let remote = iface.scoped(SocketAddr::new(header.source, from));
    let local = SocketAddr::new(header.destination, to);
    let (_, data) = datagram.split_at(len).0.split_at(HEADER);
    let is_v4 = of6(header.source).is_none();
    if iface.net.get().is_none() && is_v4 {
        return false;
    }
    match sockets.receive(&core.memory, local, remote, !header.is_unicast, data) {
        Ok(()) => core.counters.udp_received.one(),
        Err(Lost::UdpNoPort) => return false,
        Err(what) => iface.traffic.lost(&core.counters, what),
    }
    true
}

/// Takes an ICMP error about a datagram of ours: a connected socket is told.
pub(crate) fn unreachable(core: &Core, local: SocketAddr, remote: SocketAddr, what: Unreachable) {
    let Some(sockets) = core.udp.in_use() else { return };
    sockets.unreachable(
        local,
        remote,
        match what {
            Unreachable::Port => Error::ConnectionRefused,
            Unreachable::Host => Error::HostUnreachable,
            Unreachable::TooBig(_) => return,
        },
    );
}
