//! Headers (RFC 8200): the fixed one and that of fragments, read and written. Extension headers are walked by `chain`.
//!
//! Pure logic over the octets of a packet.

use super::chain::{Bad, Carried, Chain, FRAGMENT, Payload};
use core::net::Ipv6Addr;

/// The protocol number of ICMPv6.
pub(crate) const ICMPV6: u8 = 58;
/// The fixed header, octets.
pub(crate) const HEADER: usize = 40;
/// A fragment header, octets.
pub(crate) const FRAGMENT_HEADER: usize = 8;

/// Where the fixed header has the payload's length and the first protocol.
pub(super) const LENGTH_AT: usize = 4;
pub(super) const PROTOCOL_AT: usize = 6;

/// What the headers of a received packet say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    /// 0 where there is a fragment header.
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
    /// The protocol that it carries right behind the fixed header, if it does.
    pub(crate) fn carries_only(&self) -> Option<u8> {
        match self.payload {
            Payload::Whole(carried) if carried.at == HEADER => Some(carried.protocol),
            _ => None,
        }
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
        let mut chain = Chain::new(data, end, fixed[PROTOCOL_AT], destination);
        chain.may_be_hop_by_hop = true;
        let payload = chain.payload()?;
        let marked = fixed[1] >> 4 & 3 == 3;
        // What has a fragment header, be it for nothing, comes from anywhere: no message about the link does (RFC 6980, 5).
        let hop_limit = if chain.may_be_fragment { fixed[7] } else { 0 };
        Ok(Self { source, destination, hop_limit, marked, alert: chain.alert, end, payload })
    }
}

/// What a packet carries that was put together from fragments: `packet` is that with [`HEADER`] octets in front, `protocol`
/// what its first fragment named.
pub(crate) fn reassembled(packet: &[u8], protocol: u8, destination: Ipv6Addr) -> Result<Carried, Bad> {
    if packet.len() < HEADER {
        return Err(Bad::Malformed);
    }
    let mut chain = Chain::new(packet, packet.len(), protocol, destination);
    chain.may_be_fragment = false;
    match chain.payload()? {
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
/// `chain::FRAGMENT`.
pub(crate) fn write_fragment(protocol: u8, offset: u16, more: bool, ident: u32) -> [u8; FRAGMENT_HEADER] {
    let [a, b] = (offset & !7 | u16::from(more)).to_be_bytes();
    let [c, d, e, f] = ident.to_be_bytes();
    [protocol, 0, a, b, c, d, e, f]
}

fn address(data: &[u8], at: usize) -> Result<Ipv6Addr, Bad> {
    let octets: &[u8; 16] = data.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Bad::Malformed)?;
    Ok(Ipv6Addr::from(*octets))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ip::{TCP, UDP};
    use crate::ip6::chain::{UNKNOWN_OPTION, UNKNOWN_PROTOCOL};
    use crate::ip6::message::tests::Random;

    const A: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    pub(crate) const B: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
    pub(crate) const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

    pub(crate) fn packet(to: Ipv6Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; HEADER];
        packet.extend_from_slice(payload);
        write(&mut packet, A, to, protocol, 64, false);
        packet
    }

    pub(crate) fn parse(to: Ipv6Addr, protocol: u8, payload: &[u8]) -> Result<Packet, Bad> {
        let packet = packet(to, protocol, payload);
        Packet::parse(&packet, packet.len())
    }

    pub(crate) fn problem<T>(code: u8, pointer: usize) -> Result<T, Bad> {
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
