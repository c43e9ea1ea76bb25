//! DNS messages (RFC 1035): a question for addresses, and what an answer says.

use crate::error::Error;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use smoltcp::wire::{
    DnsFlags, DnsOpcode, DnsPacket, DnsQueryType, DnsQuestion, DnsRcode, DnsRecord, DnsRecordData, DnsRepr,
};

/// The longest name as it goes over the wire, octets.
const MAX_NAME: usize = 255;
/// Aliases followed in one answer.
const MAX_ALIASES: usize = 8;
/// Addresses taken from one answer.
const MAX_ADDRESSES: usize = 16;
/// How long it is remembered that a name does not exist, where the answer does not say (RFC 2308 has it say), seconds.
const NEGATIVE_TTL: u32 = 60;
/// The longest that is remembered (RFC 2308, 5 suggests up to three hours), seconds.
const MAX_NEGATIVE_TTL: u32 = 3 * 3600;
const SOA: u16 = 6;

/// A name as it goes over the wire, in lower case: labels with their lengths.
pub(super) type Name = Vec<u8>;

/// The wire form of a name.
pub(super) fn encode(name: &str) -> Result<Name, Error> {
    let mut wire = Vec::new();
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if label.is_empty() || label.len() > 63 || !label.bytes().all(fine) {
            return Err(Error::InvalidInput);
        }
        wire.push(label.len() as u8);
        wire.extend(label.bytes().map(|b| b.to_ascii_lowercase()));
    }
    wire.push(0);
    if wire.len() > MAX_NAME { Err(Error::InvalidInput) } else { Ok(wire) }
}

/// Which addresses of a name are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Those of IPv4.
    A,
    /// Those of IPv6 (RFC 3596).
    Aaaa,
}

impl Kind {
    fn query(self) -> DnsQueryType {
        match self {
            Self::A => DnsQueryType::A,
            Self::Aaaa => DnsQueryType::Aaaa,
        }
    }
}

/// The question for a name's addresses.
pub(super) fn question(id: u16, name: &[u8], kind: Kind) -> Vec<u8> {
    let repr = DnsRepr {
        transaction_id: id,
        opcode: DnsOpcode::Query,
        flags: DnsFlags::RECURSION_DESIRED,
        question: DnsQuestion { name, type_: kind.query() },
    };
    let mut message = vec![0; repr.buffer_len()];
    repr.emit(&mut DnsPacket::new_unchecked(&mut message[..]));
    message
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The addresses, good for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// There is no address, which holds for so many seconds.
    Nothing(u32),
    /// The name is an alias for another, about which it says nothing more.
    Alias(Name),
    /// It does not fit into a datagram.
    Truncated,
    /// The server cannot say.
    Failed,
}

/// Reads an answer to the question `id` for `name`; `None` if it is not one.
pub(super) fn read(message: &[u8], id: u16, name: &[u8], kind: Kind) -> Option<Answer> {
    let packet = DnsPacket::new_checked(message).ok()?;
    let flags = packet.flags();
    if packet.transaction_id() != id || !flags.contains(DnsFlags::RESPONSE) || packet.question_count() != 1 {
        return None;
    }
    let (rest, question) = DnsQuestion::parse(packet.payload()).ok()?;
    if question.type_ != kind.query() || expand(&packet, question.name)? != name {
        return None;
    }
    if !matches!(packet.rcode(), DnsRcode::NoError | DnsRcode::NXDomain) {
        return Some(Answer::Failed);
    }
    let records = usize::from(packet.answer_record_count());
    let (answers, rest) = records_of(rest, records);
    let (name_at_end, ttl) = follow(&packet, &answers, name)?;
    let (addresses, ttl) = addresses(&packet, &answers, (&name_at_end, kind), ttl);
    if !addresses.is_empty() {
        return Some(Answer::Addresses(addresses, ttl));
    }
    if flags.contains(DnsFlags::TRUNCATED) {
        return Some(Answer::Truncated);
    }
    if name_at_end != name && packet.rcode() == DnsRcode::NoError {
        return Some(Answer::Alias(name_at_end));
    }
    let (authority, _) = records_of(rest, usize::from(packet.authority_record_count()));
    Some(Answer::Nothing(negative_ttl(&authority)))
}

/// So many records, or as many as make sense.
fn records_of(mut bytes: &[u8], count: usize) -> (Vec<DnsRecord<'_>>, &[u8]) {
    let mut records = Vec::new();
    for _ in 0..count.min(64) {
        let Ok((rest, record)) = DnsRecord::parse(bytes) else { break };
        records.push(record);
        bytes = rest;
    }
    (records, bytes)
}

/// The name that `name` is an alias for in the end, and the least lifetime on the way.
fn follow(packet: &DnsPacket<&[u8]>, records: &[DnsRecord<'_>], name: &[u8]) -> Option<(Name, u32)> {
    let (mut name, mut ttl) = (Name::from(name), u32::MAX);
    for _ in 0..MAX_ALIASES {
        let alias = records.iter().find_map(|record| match record.data {
            DnsRecordData::Cname(target) if expand(packet, record.name)? == name => {
                Some((target, record.ttl))
            }
            _ => None,
        });
        let Some((target, lifetime)) = alias else { break };
        name = expand(packet, target)?;
        ttl = ttl.min(lifetime);
    }
    Some((name, ttl))
}

fn addresses(
    packet: &DnsPacket<&[u8]>,
    records: &[DnsRecord<'_>],
    (name, kind): (&[u8], Kind),
    mut ttl: u32,
) -> (Vec<IpAddr>, u32) {
    let mut found = Vec::new();
    for record in records {
        let address = match record.data {
            DnsRecordData::A(address) if kind == Kind::A => Some(IpAddr::V4(address)),
            DnsRecordData::Aaaa(address) if kind == Kind::Aaaa => Some(IpAddr::V6(address)),
            _ => None,
        };
        if let Some(address) = address
            && found.len() < MAX_ADDRESSES
            && expand(packet, record.name).is_some_and(|n| n == name)
        {
            found.push(address);
            ttl = ttl.min(record.ttl);
        }
    }
    (found, ttl)
}

/// What the zone's SOA says (RFC 2308, 5): the lesser of its lifetime and its last field.
fn negative_ttl(authority: &[DnsRecord<'_>]) -> u32 {
    let soa = authority.iter().find_map(|record| match record.data {
        DnsRecordData::Other(kind, data) if u16::from(kind) == SOA => {
            Some(record.ttl.min(u32::from_be_bytes(*data.last_chunk()?)))
        }
        _ => None,
    });
    soa.unwrap_or(NEGATIVE_TTL).min(MAX_NEGATIVE_TTL)
}

/// A name without compression, in lower case.
fn expand(packet: &DnsPacket<&[u8]>, name: &[u8]) -> Option<Name> {
    let mut wire = Name::new();
    for label in packet.parse_name(name) {
        let label = label.ok()?;
        if wire.len() + label.len() + 2 > MAX_NAME {
            return None;
        }
        wire.push(label.len() as u8);
        wire.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    wire.push(0);
    Some(wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(encode("Www.Example.org.").unwrap(), b"\x03www\x07example\x03org\0");
        assert_eq!(encode("a").unwrap(), b"\x01a\0");
        for bad in ["", ".", "a..b", "a b", "grün", &"x".repeat(64), &"abcdefghi.".repeat(26)] {
            assert_eq!(encode(bad), Err(Error::InvalidInput), "{bad}");
        }
    }

    /// Answers to `a.b`: flags, then the answer and authority records.
    fn message(flags: u16, answers: &[&[u8]], authority: &[&[u8]]) -> Vec<u8> {
        let mut m = vec![0x12, 0x34];
        m.extend(flags.to_be_bytes());
        m.extend([0, 1, 0, answers.len() as u8, 0, authority.len() as u8, 0, 0]);
        m.extend(b"\x01a\x01B\0\0\x01\0\x01");
        answers.iter().chain(authority).for_each(|r| m.extend(*r));
        m
    }

    const A: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x09";
    const ALIAS: &[u8] = b"\xc0\x0c\0\x05\0\x01\0\0\0\x0a\0\x04\x01c\xc0\x0e";
    const OF_ALIAS: &[u8] = b"\x01c\x01b\0\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x07";

    fn answer(message: &[u8]) -> Option<Answer> {
        read(message, 0x1234, b"\x01a\x01b\0", Kind::A)
    }

    #[test]
    fn answers() {
        let (nine, seven) = (IpAddr::from([10, 0, 0, 9]), IpAddr::from([10, 0, 0, 7]));
        assert_eq!(answer(&message(0x8180, &[A], &[])), Some(Answer::Addresses(vec![nine], 60)));
        assert_eq!(
            answer(&message(0x8180, &[OF_ALIAS, ALIAS], &[])),
            Some(Answer::Addresses(vec![seven], 10)),
            "in any order"
        );
        assert_eq!(answer(&message(0x8180, &[ALIAS], &[])), Some(Answer::Alias(b"\x01c\x01b\0".to_vec())));
        assert_eq!(answer(&message(0x8183, &[], &[])), Some(Answer::Nothing(NEGATIVE_TTL)));
        let soa =
            b"\x01b\0\0\x06\0\x01\0\0\x0e\x10\0\x16\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x1e";
        assert_eq!(answer(&message(0x8183, &[], &[soa])), Some(Answer::Nothing(30)));
        assert_eq!(answer(&message(0x8182, &[], &[])), Some(Answer::Failed));
        assert_eq!(answer(&message(0x8380, &[], &[])), Some(Answer::Truncated));
        assert_eq!(answer(&message(0x8380, &[ALIAS], &[])), Some(Answer::Truncated));
        assert_eq!(
            answer(&message(0x8380, &[A], &[])),
            Some(Answer::Addresses(vec![nine], 60)),
            "what there is will do"
        );
    }

    #[test]
    fn addresses_of_ipv6() {
        let mut six = message(
            0x8180,
            &[A, b"\xc0\x0c\0\x1c\0\x01\0\0\0\x3c\0\x10 \x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09"],
            &[],
        );
        let read = |message: &[u8], kind| read(message, 0x1234, b"\x01a\x01b\0", kind);
        assert_eq!(read(&six, Kind::Aaaa), None, "the answer to another question");
        six[18] = 28;
        let nine: IpAddr = "2001:db8::9".parse().unwrap();
        assert_eq!(read(&six, Kind::Aaaa), Some(Answer::Addresses(vec![nine], 60)));
        assert_eq!(read(&six, Kind::A), None);
        let short = message(0x8180, &[b"\xc0\x0c\0\x1c\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x09"], &[]);
        let short = [&short[..18], &[28], &short[19..]].concat();
        assert_eq!(read(&short, Kind::Aaaa), Some(Answer::Nothing(NEGATIVE_TTL)));
        assert_eq!(question(7, b"\x01a\0", Kind::Aaaa)[15..], [0, 28, 0, 1]);
    }

    #[test]
    fn what_is_no_answer() {
        assert_eq!(answer(&message(0x0100, &[A], &[])), None, "a question");
        assert_eq!(read(&message(0x8180, &[A], &[]), 1, b"\x01a\x01b\0", Kind::A), None, "another's");
        assert_eq!(read(&message(0x8180, &[A], &[]), 0x1234, b"\x01x\x01b\0", Kind::A), None, "another's");
        let whole = message(0x8180, &[ALIAS, OF_ALIAS], &[]);
        for len in 0..whole.len() {
            let _ = answer(&whole[..len]);
        }
        let round = b"\xc0\x0c\0\x05\0\x01\0\0\0\x0a\0\x02\xc0\x0c";
        assert_eq!(answer(&message(0x8180, &[round], &[])), Some(Answer::Nothing(NEGATIVE_TTL)), "a circle");
    }
}
