//! IPv4 packets out, cut into fragments where the link asks for it.

use super::{HEADER, MAX_PACKET};
use crate::checksum::Sum;
use crate::interface::Iface;
use crate::link::{Carries, Hop, Send};
use crate::memory::zeroed;
use crate::stats::Counters;
use crate::traffic::{Lost, Protocol};
use core::net::Ipv4Addr;
use fata_libos::time::Instant;
use smoltcp::wire::Ipv4Packet;

/// The time to live of what we send.
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
pub(crate) fn write_header(
    packet: &mut [u8],
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    ect: bool,
) {
    write(packet, source, destination, protocol, Cut { dont: true, ect, ..Cut::default() });
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

/// Sends a datagram of `len` octets over IP, written by `fill`, in fragments where it is longer than the link takes.
/// The UDP checksum is completed here. Where it does not fit into an IPv4 packet it is dropped.
#[allow(clippy::too_many_arguments)]
pub(crate) fn send_datagram(
    iface: &Iface,
    counters: &Counters,
    now: Instant,
    source: Ipv4Addr,
    (destination, hop): (Ipv4Addr, Hop),
    protocol: u8,
    len: usize,
    fill: &mut dyn FnMut(&mut [u8]),
) {
    let is_udp = protocol == super::UDP;
    let carries = if is_udp { Carries::Udp } else { Carries::Other };
    let lost = |what| iface.traffic.lost(counters, what);
    iface.traffic.sent(if is_udp { Protocol::Udp } else { Protocol::Icmp });
    let mut link = iface.link.borrow_mut();
    let mtu = link.mtu();
    if HEADER + len <= mtu {
        let send = Send { now, own: source, hop, len: HEADER + len, carries, segment_size: 0 };
        return link.send(send, counters, &mut |packet| {
            write_header(packet, source, destination, protocol, false);
            fill(&mut packet[HEADER..]);
        });
    }
    if HEADER + len > MAX_PACKET {
        return lost(Lost::IpTooLong);
    }
    let Some(mut whole) = zeroed(len) else { return lost(Lost::IpNoMemory) };
    fill(&mut whole);
    if carries == Carries::Udp {
        complete_udp(&mut whole, source, destination);
    }
    let ident = iface.next_ident();
    let step = (mtu - HEADER) & !7;
    for (n, part) in whole.chunks(step).enumerate() {
        let more = (n + 1) * step < len;
        let cut = Cut { ident, offset: (n * step) as u16, more, ..Cut::default() };
        let len = HEADER + part.len();
        let send = Send { now, own: source, hop, len, carries: Carries::Other, segment_size: 0 };
        link.send(send, counters, &mut |packet| {
            packet[HEADER..].copy_from_slice(part);
            write(packet, source, destination, protocol, cut);
        });
    }
}

fn complete_udp(datagram: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr) {
    datagram[6..8].fill(0);
    let sum = Sum::default().pseudo_v4(source, destination, super::UDP, datagram.len()).data(datagram);
    let sum = match sum.finish() {
        0 => 0xffff,
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
}
