//! The chain of extension headers between the fixed header and what a packet carries (RFC 8200, 4).
//!
//! Bounded in headers and octets, so that nobody has us walk for long. Of a fragment only that is looked at which RFC 7112 wants
//! there; its options when all fragments are.

use super::headers::{FRAGMENT_HEADER, HEADER, ICMPV6, LENGTH_AT, PROTOCOL_AT};
use crate::ip::{TCP, UDP};
use core::net::Ipv6Addr;

/// Protocol numbers of extension headers.
pub(crate) const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
const NOTHING: u8 = 59;
const DESTINATION: u8 = 60;

/// Extension headers of one packet, and their octets. RFC 8200 has an order of five that makes sense.
const MAX_HEADERS: usize = 8;
const MAX_CHAIN: usize = 1024;
/// The largest payload, octets.
const MAX_PAYLOAD: usize = 65_535;

/// Options that are known: one octet of padding, and that of RFC 2711.
const PAD: u8 = 0;
const ROUTER_ALERT: u8 = 5;

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

/// A place in a chain of headers.
pub(super) struct Chain<'a> {
    data: &'a [u8],
    /// Octets of the packet, of which not all need to be in `data`.
    end: usize,
    at: usize,
    /// What is at `at`, and the octet that says so.
    protocol: u8,
    named_at: usize,
    headers: usize,
    destination: Ipv6Addr,
    pub(super) may_be_hop_by_hop: bool,
    pub(super) may_be_fragment: bool,
    /// There was a router alert.
    pub(super) alert: bool,
}

impl<'a> Chain<'a> {
    /// The beginning of the chain, behind the fixed header of a packet of `end` octets.
    pub(super) fn new(data: &'a [u8], end: usize, protocol: u8, destination: Ipv6Addr) -> Self {
        Self {
            data,
            end,
            at: HEADER,
            protocol,
            named_at: PROTOCOL_AT,
            headers: 0,
            destination,
            may_be_hop_by_hop: false,
            may_be_fragment: true,
            alert: false,
        }
    }

    /// Walks to what the packet carries.
    pub(super) fn payload(&mut self) -> Result<Payload, Bad> {
        self.walk().map_err(|bad| match bad {
            // Groups get no answers, but about options that ask for one.
            Bad::Problem { code, .. } if code != UNKNOWN_OPTION && self.destination.is_multicast() => {
                Bad::Silent
            }
            bad => bad,
        })
    }

    fn walk(&mut self) -> Result<Payload, Bad> {
        loop {
            match self.protocol {
                HOP_BY_HOP if !self.may_be_hop_by_hop => {
                    return Err(problem(UNKNOWN_PROTOCOL, self.named_at));
                }
                kind @ (HOP_BY_HOP | DESTINATION) => {
                    let at = self.at;
                    let header = self.pass()?;
                    self.alert |= options(at, header, self.destination)? && kind == HOP_BY_HOP;
                }
                ROUTING => {
                    let at = self.at;
                    // A route that ends here says nothing more. One that goes on is none that we know (RFC 5095 for type 0).
                    if self.pass()?[3] != 0 {
                        return Err(problem(ERRONEOUS_FIELD, at + 2));
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
            return Err(problem(ERRONEOUS_FIELD, LENGTH_AT));
        }
        if header_at - HEADER + offset + len > MAX_PAYLOAD {
            return Err(problem(ERRONEOUS_FIELD, header_at + 2));
        }
        if offset == 0 && !self.is_whole()? {
            return Err(problem(INCOMPLETE_CHAIN, 0));
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

/// Looks at the options of the header at `at` (RFC 8200, 4.2), and says whether there is a router alert.
fn options(at: usize, header: &[u8], destination: Ipv6Addr) -> Result<bool, Bad> {
    let (mut place, mut alert) = (2, false);
    while let Some(&kind) = header.get(place) {
        if kind == PAD {
            place += 1;
            continue;
        }
        let len = usize::from(*header.get(place + 1).ok_or(Bad::Malformed)?);
        if place + 2 + len > header.len() {
            return Err(Bad::Malformed);
        }
        alert |= kind == ROUTER_ALERT;
        match kind >> 6 {
            0 => {}
            1 => return Err(Bad::Silent),
            3 if destination.is_multicast() => return Err(Bad::Silent),
            _ => return Err(problem(UNKNOWN_OPTION, at + place)),
        }
        place += 2 + len;
    }
    Ok(alert)
}

fn problem(code: u8, pointer: usize) -> Bad {
    Bad::Problem { code, pointer }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip6::headers::Packet;
    use crate::ip6::headers::tests::{B, GROUP, packet, parse, problem};
    use crate::ip6::headers::write_fragment;

    /// What becomes of a packet to a host that has extension headers.
    fn payload(protocol: u8, payload: &[u8]) -> Result<Payload, Bad> {
        parse(B, protocol, payload).map(|p| p.payload)
    }

    fn whole(protocol: u8, at: usize, named_at: usize) -> Result<Payload, Bad> {
        Ok(Payload::Whole(Carried { protocol, at, named_at }))
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
            payload(44, &[write_fragment(44, 0, false, 7), write_fragment(UDP, 8, true, 7)].concat()),
            Err(Bad::Silent)
        );
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
}
