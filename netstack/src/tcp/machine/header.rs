//! The header of a segment with its options, read and written once (RFC 9293, 3.1; RFC 7323; RFC 2018).

use super::Seq;
use core::ops::{BitOr, BitOrAssign, Deref};
use smoltcp::wire::{TcpPacket, TcpSeqNumber};

/// A header without options, octets.
pub const HEADER: usize = 20;

/// The octet of control bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// The sequence number is the first.
    pub const SYN: Self = Self(0x02);
    /// The connection is over.
    pub const RST: Self = Self(0x04);
    /// The receiver need not wait for more.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(0x10);
    /// The sender saw congestion (RFC 3168, 6.1).
    pub const ECE: Self = Self(0x40);
    /// The sender has slowed down (RFC 3168, 6.1).
    pub const CWR: Self = Self(0x80);

    /// Whether all of those are set.
    pub fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// RFC 7323, 3.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp {
    /// The sender's clock.
    pub value: u32,
    /// The receiver's clock, as the sender saw it last.
    pub echo: u32,
}

/// Blocks of a selective acknowledgement, each from its first number to the one after its last (RFC 2018, 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sacks {
    blocks: [(Seq, Seq); 4],
    len: u8,
}

impl Sacks {
    /// Adds one; false if there are four already.
    pub fn push(&mut self, block: (Seq, Seq)) -> bool {
        let has_room = usize::from(self.len) < self.blocks.len();
        if has_room {
            self.blocks[usize::from(self.len)] = block;
            self.len += 1;
        }
        has_room
    }

    /// Leaves the first so many.
    pub fn truncate(&mut self, most: usize) {
        self.len = self.len.min(most as u8);
    }
}

impl Deref for Sacks {
    type Target = [(Seq, Seq)];
    fn deref(&self) -> &Self::Target {
        &self.blocks[..usize::from(self.len)]
    }
}

/// What stands after the fixed part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The largest segment that the sender takes, octets of data. Of a SYN only, as the next two.
    pub mss: Option<u16>,
    /// How far the sender's window field is to be shifted; at most 14.
    pub scale: Option<u8>,
    /// The sender understands selective acknowledgements.
    pub sack_permitted: bool,
    /// The clocks.
    pub timestamp: Option<Timestamp>,
    /// What has come out of order.
    pub sack: Sacks,
}

impl Options {
    /// Their length with padding, octets.
    fn len(&self) -> usize {
        let mss = if self.mss.is_some() { 4 } else { 0 };
        let scale = if self.scale.is_some() { 4 } else { 0 };
        let timestamp = if self.timestamp.is_some() { 12 } else { 0 };
        let permitted = if self.sack_permitted && self.timestamp.is_none() { 4 } else { 0 };
        let sack = if self.sack.is_empty() { 0 } else { 4 + 8 * self.sack.len() };
        mss + scale + timestamp + permitted + sack
    }

    fn read(mut rest: &[u8]) -> Self {
        let mut options = Self::default();
        // What cannot be read ends the options; the segment counts without the rest, as everywhere in the Internet.
        while let Some((&kind, after)) = rest.split_first() {
            match kind {
                0 => break,
                1 => rest = after,
                _ => {
                    let Some(len) = after.first().map(|len| usize::from(*len)) else { break };
                    if len < 2 || len > rest.len() {
                        break;
                    }
                    options.read_one(kind, &rest[2..len]);
                    rest = &rest[len..];
                }
            }
        }
        options
    }

    fn read_one(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            (2, [a, b]) => self.mss = Some(u16::from_be_bytes([*a, *b])),
            (3, [shift]) => self.scale = Some((*shift).min(14)),
            (4, []) => self.sack_permitted = true,
            (5, blocks) if blocks.len() % 8 == 0 => {
                for block in blocks.chunks_exact(8) {
                    self.sack.push((Seq(word(block)), Seq(word(&block[4..]))));
                }
            }
            (8, clocks) if clocks.len() == 8 => {
                self.timestamp = Some(Timestamp { value: word(clocks), echo: word(&clocks[4..]) });
            }
            _ => {}
        }
    }

    /// Writes them into a buffer of their length.
    fn write(&self, buf: &mut [u8]) {
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            buf[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        if let Some(mss) = self.mss {
            put(&[2, 4]);
            put(&mss.to_be_bytes());
        }
        if self.sack_permitted {
            put(&[4, 2]);
        }
        if let Some(clocks) = self.timestamp {
            if !self.sack_permitted {
                put(&[1, 1]);
            }
            put(&[8, 10]);
            put(&clocks.value.to_be_bytes());
            put(&clocks.echo.to_be_bytes());
        } else if self.sack_permitted {
            put(&[1, 1]);
        }
        if let Some(scale) = self.scale {
            put(&[1, 3, 3, scale]);
        }
        if !self.sack.is_empty() {
            put(&[1, 1, 5, 2 + 8 * self.sack.len() as u8]);
            for (from, to) in self.sack.iter() {
                put(&from.0.to_be_bytes());
                put(&to.0.to_be_bytes());
            }
        }
    }
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// A segment without its data and its ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The number of its first octet.
    pub seq: Seq,
    /// The number that the sender expects next, where [`Flags::ACK`] is set.
    pub ack: Seq,
    /// The window field, unshifted.
    pub window: u16,
    /// Control bits.
    pub flags: Flags,
    /// Options.
    pub options: Options,
}

/// A header as it was read, with what does not belong to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub destination: u16,
    /// The rest of the header.
    pub header: Header,
    /// Where the data begins, octets.
    pub offset: usize,
}

impl Header {
    /// Reads a segment's header; `None` where lengths make no sense. The checksum is somebody else's matter.
    pub fn parse(segment: &[u8]) -> Option<Parsed> {
        let tcp = TcpPacket::new_checked(segment).ok()?;
        let offset = usize::from(tcp.header_len());
        let header = Self {
            seq: Seq(tcp.seq_number().0 as u32),
            ack: Seq(tcp.ack_number().0 as u32),
            window: tcp.window_len(),
            flags: Flags(segment[13]),
            options: if offset > HEADER { Options::read(tcp.options()) } else { Options::default() },
        };
        Some(Parsed { source: tcp.src_port(), destination: tcp.dst_port(), header, offset })
    }

    /// The length with options, octets.
    #[allow(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub fn len(&self) -> usize {
        HEADER + self.options.len()
    }

    /// Writes it into the first [`len`](Self::len) octets of `segment`, with a checksum of 0.
    pub fn write(&self, source: u16, destination: u16, segment: &mut [u8]) {
        let len = self.len();
        let mut tcp = TcpPacket::new_unchecked(&mut *segment);
        tcp.set_src_port(source);
        tcp.set_dst_port(destination);
        tcp.set_seq_number(TcpSeqNumber(self.seq.0 as i32));
        tcp.set_ack_number(TcpSeqNumber(if self.flags.has(Flags::ACK) { self.ack.0 as i32 } else { 0 }));
        tcp.set_window_len(self.window);
        tcp.set_checksum(0);
        tcp.set_urgent_at(0);
        segment[12] = (len as u8 / 4) << 4;
        segment[13] = self.flags.0;
        self.options.write(&mut segment[HEADER..len]);
    }

    /// How much of the sequence space it takes with so much data.
    pub fn space(&self, data: usize) -> u32 {
        data as u32 + u32::from(self.flags.has(Flags::SYN)) + u32::from(self.flags.has(Flags::FIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(header: Header) {
        let mut segment = vec![0xee; header.len() + 3];
        header.write(80, 4000, &mut segment);
        let parsed = Header::parse(&segment).unwrap();
        assert_eq!(
            (parsed.header, parsed.offset, parsed.source, parsed.destination),
            (header, header.len(), 80, 4000)
        );
        assert_eq!(header.len() % 4, 0);
    }

    #[test]
    fn what_is_written_is_read() {
        let timestamp = Some(Timestamp { value: 1, echo: u32::MAX });
        let mut sack = Sacks::default();
        for n in 0..3 {
            assert!(sack.push((Seq(n), Seq(n + 1))));
        }
        let base = Header {
            seq: Seq(5),
            ack: Seq(9),
            window: 77,
            flags: Flags::ACK | Flags::ECE,
            ..Header::default()
        };
        there_and_back(base);
        for timestamp in [None, timestamp] {
            let syn = Options {
                mss: Some(1460),
                scale: Some(7),
                sack_permitted: true,
                timestamp,
                ..Options::default()
            };
            there_and_back(Header { flags: Flags::SYN | Flags::ACK, options: syn, ..base });
            there_and_back(Header { options: Options { timestamp, sack, ..Options::default() }, ..base });
            there_and_back(Header { options: Options { timestamp, ..Options::default() }, ..base });
        }
        assert!(sack.push((Seq(1), Seq(2))) && !sack.push((Seq(1), Seq(2))));
        there_and_back(Header { options: Options { sack, ..Options::default() }, ..base });
    }

    #[test]
    fn options_that_make_no_sense_end_the_options() {
        for (bytes, mss) in [
            (&[2, 4, 5, 0xb4, 3, 0, 0, 0][..], Some(1460)),
            (&[2, 4, 5, 0xb4, 3, 9, 7, 1], Some(1460)),
            (&[3, 1, 2, 4, 5, 0xb4, 0, 0], None),
            (&[0, 2, 4, 5, 0xb4, 0, 0, 0], None),
            (&[254, 4, 1, 2, 2, 4, 5, 0xb4], Some(1460)),
            (&[1, 1, 1, 2], None),
            (&[5, 4, 1, 2, 2, 4, 5, 0xb4], Some(1460)),
        ] {
            let options = Options::read(bytes);
            assert_eq!((options.mss, options.scale, options.sack.len()), (mss, None, 0), "{bytes:?}");
        }
        assert_eq!(Options::read(&[3, 3, 200]).scale, Some(14));
    }

    #[test]
    fn a_header_that_is_too_short_is_none() {
        let mut segment = [0; 24];
        Header::default().write(1, 2, &mut segment);
        assert!(Header::parse(&segment[..19]).is_none());
        for words in [0, 4, 7, 15] {
            segment[12] = words << 4;
            assert!(Header::parse(&segment).is_none(), "{words} words");
        }
    }
}
