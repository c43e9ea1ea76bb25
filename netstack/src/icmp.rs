//! ICMP of IPv4: echo requests are answered, errors about what we sent reach the socket, errors we send are rationed.

use crate::checksum::Sum;
use crate::interface::Iface;
use crate::ip::{self, Datagram, Header};
use crate::stack::Core;
use crate::traffic::{Lost, Protocol};
use crate::udp;
use alloc::rc::Rc;
use core::cell::Cell;
use core::net::{IpAddr, SocketAddr};
use fata_libos::time::{Duration, Instant};
use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, Ipv4Packet};

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// Nothing listens there.
    Port,
    /// No way leads there.
    Host,
    /// A link on the way takes IP packets of so many octets only (RFC 1191, 4; RFC 8201, 4).
    TooBig(u16),
}

/// The code of a destination-unreachable message: port.
const PORT_UNREACHABLE: u8 = 3;
/// Octets of an ICMP header.
const HEADER: usize = 8;
/// Octets of a packet that an error quotes beyond its header, so that the error stays below 576 octets (RFC 1812, 4.3.2.3).
const QUOTE: usize = 576 - ip::HEADER - HEADER;

/// So many errors at once, refilled at that rate.
const BURST: u32 = 50;
const REFILL: Duration = Duration::from_millis(10);

/// A ration of messages.
pub(crate) struct Ration {
    left: Cell<u32>,
    filled: Cell<Instant>,
}

impl Default for Ration {
    fn default() -> Self {
        Self { left: Cell::new(BURST), filled: Cell::new(Instant::default()) }
    }
}

impl Ration {
    pub(crate) fn take(&self, now: Instant) -> bool {
        let new = now.duration_since(self.filled.get()).as_nanos() / REFILL.as_nanos();
        if new > 0 {
            self.filled.set(now);
            self.left.set(u32::try_from(new).map_or(BURST, |n| self.left.get().saturating_add(n).min(BURST)));
        }
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }
}

/// Takes a message, without its IP header.
pub(crate) fn receive(core: &Rc<Core>, iface: &Rc<Iface>, now: Instant, header: Header, message: &[u8]) {
    let lost = |what| iface.traffic.lost(&core.counters, what);
    iface.traffic.received(Protocol::Icmp);
    let Ok(icmp) = Icmpv4Packet::new_checked(message) else { return lost(Lost::IcmpMalformed) };
    if !Sum::default().data(message).is_valid() {
        return lost(Lost::IcmpChecksum);
    }
    match (icmp.msg_type(), icmp.msg_code()) {
        (Icmpv4Message::EchoRequest, 0) if header.is_unicast => echo(core, iface, now, header, message),
        (Icmpv4Message::DstUnreachable, code) => unreachable(core, iface, code, message),
        _ => {}
    }
}

fn echo(core: &Rc<Core>, iface: &Rc<Iface>, now: Instant, header: Header, message: &[u8]) {
    let Some(way) = iface.way(header.source, Some(header.destination)) else { return };
    core.counters.icmp_echoes.one();
    let fill = &mut |reply: &mut [u8]| {
        reply.copy_from_slice(message);
        finish(reply, 0, 0);
    };
    let datagram = Datagram { now, way, protocol: ip::ICMP, len: message.len() };
    ip::send_datagram(iface, &core.counters, datagram, fill);
}

/// Sets type, code and checksum.
fn finish(message: &mut [u8], kind: u8, code: u8) {
    message[..4].copy_from_slice(&[kind, code, 0, 0]);
    let sum = Sum::default().data(message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
}

/// Tells the sender of `packet` that nothing listens on its port.
pub(crate) fn send_port_unreachable(
    core: &Rc<Core>,
    iface: &Rc<Iface>,
    now: Instant,
    header: Header,
    packet: &[u8],
) {
    let Some(way) = iface.way(header.source, Some(header.destination)) else { return };
    let quote = &packet[..packet.len().min(QUOTE)];
    let fill = &mut |message: &mut [u8]| {
        message[..HEADER].fill(0);
        message[HEADER..].copy_from_slice(quote);
        finish(message, Icmpv4Message::DstUnreachable.into(), PORT_UNREACHABLE);
    };
    let datagram = Datagram { now, way, protocol: ip::ICMP, len: HEADER + quote.len() };
    ip::send_datagram(iface, &core.counters, datagram, fill);
}

/// Takes an error about a packet of ours, of which it quotes the beginning.
fn unreachable(core: &Rc<Core>, iface: &Iface, code: u8, message: &[u8]) {
    // RFC 1191, 4: the last two octets of the header.
    let (mtu, quote) = (&message[HEADER - 2..HEADER], &message[HEADER..]);
    let what = match code {
        4 => Unreachable::TooBig(u16::from_be_bytes([mtu[0], mtu[1]])),
        0 | 1 | 5..=13 => Unreachable::Host,
        2 | 3 => Unreachable::Port,
        _ => return,
    };
    // The quote is cut short, so that its own length field cannot be held against it.
    if quote.len() < ip::HEADER {
        return iface.traffic.lost(&core.counters, Lost::IcmpMalformed);
    }
    let ip = Ipv4Packet::new_unchecked(quote);
    let header_len = usize::from(ip.header_len());
    let Some(&[a, b, c, d, e, f, g, h]) = quote.get(header_len..).and_then(|rest| rest.first_chunk()) else {
        return iface.traffic.lost(&core.counters, Lost::IcmpMalformed);
    };
    let local = SocketAddr::new(IpAddr::V4(ip.src_addr()), u16::from_be_bytes([a, b]));
    let remote = SocketAddr::new(IpAddr::V4(ip.dst_addr()), u16::from_be_bytes([c, d]));
    tell(core, ip.next_header().into(), local, remote, u32::from_be_bytes([e, f, g, h]), what);
}

/// Tells a transport what became of a packet of ours, which began with the number `seq` if it was TCP's.
pub(crate) fn tell(
    core: &Core,
    protocol: u8,
    local: SocketAddr,
    remote: SocketAddr,
    seq: u32,
    what: Unreachable,
) {
    match protocol {
        ip::TCP => {
            if let Some(tcp) = core.tcp.in_use() {
                tcp.unreachable(core, local, remote, seq, what);
            }
        }
        ip::UDP => udp::unreachable(core, local, remote, what),
        _ => {}
    }
}
