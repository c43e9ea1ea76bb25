//! UDP: sockets found by port, with bounded queues.

mod socket;

pub use socket::UdpSocket;
pub(crate) use socket::write_header;

use crate::checksum::Sum;
use crate::dhcp;
use crate::error::Error;
use crate::icmp::{self, Unreachable};
use crate::interface::Iface;
use crate::ip::{self, Header};
use crate::stack::Core;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::{IpAddr, SocketAddr};
use fata_libos::time::Instant;
use smoltcp::wire::UdpPacket;
use socket::Bound;

/// A UDP header, octets.
pub(crate) const HEADER: usize = 8;
/// The port that a DHCP server's answers come to.
pub(crate) const DHCP_CLIENT: u16 = 68;

/// All sockets of a stack, in the order of their ports.
#[derive(Default)]
pub(crate) struct Table(RefCell<Vec<Rc<Bound>>>);

impl Table {
    /// The sockets on a port.
    fn on_port<R>(&self, port: u16, f: impl FnOnce(&[Rc<Bound>]) -> R) -> R {
        let table = self.0.borrow();
        let start = table.partition_point(|b| b.local.port() < port);
        let count = table[start..].partition_point(|b| b.local.port() == port);
        f(&table[start..start + count])
    }

    /// The socket that a datagram is for: one connected to its sender, else one bound to its address, else any.
    fn find(&self, local: SocketAddr, remote: SocketAddr, to_many: bool) -> Option<Rc<Bound>> {
        let fits = |b: &&Rc<Bound>| {
            let ip = b.local.ip();
            (ip.is_unspecified() || to_many || ip == local.ip()) && b.peer.get().is_none_or(|p| p == remote)
        };
        let rank = |b: &&Rc<Bound>| (b.peer.get().is_some(), !b.local.ip().is_unspecified());
        self.on_port(local.port(), |bound| bound.iter().filter(fits).max_by_key(rank).cloned())
    }

    fn is_free(&self, local: SocketAddr) -> bool {
        let clash = |b: &Rc<Bound>| {
            b.local.ip() == local.ip() || b.local.ip().is_unspecified() || local.ip().is_unspecified()
        };
        self.on_port(local.port(), |bound| !bound.iter().any(clash))
    }

    fn insert(&self, bound: Rc<Bound>) {
        let mut table = self.0.borrow_mut();
        let at = table.partition_point(|b| b.local.port() < bound.local.port());
        table.insert(at, bound);
    }

    fn remove(&self, bound: &Rc<Bound>) {
        self.0.borrow_mut().retain(|b| !Rc::ptr_eq(b, bound));
    }
}

/// Takes a datagram with its IP header.
pub(crate) fn receive(
    core: &Rc<Core>,
    iface: &Rc<Iface>,
    now: Instant,
    header: Header,
    packet: &[u8],
    header_len: usize,
) {
    let counters = &core.counters;
    let data = &packet[header_len..];
    let Ok(udp) = UdpPacket::new_checked(data) else { return counters.rx_bad.one() };
    let len = usize::from(udp.len());
    if len < HEADER || udp.dst_port() == 0 {
        return counters.rx_bad.one();
    }
    let sum = || Sum::default().pseudo_v4(header.source, header.destination, ip::UDP, len).data(&data[..len]);
    if !header.verified && udp.checksum() != 0 && !sum().is_valid() {
        return counters.rx_bad_checksum.one();
    }
    let payload = &data[HEADER..len];
    let remote = SocketAddr::new(IpAddr::V4(header.source), udp.src_port());
    let local = SocketAddr::new(IpAddr::V4(header.destination), udp.dst_port());
    if (local.port(), remote.port()) == (DHCP_CLIENT, dhcp::SERVER_PORT) {
        return iface.dhcp.push(payload);
    }
    if iface.net.get().is_none() {
        return counters.rx_not_ours.one();
    }
    match core.udp.find(local, remote, !header.is_unicast) {
        Some(bound) if bound.push(&core.memory, remote, payload) => counters.udp_received.one(),
        Some(_) => counters.udp_dropped.one(),
        None => {
            counters.udp_no_port.one();
            icmp::send_port_unreachable(core, iface, now, header, packet);
        }
    }
}

/// Takes an ICMP error about a datagram of ours: a connected socket is told.
pub(crate) fn unreachable(core: &Core, local: SocketAddr, remote: SocketAddr, what: Unreachable) {
    let found = core.udp.find(local, remote, false);
    if let Some(bound) = found.filter(|b| b.peer.get() == Some(remote)) {
        bound.fail(match what {
            Unreachable::Port => Error::ConnectionRefused,
            Unreachable::Host => Error::HostUnreachable,
            Unreachable::TooBig(_) => return,
        });
    }
}
