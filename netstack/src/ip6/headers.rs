//! Headers (RFC 8200): the fixed one, and the chain of extension headers between it and what a packet carries.
//!
//! Pure logic over the octets of a packet. A chain is bounded in headers and octets, so that nobody has us walk for long.

use crate::ip::{TCP, UDP};
use core::net::Ipv6Addr;

/// The protocol number of ICMPv6.
pub(crate) const ICMPV6: u8 = 58;
/// The fixed header, octets.
pub(crate) const HEADER: usize = 40;
/// A fragment header, octets.
pub(crate) const FRAGMENT_HEADER: usize = 8;

pub(crate) const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const NOTHING: u8 = 59;
const DESTINATION: u8 = 60;

/// Extension headers of one packet, and their octets. RFC 8200 has an order of five that makes sense.
const MAX_HEADERS: usize = 8;
const MAX_CHAIN: usize = 1024;
/// The largest payload, octets.
const MAX_PAYLOAD: usize = 65_535;

/// Options that are known, and what that of RFC 2711 holds.
const PAD: u8 = 0;
const ROUTER_ALERT: u8 = 5;
/// Where the fixed header has the payload's length and the first protocol.
const LENGTH_AT: usize = 4;
const PROTOCOL_AT: usize = 6;

/// Codes of the message "parameter problem" (RFC 4443, 3.4; RFC 7112, 5).
pub(crate) const ERRONEOUS_FIELD: u8 = 0;
pub(crate) const UNKNOWN_PROTOCOL: u8 = 1;
pub(crate) const UNKNOWN_OPTION: u8 = 2;
pub(crate) const INCOMPLETE_CHAIN: u8 = 3;

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// Lengths or addresses make no sense.
    Malformed,
    /// It is sound, and asks to be dropped without a word, or is more than we care to read.
    Silent,
    /// Its sender is told by a parameter problem: the code, and the octet of the packet that is meant. Never for a group's
    /// packet but where RFC 4443, 2.4 (e.3) has it so.
    Problem {
        /// One of the codes above.
        code: u8,
        /// Octets from the fixed header's start.
        pointer: usize,
    },
}

/// What a packet carries behind its extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Perhaps one that is not spoken here.
    pub(crate) protocol: u8,
    /// Where it begins, octets from the packet's start.
    pub(crate) at: usize,
    /// The octet that names the protocol: what a parameter problem about it points to.
    pub(crate) named_at: usize,
}

/// A part of a packet's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) ident: u32,
    /// Where the part belongs, octets.
    pub(crate) offset: usize,
    /// Whether more follow.
    pub(crate) more: bool,
    /// What the whole begins with. That of the first fragment counts: others may say anything (RFC 8200, 4.5).
    pub(crate) protocol: u8,
    /// Where the part's data begins, octets from the packet's start.
    pub(crate) at: usize,
}

/// What is behind the headers of a received packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Whole(Carried),
    Fragment(Fragment),
}

/// What the headers of a received packet say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) hop_limit: u8,
    /// A router marked it for congestion (RFC 3168, 5).
    pub(crate) marked: bool,
    /// It has the router alert that queries for listeners must have (RFC 3810, 5).
    pub(crate) alert: bool,
    /// Octets of the packet; what is behind is the link's padding.
    pub(crate) end: usize,
    pub(crate) payload: Payload,
}

impl Packet {
    /// Whether it carries that protocol right behind the fixed header.
    pub(crate) fn carries_only(&self, protocol: u8) -> bool {
        matches!(self.payload, Payload::Whole(carried) if carried.protocol == protocol && carried.at == HEADER)
    }

    /// Reads the headers of a packet of at most `len` octets, of which the first are in `data`. Headers that are not all in
    /// there are malformed, as is a packet that says to be longer than `len`, and one from a group. Jumbograms (RFC 2675) are
    /// such: their length is in an option that is not known here.
    pub(crate) fn parse(data: &[u8], len: usize) -> Result<Self, Bad> {
        let fixed: &[u8; HEADER] = data.first_chunk().ok_or(Bad::Malformed)?;
        let end = HEADER + usize::from(u16::from_be_bytes([fixed[LENGTH_AT], fixed[LENGTH_AT + 1]]));
        let (source, destination) = (address(data, 8)?, address(data, 24)?);
        if fixed[0] >> 4 != 6 || end > len || source.is_multicast() {
            return Err(Bad::Malformed);
        }
        let data = data.get(..end).unwrap_or(data);
        let mut chain = Chain::new(data, end, fixed[PROTOCOL_AT]);
        chain.may_be_hop_by_hop = true;
        let payload = chain.payload().map_err(|bad| bad.towards(destination))?;
        let marked = fixed[1] >> 4 & 3 == 3;
        Ok(Self { source, destination, hop_limit: fixed[7], marked, alert: chain.alert, end, payload })
    }
}

impl Bad {
    /// What is left of it for a packet to `destination`: groups get no answers, but about options that ask for one.
    fn towards(self, destination: Ipv6Addr) -> Self {
        match self {
            Self::Problem { code, .. } if code != UNKNOWN_OPTION && destination.is_multicast() => {
                Self::Silent
            }
            _ => self,
        }
    }
}

/// What a packet carries that was put together from fragments: `packet` is that with [`HEADER`] octets in front, `protocol`
/// what its first fragment named.
pub(crate) fn reassembled(packet: &[u8], protocol: u8, destination: Ipv6Addr) -> Result<Carried, Bad> {
    let mut chain = Chain::new(packet, packet.len(), protocol);
    chain.may_be_fragment = false;
    match chain.payload().map_err(|bad| bad.towards(destination))? {
        Payload::Whole(carried) => Ok(carried),
        Payload::Fragment(_) => Err(Bad::Silent),
    }
}

/// Source and destination of a packet whose headers may be good for nothing else.
pub(crate) fn addresses(packet: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr)> {
    Some((address(packet, 8).ok()?, address(packet, 24).ok()?))
}

/// What the beginning of a packet of ours says: its source, its destination, the protocol of what it carries, and the first
/// octets of that: ports and, of TCP, the number. This host sends no extension header but that of a fragment.
pub(crate) fn quoted(packet: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr, u8, [u8; 8])> {
    let (source, destination) = addresses(packet)?;
    let mut protocol = *packet.get(PROTOCOL_AT)?;
    let mut rest = packet.get(HEADER..)?;
    if protocol == FRAGMENT {
        let (&[next, _, a, b, ..], inner) = rest.split_first_chunk::<FRAGMENT_HEADER>()?;
        // Only the first one says whose it is.
        if u16::from_be_bytes([a, b]) & !7 != 0 {
            return None;
        }
        (protocol, rest) = (next, inner);
    }
    (packet[0] >> 4 == 6).then_some((source, destination, protocol, *rest.first_chunk()?))
}

/// Writes the fixed header of a packet into its first octets; the packet's length is the buffer's, no more than
/// [`HEADER`] + 65535. `ect`: the ends of the transport understand marks of congestion (RFC 3168, 5).
pub(crate) fn write(
    packet: &mut [u8],
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: u8,
    hop_limit: u8,
    ect: bool,
) {
    let len = packet.len().saturating_sub(HEADER) as u16;
    let Some(fixed) = packet.first_chunk_mut::<HEADER>() else { return };
    fixed[..4].copy_from_slice(&[0x60, if ect { 0x20 } else { 0 }, 0, 0]);
    fixed[LENGTH_AT..PROTOCOL_AT].copy_from_slice(&len.to_be_bytes());
    fixed[PROTOCOL_AT..8].copy_from_slice(&[protocol, hop_limit]);
    fixed[8..24].copy_from_slice(&source.octets());
    fixed[24..].copy_from_slice(&destination.octets());
}

/// A fragment header, for data that belongs at `offset` octets, a multiple of 8, of what is cut up. The header before names
/// [`FRAGMENT_PROTOCOL`].
pub(crate) fn write_fragment(protocol: u8, offset: u16, more: bool, ident: u32) -> [u8; FRAGMENT_HEADER] {
    let [a, b] = (offset & !7 | u16::from(more)).to_be_bytes();
    let [c, d, e, f] = ident.to_be_bytes();
    [protocol, 0, a, b, c, d, e, f]
}

/// What names a fragment header.
pub(crate) const FRAGMENT_PROTOCOL: u8 = FRAGMENT;

fn address(data: &[u8], at: usize) -> Result<Ipv6Addr, Bad> {
    let octets: &[u8; 16] = data.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Bad::Malformed)?;
    Ok(Ipv6Addr::from(*octets))
}

/// A place in a chain of headers.
struct Chain<'a> {
    data: &'a [u8],
    /// Octets of the packet, of which not all need to be in `data`.
    end: usize,
    at: usize,
    /// What is at `at`, and the octet that says so.
    protocol: u8,
    named_at: usize,
    headers: usize,
    may_be_hop_by_hop: bool,
    may_be_fragment: bool,
    alert: bool,
}

impl<'a> Chain<'a> {
    fn new(data: &'a [u8], end: usize, protocol: u8) -> Self {
        Self {
            data,
            end,
            at: HEADER,
            protocol,
            named_at: PROTOCOL_AT,
            headers: 0,
            may_be_hop_by_hop: false,
            may_be_fragment: true,
            alert: false,
        }
    }

    /// Walks to what the packet carries.
    fn payload(&mut self) -> Result<Payload, Bad> {
        loop {
            match self.protocol {
                HOP_BY_HOP if !self.may_be_hop_by_hop => {
                    return Err(self.problem(UNKNOWN_PROTOCOL, self.named_at));
                }
                HOP_BY_HOP | DESTINATION => {
                    let at = self.at;
                    let header = self.pass()?;
                    self.options(at, header)?;
                }
                ROUTING => {
                    let at = self.at;
                    // A route that ends here says nothing more. One that goes on is none that we know (RFC 5095 for type 0).
                    if self.pass()?[3] != 0 {
                        return Err(self.problem(ERRONEOUS_FIELD, at + 2));
                    }
                }
                FRAGMENT if self.may_be_fragment => {
                    if let Some(fragment) = self.fragment()? {
                        return Ok(Payload::Fragment(fragment));
                    }
                }
                FRAGMENT | NOTHING => return Err(Bad::Silent),
                protocol => {
                    return Ok(Payload::Whole(Carried { protocol, at: self.at, named_at: self.named_at }));
                }
            }
        }
    }

    fn problem(&self, code: u8, pointer: usize) -> Bad {
        Bad::Problem { code, pointer }
    }

    /// Steps over one header, and returns it: of 8 octets at least.
    fn pass(&mut self) -> Result<&'a [u8], Bad> {
        let rest = self.data.get(self.at..).ok_or(Bad::Malformed)?;
        let &[next, units, ..] = rest else { return Err(Bad::Malformed) };
        let units = if self.protocol == FRAGMENT { 0 } else { units };
        let header = rest.get(..usize::from(units) * 8 + 8).ok_or(Bad::Malformed)?;
        (self.named_at, self.protocol) = (self.at, next);
        self.at += header.len();
        self.headers += 1;
        self.may_be_hop_by_hop = false;
        if self.headers > MAX_HEADERS || self.at > HEADER + MAX_CHAIN {
            return Err(Bad::Silent);
        }
        Ok(header)
    }

    /// Looks at the options of the header at `at` (RFC 8200, 4.2).
    fn options(&mut self, at: usize, header: &[u8]) -> Result<(), Bad> {
        let mut place = 2;
        while let Some(&kind) = header.get(place) {
            if kind == PAD {
                place += 1;
                continue;
            }
            let len = usize::from(*header.get(place + 1).ok_or(Bad::Malformed)?);
            if place + 2 + len > header.len() {
                return Err(Bad::Malformed);
            }
            self.alert |=
                kind == ROUTER_ALERT && at == HEADER && self.data.get(PROTOCOL_AT) == Some(&HOP_BY_HOP);
            match kind >> 6 {
                0 => {}
                1 => return Err(Bad::Silent),
                2 => return Err(self.problem(UNKNOWN_OPTION, at + place)),
                _ if self.is_for_group() => return Err(Bad::Silent),
                _ => return Err(self.problem(UNKNOWN_OPTION, at + place)),
            }
            place += 2 + len;
        }
        Ok(())
    }

    fn is_for_group(&self) -> bool {
        self.data.get(24) == Some(&0xff)
    }

    /// Takes a fragment header; `None` where it stands for nothing (RFC 6946).
    fn fragment(&mut self) -> Result<Option<Fragment>, Bad> {
        let header_at = self.at;
        self.may_be_fragment = false;
        let &[protocol, _, a, b, c, d, e, f] = self.pass()? else { return Err(Bad::Malformed) };
        let word = u16::from_be_bytes([a, b]);
        let (offset, more) = (usize::from(word & !7), word & 1 != 0);
        if offset == 0 && !more {
            return Ok(None);
        }
        let len = self.end.saturating_sub(self.at);
        if more && !len.is_multiple_of(8) {
            return Err(self.problem(ERRONEOUS_FIELD, LENGTH_AT));
        }
        if header_at - HEADER + offset + len > MAX_PAYLOAD {
            return Err(self.problem(ERRONEOUS_FIELD, header_at + 2));
        }
        if offset == 0 && !self.is_whole()? {
            return Err(self.problem(INCOMPLETE_CHAIN, 0));
        }
        let at = header_at + FRAGMENT_HEADER;
        Ok(Some(Fragment { ident: u32::from_be_bytes([c, d, e, f]), offset, more, protocol, at }))
    }

    /// Whether the rest of the chain is here, with the header of what it carries (RFC 7112). The options are looked at when
    /// all fragments are there.
    fn is_whole(&mut self) -> Result<bool, Bad> {
        while matches!(self.protocol, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION) {
            match self.pass() {
                Err(Bad::Malformed) => return Ok(false),
                header => header?,
            };
        }
        let least = match self.protocol {
            TCP => 20,
            UDP => 8,
            ICMPV6 => 4,
            _ => 0,
        };
        Ok(self.at + least <= self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip6::message::tests::Random;

    const A: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const B: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

    fn packet(to: Ipv6Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; HEADER];
        packet.extend_from_slice(payload);
        write(&mut packet, A, to, protocol, 64, false);
        packet
    }

    fn parse(to: Ipv6Addr, protocol: u8, payload: &[u8]) -> Result<Packet, Bad> {
        let packet = packet(to, protocol, payload);
        Packet::parse(&packet, packet.len())
    }

    /// What becomes of a packet to a host that has extension headers.
    fn payload(protocol: u8, payload: &[u8]) -> Result<Payload, Bad> {
        parse(B, protocol, payload).map(|p| p.payload)
    }

    fn whole(protocol: u8, at: usize, named_at: usize) -> Result<Payload, Bad> {
        Ok(Payload::Whole(Carried { protocol, at, named_at }))
    }

    fn problem<T>(code: u8, pointer: usize) -> Result<T, Bad> {
        Err(Bad::Problem { code, pointer })
    }

    #[test]
    fn the_fixed_header() {
        let mut data = packet(B, UDP, &[7; 12]);
        let expected = Packet {
            source: A,
            destination: B,
            hop_limit: 64,
            marked: false,
            alert: false,
            end: 52,
            payload: Payload::Whole(Carried { protocol: UDP, at: 40, named_at: 6 }),
        };
        assert_eq!(Packet::parse(&data, 52), Ok(expected));
        data.extend_from_slice(&[0; 6]);
        assert_eq!(Packet::parse(&data, 58), Ok(expected), "padding of the link");
        assert_eq!(Packet::parse(&data[..44], 58), Ok(expected), "only the headers are here");
        assert_eq!(Packet::parse(&data, 51), Err(Bad::Malformed));
        for len in 0..HEADER {
            assert_eq!(Packet::parse(&data[..len], 58), Err(Bad::Malformed));
        }
        write(&mut data[..52], A, B, TCP, 1, true);
        assert_eq!(data[..8], [0x60, 0x20, 0, 0, 0, 12, TCP, 1]);
        data[1] |= 0x10;
        assert!(Packet::parse(&data, 58).is_ok_and(|p| p.marked && p.hop_limit == 1));
        data[0] = 0x45;
        assert_eq!(Packet::parse(&data, 58), Err(Bad::Malformed));
        write(&mut data, GROUP, B, TCP, 1, false);
        assert_eq!(Packet::parse(&data, 58), Err(Bad::Malformed), "groups send nothing");
        write(&mut [0; 39], A, B, TCP, 1, false);
    }

    #[test]
    fn headers_are_passed_by() {
        assert_eq!(payload(0, &[TCP, 0, 1, 4, 0, 0, 0, 0]), whole(TCP, 48, 40));
        assert_eq!(payload(60, &[TCP, 0, 0, 0, 0, 0, 0, 0]), whole(TCP, 48, 40));
        let both = [60, 0, 5, 2, 0, 0, 1, 0, UDP, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(payload(0, &both), whole(UDP, 64, 48));
        assert!(parse(B, 0, &both).is_ok_and(|p| p.alert));
        let elsewhere = [UDP, 0, 5, 2, 0, 0, 1, 0];
        assert!(parse(B, 60, &elsewhere).is_ok_and(|p| !p.alert), "routers do not look there");
        assert_eq!(payload(51, &[TCP, 4, 0, 0]), whole(51, 40, 6), "not spoken here");
        assert_eq!(payload(50, &[]), whole(50, 40, 6));
        assert_eq!(payload(60, &[200, 0, 1, 4, 0, 0, 0, 0]), whole(200, 48, 40));
        assert_eq!(payload(59, &[1, 2, 3]), Err(Bad::Silent));
        assert_eq!(payload(0, &[59, 0, 1, 4, 0, 0, 0, 0]), Err(Bad::Silent));
    }

    #[test]
    fn hop_by_hop_options_come_first() {
        let again = [0, 0, 1, 4, 0, 0, 0, 0, TCP, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(payload(0, &again), problem(UNKNOWN_PROTOCOL, 40));
        assert_eq!(payload(60, &again), problem(UNKNOWN_PROTOCOL, 40));
        assert_eq!(parse(GROUP, 60, &again), Err(Bad::Silent));
    }

    #[test]
    fn unknown_options_say_what_becomes_of_the_packet() {
        let with = |kind| [TCP, 0, 1, 0, kind, 2, 9, 9];
        for protocol in [0, 60] {
            assert_eq!(payload(protocol, &with(0x3e)), whole(TCP, 48, 40));
            assert_eq!(payload(protocol, &with(0x7e)), Err(Bad::Silent));
            assert_eq!(payload(protocol, &with(0xbe)), problem(UNKNOWN_OPTION, 44));
            assert_eq!(payload(protocol, &with(0xfe)), problem(UNKNOWN_OPTION, 44));
            assert_eq!(parse(GROUP, protocol, &with(0xbe)), problem(UNKNOWN_OPTION, 44));
            assert_eq!(parse(GROUP, protocol, &with(0xfe)), Err(Bad::Silent));
        }
        assert_eq!(payload(0, &[TCP, 0, 1, 5, 0, 0, 0, 0]), Err(Bad::Malformed), "beyond the header");
        assert_eq!(payload(0, &[TCP, 0, 1, 3, 0, 0, 0, 1]), Err(Bad::Malformed), "without a length");
        // The option of a jumbogram, whose fixed header says nothing of its length.
        assert_eq!(payload(0, &[TCP, 0, 0xc2, 4, 0, 1, 0, 0]), problem(UNKNOWN_OPTION, 42));
        let mut jumbo = packet(B, 0, &[TCP, 0, 0xc2, 4, 0, 1, 0, 0]);
        jumbo[4..6].fill(0);
        assert_eq!(Packet::parse(&jumbo, 48), Err(Bad::Malformed));
    }

    #[test]
    fn routes_end_here_or_nowhere() {
        for kind in [0, 2, 4, 253] {
            assert_eq!(payload(43, &[TCP, 0, kind, 0, 0, 0, 0, 0]), whole(TCP, 48, 40));
            assert_eq!(payload(43, &[TCP, 0, kind, 1, 0, 0, 0, 0]), problem(ERRONEOUS_FIELD, 42));
            assert_eq!(parse(GROUP, 43, &[TCP, 0, kind, 1, 0, 0, 0, 0]), Err(Bad::Silent));
        }
    }

    #[test]
    fn chains_are_bounded() {
        let chain = |headers: usize, units: u8| {
            let len = usize::from(units) * 8 + 8;
            let mut data = vec![0; headers * len];
            for (n, header) in data.chunks_mut(len).enumerate() {
                header[..2].copy_from_slice(&[if n + 1 == headers { TCP } else { 60 }, units]);
            }
            payload(60, &data)
        };
        assert_eq!(chain(8, 0), whole(TCP, 104, 96));
        assert_eq!(chain(9, 0), Err(Bad::Silent));
        assert_eq!(chain(1, 127), whole(TCP, 1064, 40));
        assert_eq!(chain(1, 128), Err(Bad::Silent));
    }

    #[test]
    fn fragments() {
        let header = write_fragment(UDP, 1448, true, 0x0102_0304);
        assert_eq!(header, [UDP, 0, 0x05, 0xa9, 1, 2, 3, 4]);
        let of = |header: [u8; 8], data: &[u8]| payload(44, &[&header[..], data].concat());
        let expected = Fragment { ident: 0x0102_0304, offset: 1448, more: true, protocol: UDP, at: 48 };
        assert_eq!(of(header, &[0; 16]), Ok(Payload::Fragment(expected)));
        assert_eq!(of(header, &[0; 15]), problem(ERRONEOUS_FIELD, 4));
        let last = write_fragment(UDP, 1448, false, 0x0102_0304);
        assert_eq!(of(last, &[0; 15]), Ok(Payload::Fragment(Fragment { more: false, ..expected })));
        assert!(of(write_fragment(UDP, 65_528, false, 1), &[0; 7]).is_ok());
        assert_eq!(of(write_fragment(UDP, 65_528, false, 1), &[0; 8]), problem(ERRONEOUS_FIELD, 42));
        // What is before the fragment header is there in the whole packet too.
        let behind =
            [&[44, 0, 1, 4, 0, 0, 0, 0], &write_fragment(UDP, 65_528, false, 1)[..], &[0; 7]].concat();
        assert_eq!(payload(60, &behind), problem(ERRONEOUS_FIELD, 50));
    }

    #[test]
    fn a_fragment_that_is_the_whole_is_none() {
        let atomic = write_fragment(60, 0, false, 7);
        let data = [&atomic[..], &[UDP, 0, 1, 4, 0, 0, 0, 0]].concat();
        assert_eq!(payload(44, &data), whole(UDP, 56, 48));
        assert_eq!(payload(44, &[write_fragment(44, 0, false, 7), atomic].concat()), Err(Bad::Silent));
        assert_eq!(
            payload(44, &[write_fragment(44, 0, false, 7), header_of_a_part()].concat()),
            Err(Bad::Silent)
        );
    }

    fn header_of_a_part() -> [u8; 8] {
        write_fragment(UDP, 8, true, 7)
    }

    #[test]
    fn the_first_fragment_has_all_headers() {
        let first = |protocol, data: &[u8]| {
            payload(44, &[&write_fragment(protocol, 0, true, 1)[..], data].concat()).map(|_| ())
        };
        let missing = problem(INCOMPLETE_CHAIN, 0);
        assert_eq!((first(TCP, &[0; 24]), first(TCP, &[0; 16])), (Ok(()), missing));
        assert_eq!((first(UDP, &[0; 8]), first(UDP, &[])), (Ok(()), missing));
        assert_eq!((first(ICMPV6, &[0; 8]), first(ICMPV6, &[])), (Ok(()), missing));
        let options = [UDP, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(first(60, &options), Ok(()));
        for len in [0, 8, 16] {
            assert_eq!(first(60, &options[..len]), missing);
        }
        assert_eq!(parse(GROUP, 44, &write_fragment(UDP, 0, true, 1)), Err(Bad::Silent));
    }

    #[test]
    fn what_was_put_together_is_walked_through() {
        let inner = |protocol, data: &[u8]| reassembled(&packet(B, protocol, data), protocol, B);
        assert_eq!(inner(UDP, &[0; 8]), Ok(Carried { protocol: UDP, at: 40, named_at: 6 }));
        let options = [UDP, 0, 0xbe, 4, 0, 0, 0, 0];
        assert_eq!(inner(60, &options), problem(UNKNOWN_OPTION, 42));
        assert_eq!(inner(0, &[UDP, 0, 1, 4, 0, 0, 0, 0]), problem(UNKNOWN_PROTOCOL, 6));
        assert_eq!(inner(44, &write_fragment(UDP, 0, false, 1)), Err(Bad::Silent));
        assert_eq!(inner(60, &[UDP, 1, 1, 4, 0, 0, 0, 0]), Err(Bad::Malformed));
        assert_eq!(reassembled(&[], 60, B), Err(Bad::Malformed));
    }

    #[test]
    fn every_truncation_is_refused_or_inside() {
        let data = [
            &[60, 0, 5, 2, 0, 0, 1, 0],
            &[43, 0, 1, 4, 0, 0, 0, 0],
            &[44, 0, 0, 0, 0, 0, 0, 0],
            &write_fragment(60, 0, false, 1)[..],
            &[UDP, 0, 1, 4, 0, 0, 0, 0],
        ]
        .concat();
        let whole = packet(B, 0, &data);
        for len in 0..whole.len() {
            assert_eq!(Packet::parse(&whole[..len], whole.len()), Err(Bad::Malformed));
            let mut short = whole[..len].to_vec();
            write_length(&mut short);
            assert_eq!(Packet::parse(&short, len), Err(Bad::Malformed), "{len}");
        }
        assert!(Packet::parse(&whole, whole.len()).is_ok());
    }

    fn write_length(packet: &mut [u8]) {
        if let Some(len) = packet.len().checked_sub(HEADER) {
            packet[4..6].copy_from_slice(&(len as u16).to_be_bytes());
        }
    }

    #[test]
    fn random_octets_are_read_in_bounds() {
        let kinds = [0, 43, 44, 60, 59, TCP, UDP, ICMPV6];
        let (mut sound, mut random) = (0, Random(1));
        for _ in 0..20_000 {
            let mut data = vec![0; random.below(120)];
            random.fill(&mut data);
            let mut data = packet(B, kinds[random.below(8)], &data);
            // Chains that go on are more telling than noise.
            for at in (HEADER..data.len().saturating_sub(8)).step_by(8) {
                data[at] = kinds[random.below(8)];
                data[at + 1] = random.below(2) as u8;
                data[at + 2] &= 0x3f;
                data[at + 3] &= 5;
            }
            if let Ok(packet) = Packet::parse(&data, data.len()) {
                let at = match packet.payload {
                    Payload::Whole(carried) => carried.at,
                    Payload::Fragment(fragment) => fragment.at,
                };
                assert!(at <= packet.end && packet.end == data.len());
                sound += 1;
            }
            let _ = reassembled(&data, kinds[random.below(8)], GROUP);
        }
        assert!(sound > 1000, "{sound}");
    }
}
