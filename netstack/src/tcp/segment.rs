//! Segments that are sent without a connection's state machine, and how any segment gets onto the wire.

use super::Flow;
use super::machine::{Flags, Header, Options, Seq};
use crate::interface::Iface;
use crate::ip::{self, Way};
use crate::link::{Carries, Send};
use crate::stack::Core;
use crate::traffic::Lost;
use fata_libos::time::Instant;

/// A header of this side without options.
pub(crate) fn bare(flags: Flags, seq: Seq, ack: Seq) -> Header {
    Header { seq, ack, window: 0, flags, options: Options::default() }
}

/// Writes a segment of this side with its IP header, without its data. The TCP checksum is left to the link.
pub(crate) fn write(packet: &mut [u8], flow: &Flow, header: &Header, ect: bool) {
    ip::write_header(packet, flow.local, flow.remote, ip::TCP, ect);
    header.write(flow.local_port, flow.remote_port, &mut packet[ip::header_len(flow.remote)..]);
}

/// Sends a segment of this side that has no data.
pub(crate) fn send(core: &Core, iface: &Iface, now: Instant, flow: &Flow, header: &Header) {
    let Some(Way { own, to, hop }) = way(iface, flow) else { return core.counters.tx_no_route.one() };
    let len = ip::header_len(to) + header.len();
    let send = Send { now, own, hop, len, carries: Carries::Tcp, segment_size: 0 };
    iface.link.borrow_mut().send(send, &core.counters, &mut |packet| {
        write(packet, flow, header, false);
    });
}

/// The way of a flow, if the interface leads there.
pub(crate) fn way(iface: &Iface, flow: &Flow) -> Option<Way> {
    iface.way(flow.remote, Some(flow.local))
}

/// Answers a segment with so much data that nothing expects (RFC 9293, 3.5.2), unless it is a reset itself.
pub(crate) fn reset(core: &Core, iface: &Iface, now: Instant, flow: &Flow, header: &Header, data: usize) {
    if header.flags.has(Flags::RST) {
        return iface.traffic.lost(&core.counters, Lost::TcpNoConnection);
    }
    core.counters.tcp_resets_sent.one();
    let reply = if header.flags.has(Flags::ACK) {
        bare(Flags::RST, header.ack, Seq(0))
    } else {
        bare(Flags::RST | Flags::ACK, Seq(0), header.seq + header.space(data))
    };
    send(core, iface, now, flow, &reply);
}
