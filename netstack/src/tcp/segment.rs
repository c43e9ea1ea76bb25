//! Segments: the header of a received one, and those that are sent without a connection's state machine.

use super::Flow;
use crate::ip;
use crate::link::{Carries, Hop};
use crate::stack::Core;
use core::net::{IpAddr, Ipv4Addr};
use fata_libos::time::Instant;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use crate::interface::Iface;

/// `a` comes before `b` in the sequence space.
pub(crate) fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// The header of a segment, read once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    pub(crate) has_ack: bool,
    /// Octets of data.
    pub(crate) data: u32,
}

impl Segment {
    pub(crate) fn read(tcp: &TcpPacket<&[u8]>) -> Self {
        Self {
            seq: tcp.seq_number().0 as u32,
            ack: tcp.ack_number().0 as u32,
            window: tcp.window_len(),
            syn: tcp.syn(),
            fin: tcp.fin(),
            rst: tcp.rst(),
            has_ack: tcp.ack(),
            data: tcp.payload().len() as u32,
        }
    }

    /// How much of the sequence space it takes.
    pub(crate) fn len(&self) -> u32 {
        self.data + u32::from(self.syn) + u32::from(self.fin)
    }
}

/// How far the sender of this SYN shifts its window field; 0 where it does not say.
pub(crate) fn window_scale(tcp: &[u8]) -> u8 {
    let nobody = Ipv4Addr::UNSPECIFIED.into();
    let repr = TcpPacket::new_checked(tcp)
        .and_then(|tcp| TcpRepr::parse(&tcp, &nobody, &nobody, &ChecksumCapabilities::ignored()));
    repr.ok().and_then(|repr| repr.window_scale).unwrap_or(0)
}

/// What a peer's SYN says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Syn {
    pub(crate) seq: u32,
    pub(crate) window: u16,
    pub(crate) mss: Option<u16>,
    pub(crate) scale: Option<u8>,
    pub(crate) sack: bool,
}

impl Syn {
    pub(crate) fn read(tcp: &TcpPacket<&[u8]>) -> Option<Self> {
        // The addresses count only for the checksum, which was checked.
        let nobody = Ipv4Addr::UNSPECIFIED.into();
        let repr = TcpRepr::parse(tcp, &nobody, &nobody, &ChecksumCapabilities::ignored()).ok()?;
        (repr.control == TcpControl::Syn && repr.ack_number.is_none()).then_some(Self {
            seq: repr.seq_number.0 as u32,
            window: repr.window_len,
            mss: repr.max_seg_size,
            scale: repr.window_scale,
            sack: repr.sack_permitted,
        })
    }

    /// The segment once more, without data and with no other options.
    pub(crate) fn repr(&self, flow: &Flow) -> TcpRepr<'static> {
        TcpRepr {
            src_port: flow.remote_port,
            dst_port: flow.local_port,
            window_len: self.window,
            window_scale: self.scale,
            max_seg_size: self.mss,
            sack_permitted: self.sack,
            ..repr(flow, TcpControl::Syn, self.seq, None)
        }
    }
}

/// A segment of this side without options and data.
pub(crate) fn repr(flow: &Flow, control: TcpControl, seq: u32, ack: Option<u32>) -> TcpRepr<'static> {
    TcpRepr {
        src_port: flow.local_port,
        dst_port: flow.remote_port,
        control,
        seq_number: TcpSeqNumber(seq as i32),
        ack_number: ack.map(|ack| TcpSeqNumber(ack as i32)),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}

/// Writes a segment with its IP header; the buffer has the length of both. The TCP checksum is left to the link.
pub(crate) fn write(packet: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr, repr: &TcpRepr<'_>) {
    ip::write_header(packet, source, destination, ip::TCP);
    let mut tcp = TcpPacket::new_unchecked(&mut packet[ip::HEADER..]);
    repr.emit(&mut tcp, &source.into(), &destination.into(), &ChecksumCapabilities::ignored());
}

/// Sends a segment of this side.
pub(crate) fn send(core: &Core, iface: &Iface, now: Instant, flow: &Flow, repr: &TcpRepr<'_>) {
    let Some((own, to, hop)) = way(iface, flow) else { return core.counters.tx_no_route.one() };
    let len = ip::HEADER + repr.buffer_len();
    iface.link.borrow_mut().send(now, own, hop, len, Carries::Tcp, &core.counters, &mut |packet| {
        write(packet, own, to, repr);
    });
}

/// The addresses of a flow and its next hop, if the interface leads there.
pub(crate) fn way(iface: &Iface, flow: &Flow) -> Option<(Ipv4Addr, Ipv4Addr, Hop)> {
    let (IpAddr::V4(own), IpAddr::V4(to)) = (flow.local, flow.remote) else { return None };
    Some((own, to, iface.net.get()?.hop(to)?))
}

/// Answers a segment that nothing expects (RFC 9293, 3.5.2).
pub(crate) fn reset(core: &Core, iface: &Iface, now: Instant, flow: &Flow, segment: &Segment) {
    if segment.rst {
        return;
    }
    core.counters.tcp_resets_sent.one();
    let reply = if segment.has_ack {
        repr(flow, TcpControl::Rst, segment.ack, None)
    } else {
        repr(flow, TcpControl::Rst, 0, Some(segment.seq.wrapping_add(segment.len())))
    };
    send(core, iface, now, flow, &reply);
}
