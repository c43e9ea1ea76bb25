//! ICMPv6 (RFC 4443): echo requests are answered, errors about what we sent reach the socket, errors we send are rationed.
//! Messages about the link go on to [`discovery`] and [`mld`](super::mld).

use super::chain::{UNKNOWN_OPTION, UNKNOWN_PROTOCOL};
use super::headers::{self, ICMPV6};
use super::input::{At, Sign};
use super::message::{ADVERTISEMENT, ROUTER_ADVERTISEMENT, SOLICITATION};
use super::mld::QUERY;
use super::{Inet6, Ip6, LEAST_MTU, discovery};
use crate::checksum::Sum;
use crate::icmp::{Unreachable, tell};
use crate::ip::{self, Datagram, Header, Way};
use crate::traffic::{Lost, Protocol};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Types.
const UNREACHABLE: u8 = 1;
const TOO_BIG: u8 = 2;
pub(super) const PARAMETER_PROBLEM: u8 = 4;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;

/// The code of [`UNREACHABLE`]: port.
const PORT: u8 = 4;
/// Octets of a message's header, with the word that depends on its type.
const HEADER: usize = 8;
/// Octets of a packet that an error quotes, so that the error is no larger than every link takes (RFC 4443, 3.1).
const QUOTE: usize = LEAST_MTU - headers::HEADER - HEADER;
/// The hop limit of messages about the link: with another they come from elsewhere (RFC 4861, 3.1).
const ON_LINK: u8 = 255;

/// What an error says.
#[derive(Clone, Copy)]
pub(super) struct Problem {
    pub(super) kind: u8,
    pub(super) code: u8,
    /// What depends on the type.
    pub(super) word: u32,
}

/// Takes a message.
pub(super) fn receive(ip6: &Ip6, at: &At<'_>, header: Header, sign: Sign, message: &[u8]) {
    at.iface.traffic.received(Protocol::Icmp);
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (header.source, header.destination) else { return };
    let &[kind, code, ..] = message else { return at.lost(Lost::IcmpMalformed) };
    if message.len() < HEADER {
        return at.lost(Lost::IcmpMalformed);
    }
    let sum = Sum::default().pseudo(header.source, header.destination, ICMPV6, message.len());
    if !sum.data(message).is_valid() {
        return at.lost(Lost::IcmpChecksum);
    }
    if kind != ADVERTISEMENT && ip6.has(source) {
        return at.lost(Lost::IpNotOurs);
    }
    match kind {
        ROUTER_ADVERTISEMENT | SOLICITATION | ADVERTISEMENT => {
            let is_near = sign.hop_limit == ON_LINK;
            if !(is_near && discovery::receive(ip6, at, source, destination, message)) {
                at.lost(Lost::IcmpMalformed);
            }
            ip6.renew();
        }
        QUERY => {
            discovery::queried(ip6, at, source, sign, message);
            ip6.renew();
        }
        // What is below is for an address that is ours for certain.
        _ if ip6.is_tentative(destination) => at.lost(Lost::IpNotOurs),
        ECHO_REQUEST if code == 0 && header.is_unicast && !source.is_unspecified() => {
            echo(at, header, message)
        }
        UNREACHABLE | TOO_BIG | PARAMETER_PROBLEM => unreachable(ip6, at, (kind, code), message),
        _ => {}
    }
}

fn echo(at: &At<'_>, header: Header, message: &[u8]) {
    let Some(way) = at.iface.way(header.source, Some(header.destination)) else { return };
    at.core.counters.icmp_echoes.one();
    let datagram = Datagram { now: at.now, way, protocol: ICMPV6, len: message.len() };
    ip::send_datagram(at.iface, &at.core.counters, datagram, &mut |reply| {
        reply.copy_from_slice(message);
        finish(reply, way, Problem { kind: ECHO_REPLY, code: 0, word: 0 });
    });
}

/// Sets type, code and checksum.
fn finish(message: &mut [u8], way: Way, Problem { kind, code, .. }: Problem) {
    message[..4].copy_from_slice(&[kind, code, 0, 0]);
    sign(message, way.own, way.to);
}

/// Sets the checksum of a message in which it is zero.
#[inline(never)]
pub(super) fn sign(message: &mut [u8], own: IpAddr, to: IpAddr) {
    let sum = Sum::default().pseudo(own, to, ICMPV6, message.len()).data(message).finish();
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

/// Tells the sender of a packet what is wrong with it, if it is one that may be told (RFC 4443, 2.4).
pub(super) fn send_error(
    ip6: &Ip6,
    at: &At<'_>,
    (source, destination): (Ipv6Addr, Ipv6Addr),
    packet: &[u8],
    problem: Problem,
) {
    let to_group = destination.is_multicast();
    let may_answer_group = (problem.kind, problem.code) == (PARAMETER_PROBLEM, UNKNOWN_OPTION);
    if source.is_unspecified() || to_group && !may_answer_group || !at.core.icmp_ration.take(at.now) {
        return at.lost(Lost::IcmpRationed);
    }
    send(ip6, at, (source, destination), packet, problem);
}

/// Sends an error about a packet.
pub(super) fn send(
    ip6: &Ip6,
    at: &At<'_>,
    (source, destination): (Ipv6Addr, Ipv6Addr),
    packet: &[u8],
    problem: Problem,
) {
    let own = Some(IpAddr::V6(destination)).filter(|_| ip6.has(destination));
    let Some(way) = at.iface.way(source.into(), own) else { return };
    let quote = &packet[..packet.len().min(QUOTE)];
    let datagram = Datagram { now: at.now, way, protocol: ICMPV6, len: HEADER + quote.len() };
    ip::send_datagram(at.iface, &at.core.counters, datagram, &mut |message| {
        message[4..HEADER].copy_from_slice(&problem.word.to_be_bytes());
        message[HEADER..].copy_from_slice(quote);
        finish(message, way, problem);
    });
}

/// That nothing listens on the port a packet was for.
pub(super) const NO_PORT: Problem = Problem { kind: UNREACHABLE, code: PORT, word: 0 };

/// Takes an error about a packet of ours, of which it quotes the beginning.
fn unreachable(ip6: &Ip6, at: &At<'_>, (kind, code): (u8, u8), message: &[u8]) {
    let (Some(&[_, _, _, _, a, b, c, d]), quote) = (message.first_chunk(), &message[HEADER..]) else {
        return;
    };
    let word = u32::from_be_bytes([a, b, c, d]);
    let what = match (kind, code) {
        (TOO_BIG, _) => Unreachable::TooBig(word.clamp(LEAST_MTU as u32, u32::from(u16::MAX)) as u16),
        (UNREACHABLE, PORT) | (PARAMETER_PROBLEM, UNKNOWN_PROTOCOL) => Unreachable::Port,
        (UNREACHABLE, _) => Unreachable::Host,
        _ => return,
    };
    let Some((own, to, protocol, ends)) = headers::quoted(quote) else {
        return at.lost(Lost::IcmpMalformed);
    };
    if !ip6.has(own) {
        return at.lost(Lost::IpNotOurs);
    }
    let [a, b, c, d, e, f, g, h] = ends;
    if matches!(what, Unreachable::TooBig(_)) && protocol != ip::TCP {
        ip6.paths.borrow_mut().learn(to, word, at.now);
    }
    let local = SocketAddr::new(own.into(), u16::from_be_bytes([a, b]));
    let remote = at.iface.scoped(SocketAddr::new(to.into(), u16::from_be_bytes([c, d])));
    tell(at.core, protocol, local, remote, u32::from_be_bytes([e, f, g, h]), what);
}
