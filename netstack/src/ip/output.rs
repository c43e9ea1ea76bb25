//! IP packets out, cut into fragments where the link asks for it.

use super::{HEADER, MAX_PACKET, Way, header_len};
use crate::checksum::Sum;
use crate::interface::Iface;
use crate::ip6;
use crate::link::{Carries, Send};
use crate::memory::zeroed;
use crate::stats::Counters;
use crate::traffic::{Lost, Protocol};
use crate::version::in_use;
use core::net::{IpAddr, Ipv4Addr};
use fata_libos::time::Instant;
use smoltcp::wire::Ipv4Packet;

/// The time to live, or hop limit, of what we send.
const TTL: u8 = 64;

/// How a packet may be cut up.
#[derive(Clone, Copy, Default)]
struct Cut {
    ident: u16,
    offset: u16,
    more: bool,
    dont: bool,
    ect: bool,
}

/// Writes the header of a packet that must not be cut up into its first octets; the packet's length is the buffer's. `ect`:
/// the ends of the transport understand marks of congestion (RFC 3168, 5).
pub(crate) fn write_header(packet: &mut [u8], source: IpAddr, destination: IpAddr, protocol: u8, ect: bool) {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            write(packet, source, destination, protocol, Cut { dont: true, ect, ..Cut::default() });
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) if in_use() => {
            ip6::headers::write(packet, source, destination, protocol, TTL, ect);
        }
        // No way leads from one version to the other.
        _ => {}
    }
}

fn write(packet: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, cut: Cut) {
    let len = packet.len() as u16;
    let mut ip = Ipv4Packet::new_unchecked(&mut *packet);
    ip.set_version(4);
    ip.set_header_len(HEADER as u8);
    ip.set_dscp(0);
    ip.set_ecn(if cut.ect { 2 } else { 0 });
    ip.set_total_len(len);
    ip.set_ident(cut.ident);
    ip.clear_flags();
    ip.set_more_frags(cut.more);
    ip.set_dont_frag(cut.dont);
    ip.set_frag_offset(cut.offset);
    ip.set_hop_limit(TTL);
    ip.set_next_header(protocol.into());
    ip.set_src_addr(source);
    ip.set_dst_addr(destination);
    ip.set_checksum(0);
    let sum = Sum::default().data(&packet[..HEADER]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// A datagram to be sent.
#[derive(Clone, Copy)]
pub(crate) struct Datagram {
    pub(crate) now: Instant,
    pub(crate) way: Way,
    /// What it is: UDP's checksum is completed here.
    pub(crate) protocol: u8,
    /// Octets, without IP's headers.
    pub(crate) len: usize,
}

/// Sends a datagram over IP, written by `fill`, in fragments where it is longer than the link, or the way, takes. Where it
/// does not fit into a packet it is dropped.
pub(crate) fn send_datagram(
    iface: &Iface,
    counters: &Counters,
    datagram: Datagram,
    fill: &mut dyn FnMut(&mut [u8]),
) {
    let Datagram { now, way, protocol, len } = datagram;
    let is_udp = protocol == super::UDP;
    let carries = if is_udp { Carries::Udp } else { Carries::Other };
    let lost = |what| iface.traffic.lost(counters, what);
    iface.traffic.sent(if is_udp { Protocol::Udp } else { Protocol::Icmp });
    let (Way { own, to, hop }, header) = (way, header_len(way.to));
    let mtu = iface.mtu_to(to);
    if header + len <= mtu {
        let send = Send { now, own, hop, len: header + len, carries, segment_size: 0 };
        return iface.link.borrow_mut().send(send, counters, &mut |packet| {
            write_header(packet, own, to, protocol, false);
            fill(&mut packet[header..]);
        });
    }
    if HEADER + len > MAX_PACKET {
        return lost(Lost::IpTooLong);
    }
    let Some(mut whole) = zeroed(len) else { return lost(Lost::IpNoMemory) };
    fill(&mut whole);
    if carries == Carries::Udp {
        complete_udp(&mut whole, own, to);
    }
    match (own, to, iface.inet6()) {
        (IpAddr::V4(own), IpAddr::V4(to), _) => {
            send_fragments(iface, counters, datagram, (own, to), &whole, mtu)
        }
        (.., Some(inet6)) => inet6.send_fragments(iface, counters, datagram, &whole, mtu),
        _ => {}
    }
}

fn send_fragments(
    iface: &Iface,
    counters: &Counters,
    datagram: Datagram,
    (source, destination): (Ipv4Addr, Ipv4Addr),
    whole: &[u8],
    mtu: usize,
) {
    let Datagram { now, way: Way { own, hop, .. }, protocol, len } = datagram;
    let ident = iface.next_ident();
    let step = (mtu - HEADER) & !7;
    let mut link = iface.link.borrow_mut();
    for (n, part) in whole.chunks(step).enumerate() {
        let more = (n + 1) * step < len;
        let cut = Cut { ident, offset: (n * step) as u16, more, ..Cut::default() };
        let len = HEADER + part.len();
        let send = Send { now, own, hop, len, carries: Carries::Other, segment_size: 0 };
        link.send(send, counters, &mut |packet| {
            packet[HEADER..].copy_from_slice(part);
            write(packet, source, destination, protocol, cut);
        });
    }
}

fn complete_udp(datagram: &mut [u8], source: IpAddr, destination: IpAddr) {
    datagram[6..8].fill(0);
    let sum = Sum::default().pseudo(source, destination, super::UDP, datagram.len()).data(datagram);
    let sum = match sum.finish() {
        0 => 0xffff,
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
}
