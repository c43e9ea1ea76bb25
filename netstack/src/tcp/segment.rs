//! Segments that are sent without a connection's state machine, and how any segment gets onto the wire.

use super::Flow;
use super::machine::{Flags, Header, Options, Seq};
use crate::interface::Iface;
use crate::ip;
use crate::link::{Carries, Hop, Send};
use crate::stack::Core;
use core::net::{IpAddr, Ipv4Addr};
use fata_libos::time::Instant;

/// A header of this side without options.
pub(crate) fn bare(flags: Flags, seq: Seq, ack: Seq) -> Header {
    Header { seq, ack, window: 0, flags, options: Options::default() }
}

/// Writes a segment of this side with its IP header, without its data. The TCP checksum is left to the link.
pub(crate) fn write(
    packet: &mut [u8],
    (own, to): (Ipv4Addr, Ipv4Addr),
    flow: &Flow,
    header: &Header,
    ect: bool,
) {
    ip::write_header(packet, own, to, ip::TCP, ect);
    header.write(flow.local_port, flow.remote_port, &mut packet[ip::HEADER..]);
}

/// Sends a segment of this side that has no data.
pub(crate) fn send(core: &Core, iface: &Iface, now: Instant, flow: &Flow, header: &Header) {
    let Some((own, to, hop)) = way(iface, flow) else { return core.counters.tx_no_route.one() };
    let send = Send { now, own, hop, len: ip::HEADER + header.len(), carries: Carries::Tcp, segment_size: 0 };
    iface.link.borrow_mut().send(send, &core.counters, &mut |packet| {
        write(packet, (own, to), flow, header, false);
    });
}

/// The addresses of a flow and its next hop, if the interface leads there.
pub(crate) fn way(iface: &Iface, flow: &Flow) -> Option<(Ipv4Addr, Ipv4Addr, Hop)> {
    let (IpAddr::V4(own), IpAddr::V4(to)) = (flow.local, flow.remote) else { return None };
    Some((own, to, iface.net.get()?.hop(to)?))
}

/// Answers a segment with so much data that nothing expects (RFC 9293, 3.5.2).
pub(crate) fn reset(core: &Core, iface: &Iface, now: Instant, flow: &Flow, header: &Header, data: usize) {
    if header.flags.has(Flags::RST) {
        return;
    }
    core.counters.tcp_resets_sent.one();
    let reply = if header.flags.has(Flags::ACK) {
        bare(Flags::RST, header.ack, Seq(0))
    } else {
        bare(Flags::RST | Flags::ACK, Seq(0), header.seq + header.space(data))
    };
    send(core, iface, now, flow, &reply);
}
