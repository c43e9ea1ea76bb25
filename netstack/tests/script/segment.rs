//! Segments on the wire, read and written without the code under test (RFC 791, 9293, 7323, 2018).

use crate::sim::HOSTS;
use std::fmt::{self, Display, Formatter};

/// The letters of the flags' octet, from the lowest bit on, as tcpdump and packetdrill have them.
pub const LETTERS: &str = "FSRP.UEW";
/// What the ECN field of the IP header is called.
pub const FIELDS: [&str; 4] = ["noecn", "ect1", "ect0", "ce"];

/// An option of a TCP header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opt {
    Mss(u16),
    Scale(u8),
    SackPermitted,
    Sack(Vec<(u32, u32)>),
    Timestamp(u32, u32),
    Raw(Vec<u8>),
}

/// A segment with the ECN field of its packet.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    pub ecn: u8,
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    pub options: Vec<Opt>,
    pub payload: Vec<u8>,
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(octets.get(at..at + 4)?.try_into().ok()?))
}

fn half(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

impl Segment {
    /// Reads an IPv4 packet.
    pub fn read(packet: &[u8]) -> Option<Self> {
        let ip = usize::from(packet.first()? & 15) * 4;
        let tcp = packet.get(ip..usize::from(half(packet, 2)?))?;
        let header = usize::from(*tcp.get(12)? >> 4) * 4;
        Some(Self {
            ecn: packet[1] & 3,
            flags: *tcp.get(13)?,
            seq: word(tcp, 4)?,
            ack: word(tcp, 8)?,
            window: half(tcp, 14)?,
            options: options(tcp.get(20..header)?)?,
            payload: tcp.get(header..)?.to_vec(),
        })
    }

    /// Writes the packet that end `from` sends, without checksums.
    pub fn write(&self, from: usize) -> Vec<u8> {
        let mut options: Vec<u8> = self.options.iter().flat_map(octets_of).collect();
        options.resize(options.len().next_multiple_of(4), 1);
        let len = 40 + options.len() + self.payload.len();
        let mut packet = vec![0x45, self.ecn];
        packet.extend((len as u16).to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend(HOSTS[from].0.octets());
        packet.extend(HOSTS[1 - from].0.octets());
        packet.extend(HOSTS[from].1.to_be_bytes());
        packet.extend(HOSTS[1 - from].1.to_be_bytes());
        packet.extend(self.seq.to_be_bytes());
        packet.extend(self.ack.to_be_bytes());
        packet.extend([((20 + options.len()) * 4) as u8, self.flags]);
        packet.extend(self.window.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(options);
        packet.extend(&self.payload);
        packet
    }

    /// Whether a flag is set, by its letter.
    pub fn has(&self, letter: char) -> bool {
        LETTERS.find(letter).is_some_and(|bit| self.flags >> bit & 1 != 0)
    }
}

fn options(mut octets: &[u8]) -> Option<Vec<Opt>> {
    let mut all = vec![];
    while let [kind, rest @ ..] = octets {
        if *kind == 0 {
            break;
        }
        if *kind == 1 {
            octets = rest;
            continue;
        }
        let len = usize::from(*rest.first()?);
        let option = octets.get(..len).filter(|_| len >= 2)?;
        octets = &octets[len..];
        all.push(match (kind, len) {
            (2, 4) => Opt::Mss(half(option, 2)?),
            (3, 3) => Opt::Scale(option[2]),
            (4, 2) => Opt::SackPermitted,
            (5, _) if len % 8 == 2 => {
                let blocks = (2..len).step_by(8);
                Opt::Sack(
                    blocks
                        .map(|at| Some((word(option, at)?, word(option, at + 4)?)))
                        .collect::<Option<_>>()?,
                )
            }
            (8, 10) => Opt::Timestamp(word(option, 2)?, word(option, 6)?),
            _ => Opt::Raw(option.to_vec()),
        });
    }
    Some(all)
}

fn octets_of(option: &Opt) -> Vec<u8> {
    let with = |kind: u8, value: &[u8]| [&[kind, value.len() as u8 + 2], value].concat();
    match option {
        Opt::Mss(mss) => with(2, &mss.to_be_bytes()),
        Opt::Scale(shift) => with(3, &[*shift]),
        Opt::SackPermitted => with(4, &[]),
        Opt::Sack(blocks) => {
            let numbers = blocks.iter().flat_map(|(from, to)| [from.to_be_bytes(), to.to_be_bytes()]);
            with(5, &numbers.flatten().collect::<Vec<_>>())
        }
        Opt::Timestamp(value, echo) => with(8, &[value.to_be_bytes(), echo.to_be_bytes()].concat()),
        Opt::Raw(octets) => octets.clone(),
    }
}

impl Display for Opt {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Opt::Mss(mss) => write!(f, "mss {mss}"),
            Opt::Scale(shift) => write!(f, "wscale {shift}"),
            Opt::SackPermitted => write!(f, "sackOK"),
            Opt::Sack(blocks) => {
                write!(f, "sack")?;
                blocks.iter().try_for_each(|(from, to)| write!(f, " {from}:{to}"))
            }
            Opt::Timestamp(value, echo) => write!(f, "TS val {value} ecr {echo}"),
            Opt::Raw(octets) => write!(f, "raw {octets:02x?}"),
        }
    }
}

impl Display for Segment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.ecn != 0 {
            write!(f, "[{}] ", FIELDS[usize::from(self.ecn)])?;
        }
        // The acknowledgement's dot comes last.
        LETTERS
            .chars()
            .filter(|letter| self.has(*letter) && *letter != '.')
            .try_for_each(|c| write!(f, "{c}"))?;
        if self.has('.') {
            write!(f, ".")?;
        }
        let len = self.payload.len() as u32;
        write!(f, " {}:{}({len})", self.seq, self.seq.wrapping_add(len))?;
        if self.has('.') {
            write!(f, " ack {}", self.ack)?;
        }
        write!(f, " win {}", self.window)?;
        if !self.options.is_empty() {
            let all: Vec<String> = self.options.iter().map(Opt::to_string).collect();
            write!(f, " <{}>", all.join(","))?;
        }
        Ok(())
    }
}
