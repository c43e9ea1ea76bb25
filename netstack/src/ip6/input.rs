//! Packets in: what is for us, whole and sound goes to the protocol it names.

use super::chain::{self, Bad, Carried, Payload, UNKNOWN_PROTOCOL};
use super::headers::{self, ICMPV6, Packet};
use super::{Inet6, Ip6, icmp, is_strange};
use crate::interface::Iface;
use crate::ip::{self, Fragment, Header, Outcome, PacketId};
use crate::stack::Core;
use crate::traffic::{Lost, Protocol};
use alloc::rc::Rc;
use core::net::Ipv6Addr;
use fata_libos::net::Checksum;
use fata_libos::time::Instant;

/// Where a packet came in.
pub(super) struct At<'a> {
    pub(super) core: &'a Rc<Core>,
    pub(super) iface: &'a Rc<Iface>,
    pub(super) now: Instant,
}

/// What tells of a packet where it comes from.
#[derive(Clone, Copy)]
pub(super) struct Sign {
    pub(super) hop_limit: u8,
    /// It has a router alert.
    pub(super) alert: bool,
}

impl At<'_> {
    pub(super) fn lost(&self, what: Lost) {
        self.iface.traffic.lost(&self.core.counters, what);
    }
}

/// Takes a packet.
pub(super) fn receive(ip6: &Ip6, at: &At<'_>, data: &mut [u8], checksum: Checksum) {
    at.iface.traffic.received(Protocol::Ip);
    let packet = match Packet::parse(data, data.len()) {
        Ok(packet) => packet,
        Err(bad) => return refuse(ip6, at, data, bad),
    };
    let Packet { source, destination, hop_limit, alert, .. } = packet;
    let header = |verified, marked| Header {
        source: source.into(),
        destination: destination.into(),
        is_unicast: !destination.is_multicast(),
        verified,
        marked,
    };
    let data = data.get_mut(..packet.end).unwrap_or_default();
    match packet.payload {
        Payload::Whole(carried) => {
            if !accepts(ip6, source, destination, carried.protocol) {
                return at.lost(Lost::IpNotOurs);
            }
            at.core.counters.rx_packets.one();
            let header = header(checksum != Checksum::Complete, packet.marked);
            deliver(ip6, at, header, Sign { hop_limit, alert }, carried, data);
        }
        Payload::Fragment(fragment) => {
            if !accepts(ip6, source, destination, fragment.protocol) {
                return at.lost(Lost::IpNotOurs);
            }
            let counters = &at.core.counters;
            counters.rx_packets.one();
            counters.fragments_received.one();
            let chain::Fragment { ident, offset, more, protocol, .. } = fragment;
            let id = PacketId { source: source.into(), destination: destination.into(), protocol, ident };
            let piece = Fragment { id, offset, more, data: data.get(fragment.at..).unwrap_or_default() };
            let outcome = at.iface.fragments.borrow_mut().add(at.now, piece);
            match outcome {
                Outcome::Waiting => {}
                Outcome::Dropped => at.lost(Lost::IpFragment),
                Outcome::Complete(mut whole) => {
                    counters.fragments_reassembled.one();
                    headers::write(&mut whole, source, destination, protocol, hop_limit, false);
                    match headers::reassembled(&whole, protocol, destination) {
                        // No message of neighbour discovery comes in fragments (RFC 6980), as its hop limit shows here.
                        Ok(carried) => {
                            let sign = Sign { hop_limit: 0, alert: false };
                            deliver(ip6, at, header(false, false), sign, carried, &mut whole);
                        }
                        Err(bad) => refuse(ip6, at, &whole, bad),
                    }
                }
            }
        }
    }
}

/// Whether a packet is for this host.
fn accepts(ip6: &Ip6, source: Ipv6Addr, destination: Ipv6Addr, protocol: u8) -> bool {
    let is_icmp = protocol == ICMPV6;
    // Only who asks whether his address is taken has none, and only who says that he has ours has ours.
    if is_strange(source) || (source.is_unspecified() || ip6.has(source)) && !is_icmp {
        return false;
    }
    if destination.is_multicast() {
        return protocol == ip::UDP || is_icmp && ip6.listens(destination);
    }
    ip6.has(destination) || is_icmp && ip6.is_tentative(destination)
}

/// Drops a packet whose headers are not good, and tells its sender where that is asked for.
fn refuse(ip6: &Ip6, at: &At<'_>, data: &[u8], bad: Bad) {
    let Some((source, destination)) = headers::addresses(data) else { return at.lost(Lost::IpMalformed) };
    if is_strange(source) || !(ip6.has(destination) || destination.is_multicast()) {
        return at.lost(Lost::IpNotOurs);
    }
    at.lost(Lost::IpMalformed);
    if let Bad::Problem { code, pointer } = bad {
        let error = icmp::Problem { kind: icmp::PARAMETER_PROBLEM, code, word: pointer as u32 };
        icmp::send_error(ip6, at, (source, destination), data, error);
    }
}

fn deliver(ip6: &Ip6, at: &At<'_>, header: Header, sign: Sign, carried: Carried, packet: &mut [u8]) {
    let Carried { protocol, at: from, named_at } = carried;
    match protocol {
        ip::TCP | ip::UDP => ip::deliver(at.core, at.iface, at.now, header, protocol, packet, from),
        ICMPV6 => icmp::receive(ip6, at, header, sign, packet.get(from..).unwrap_or_default()),
        _ => {
            at.lost(Lost::IpUnknown);
            let Some(ends) = headers::addresses(packet) else { return };
            let (kind, code) = (icmp::PARAMETER_PROBLEM, UNKNOWN_PROTOCOL);
            let error = icmp::Problem { kind, code, word: named_at as u32 };
            icmp::send_error(ip6, at, ends, packet, error);
        }
    }
}
