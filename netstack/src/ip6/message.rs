//! Messages of neighbour discovery (RFC 4861; RFC 4191, 7527 and 8106 for options): read and written.
//!
//! Of RFC 4861's checks on received messages (6.1.2, 7.1.1, 7.1.2) these are made here: the code, lengths, the target, options of
//! no length, and what source and destination forbid. The caller has checked the checksum and that the hop limit is 255.
//! Redirects (type 137) are not read: hosts send to their router.

use core::net::Ipv6Addr;
use fata_libos::net::MacAddress;

/// Types.
pub(crate) const ROUTER_SOLICITATION: u8 = 133;
pub(crate) const ROUTER_ADVERTISEMENT: u8 = 134;
pub(crate) const SOLICITATION: u8 = 135;
pub(crate) const ADVERTISEMENT: u8 = 136;

/// Options.
const SOURCE: u8 = 1;
const TARGET: u8 = 2;
const PREFIX: u8 = 3;
const MTU: u8 = 5;
const NONCE: u8 = 14;
const SERVERS: u8 = 25;

/// What is before the options, octets: of a router's advertisement, of messages with a target.
const ROUTER_HEADER: usize = 16;
const TARGET_HEADER: usize = 24;
/// Prefixes that are looked at in one message.
const MAX_PREFIXES: usize = 16;

/// All nodes of the link.
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers of the link.
pub(crate) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// The group in which an address is asked for (RFC 4291, 2.7.1).
#[inline(never)]
pub(crate) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let group = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from_bits(group | address.to_bits() & 0x00ff_ffff)
}

/// Random octets that a host knows its own probe by (RFC 7527).
pub(crate) type Nonce = [u8; 6];

/// How much a router wants to be used (RFC 4191, 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Preference {
    Low,
    Medium,
    High,
}

/// What a router says, but for its hop limit and its times of neighbours: a host that believed those could be made to be heard
/// by its link alone, or to ask for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouterAdvertisement<'a> {
    pub(crate) preference: Preference,
    /// How long it is a default router, seconds; 0: it is none.
    pub(crate) lifetime: u16,
    /// Its own address on the link.
    pub(crate) link: Option<MacAddress>,
    /// The link's largest packet, octets, as it says.
    pub(crate) mtu: Option<u32>,
    options: &'a [u8],
}

/// A prefix that a router advertises (RFC 4861, 4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// Zero behind the prefix.
    pub(crate) address: Ipv6Addr,
    /// Bits, up to 128.
    pub(crate) len: u8,
    pub(crate) on_link: bool,
    /// Hosts make addresses of it.
    pub(crate) autonomous: bool,
    /// Seconds; [`u32::MAX`]: for ever.
    pub(crate) valid: u32,
    /// Seconds; [`u32::MAX`]: for ever.
    pub(crate) preferred: u32,
}

impl<'a> RouterAdvertisement<'a> {
    /// Reads a whole ICMPv6 message from `source`.
    pub(crate) fn parse(message: &'a [u8], source: Ipv6Addr) -> Option<Self> {
        let (&[kind, code, _, _, _, flags, l0, l1, ..], rest) =
            message.split_first_chunk::<ROUTER_HEADER>()?;
        let options = checked(rest)?;
        if kind != ROUTER_ADVERTISEMENT || code != 0 || !source.is_unicast_link_local() {
            return None;
        }
        let preference = match flags >> 3 & 3 {
            1 => Preference::High,
            3 => Preference::Low,
            _ => Preference::Medium,
        };
        let mtu = find(options, MTU).and_then(|body| word(body, 2));
        Some(Self {
            preference,
            lifetime: u16::from_be_bytes([l0, l1]),
            link: find(options, SOURCE).and_then(station),
            mtu,
            options,
        })
    }

    /// The prefixes, no more than 16.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = Prefix> + use<'a> {
        let bodies = Options(self.options).filter(|(kind, _)| *kind == PREFIX);
        bodies.filter_map(|(_, body)| prefix(body)).take(MAX_PREFIXES)
    }

    /// Name servers, and for how many seconds they are such (RFC 8106, 5.1); [`u32::MAX`]: for ever.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (Ipv6Addr, u32)> + use<'a> {
        let bodies = Options(self.options).filter(|(kind, body)| *kind == SERVERS && body.len() % 16 == 6);
        bodies.flat_map(|(_, body)| {
            let (lifetime, rest) = (word(body, 2).unwrap_or(0), body.get(6..).unwrap_or_default());
            rest.as_chunks().0.iter().map(move |octets: &[u8; 16]| (Ipv6Addr::from(*octets), lifetime))
        })
    }
}

/// Somebody asks for the link's address of a neighbour, or whether an address is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Solicitation {
    pub(crate) target: Ipv6Addr,
    /// The asking one's own address on the link.
    pub(crate) link: Option<MacAddress>,
    pub(crate) nonce: Option<Nonce>,
}

impl Solicitation {
    /// Reads a whole ICMPv6 message of a packet from `source` to `destination`.
    pub(crate) fn parse(message: &[u8], source: Ipv6Addr, destination: Ipv6Addr) -> Option<Self> {
        let (target, _, options) = about_target(message, SOLICITATION)?;
        let link = find(options, SOURCE);
        // Who has no address yet asks the group, and says nothing of where he is.
        if source.is_unspecified() && (destination != solicited_node(target) || link.is_some()) {
            return None;
        }
        let nonce = find(options, NONCE).and_then(|body| body.try_into().ok());
        Some(Self { target, link: link.and_then(station), nonce })
    }
}

/// A neighbour says where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advertisement {
    pub(crate) target: Ipv6Addr,
    pub(crate) is_router: bool,
    /// It answers a solicitation of ours.
    pub(crate) is_solicited: bool,
    /// It replaces what is known.
    pub(crate) overrides: bool,
    /// The target's address on the link.
    pub(crate) link: Option<MacAddress>,
}

impl Advertisement {
    /// Reads a whole ICMPv6 message of a packet to `destination`.
    pub(crate) fn parse(message: &[u8], destination: Ipv6Addr) -> Option<Self> {
        let (target, flags, options) = about_target(message, ADVERTISEMENT)?;
        let is_solicited = flags & SOLICITED != 0;
        if is_solicited && destination.is_multicast() {
            return None;
        }
        Some(Self {
            target,
            is_router: flags & ROUTER != 0,
            is_solicited,
            overrides: flags & OVERRIDE != 0,
            link: find(options, TARGET).and_then(station),
        })
    }
}

/// Flags of an advertisement, in its fifth octet.
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// A message that we send: whole, but for its checksum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    kind: u8,
    flags: u8,
    target: Option<Ipv6Addr>,
    option: Option<(u8, [u8; 6])>,
}

impl Outgoing {
    /// Asks for routers. `link` is our address on the link, where the packet's source is an address.
    pub(crate) fn router_solicitation(link: Option<MacAddress>) -> Self {
        Self { kind: ROUTER_SOLICITATION, flags: 0, target: None, option: link.map(|mac| (SOURCE, mac.0)) }
    }

    /// Asks for a neighbour.
    pub(crate) fn solicitation(target: Ipv6Addr, link: MacAddress) -> Self {
        Self { kind: SOLICITATION, flags: 0, target: Some(target), option: Some((SOURCE, link.0)) }
    }

    /// Asks whether somebody has `target` (RFC 4862, 5.4.2): from no address to its [`solicited_node`].
    pub(crate) fn probe(target: Ipv6Addr, nonce: Nonce) -> Self {
        Self { kind: SOLICITATION, flags: 0, target: Some(target), option: Some((NONCE, nonce)) }
    }

    /// Says to `destination` that `target` is ours. Who asked is told so; a group did not ask.
    pub(crate) fn advertisement(target: Ipv6Addr, link: MacAddress, destination: Ipv6Addr) -> Self {
        let flags = if destination.is_multicast() { OVERRIDE } else { OVERRIDE | SOLICITED };
        Self { kind: ADVERTISEMENT, flags, target: Some(target), option: Some((TARGET, link.0)) }
    }

    /// Octets of the message.
    pub(crate) fn len(&self) -> usize {
        let header = if self.target.is_some() { TARGET_HEADER } else { 8 };
        header + if self.option.is_some() { 8 } else { 0 }
    }

    /// Writes the message into a buffer of [`len`](Self::len) octets, with a checksum of zero.
    pub(crate) fn write(&self, message: &mut [u8]) {
        message.fill(0);
        let mut put = |at: usize, octets: &[u8]| {
            if let Some(place) = message.get_mut(at..at + octets.len()) {
                place.copy_from_slice(octets);
            }
        };
        put(0, &[self.kind]);
        put(4, &[self.flags]);
        if let Some(target) = self.target {
            put(8, &target.octets());
        }
        if let Some((kind, data)) = self.option {
            put(self.len() - 8, &[kind, 1]);
            put(self.len() - 6, &data);
        }
    }
}

/// Target, flags and options of a message about a neighbour.
fn about_target(message: &[u8], expected: u8) -> Option<(Ipv6Addr, u8, &[u8])> {
    let (header, rest) = message.split_first_chunk::<TARGET_HEADER>()?;
    let options = checked(rest)?;
    let target = Ipv6Addr::from(*header.last_chunk::<16>()?);
    // The table of neighbours has those of IPv4 by the addresses that stand for them.
    let is_strange = target.is_multicast() || target.to_ipv4_mapped().is_some();
    let is_sound = header[0] == expected && header[1] == 0 && !is_strange;
    is_sound.then_some((target, header[4], options))
}

/// Options, each with its type and what is behind its length. Ends at one that has no length or too much.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);
    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        let &[kind, units, ..] = self.0 else { return None };
        let (option, rest) = self.0.split_at_checked(usize::from(units) * 8)?;
        let body = option.get(2..)?;
        self.0 = rest;
        Some((kind, body))
    }
}

/// The options, if all of them make sense.
fn checked(options: &[u8]) -> Option<&[u8]> {
    let mut rest = Options(options);
    while rest.next().is_some() {}
    rest.0.is_empty().then_some(options)
}

/// What the first option of a type holds.
#[inline(never)]
fn find(options: &[u8], wanted: u8) -> Option<&[u8]> {
    Options(options).find(|(kind, _)| *kind == wanted).map(|(_, body)| body)
}

/// The address on the link that an option holds: of one station.
#[inline(never)]
fn station(body: &[u8]) -> Option<MacAddress> {
    let mac: [u8; 6] = body.try_into().ok()?;
    (mac[0] & 1 == 0).then_some(MacAddress(mac))
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..).and_then(|rest| rest.first_chunk()).map(|octets| u32::from_be_bytes(*octets))
}

fn prefix(body: &[u8]) -> Option<Prefix> {
    let (&len, &flags) = (body.first()?, body.get(1)?);
    if body.len() != 30 || len > 128 {
        return None;
    }
    let address = Ipv6Addr::from_bits(u128::from_be_bytes(*body.last_chunk()?) & mask(len));
    let (on_link, autonomous) = (flags & 0x80 != 0, flags & 0x40 != 0);
    Some(Prefix { address, len, on_link, autonomous, valid: word(body, 2)?, preferred: word(body, 6)? })
}

/// The bits of a prefix.
pub(crate) fn mask(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests;
