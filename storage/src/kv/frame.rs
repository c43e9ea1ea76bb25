//! Frames, what the log is made of, and the headers of its segments.

use super::checksum::{seal, unseal};
use super::log::Position;
use crate::fields::{Fields, Put};
use alloc::vec::Vec;

const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"Fkv1");
const SEGMENT_MAGIC: u32 = u32::from_le_bytes(*b"FkvS");
/// Octets of a frame's header, its checksum included.
pub(crate) const FRAME_HEADER: u32 = 64;
/// Octets of a segment's header, its checksum included.
pub(crate) const SEGMENT_HEADER: usize = 64;
/// The most octets of a frame's payload.
pub(crate) const MAX_PAYLOAD: u32 = 256 << 10;

/// No number of the log gets so high by counting; what is higher was made up, and would be counted on to overflow.
pub(crate) const MAX_NUMBER: u64 = 1 << 62;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes, of one group of batches.
    Commit,
    /// Nodes of the tree, and values that were moved.
    Tree,
    /// The table of segments.
    Table,
}

/// The frame is the first of its group.
pub(crate) const BEGINS: u8 = 1;
/// The frame is the last of its group.
pub(crate) const ENDS: u8 = 2;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) salt: u32,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    /// The last frame that was flushed when this one was written.
    pub(crate) durable: u64,
    /// The header checksum of the frame before.
    pub(crate) chain: u32,
    pub(crate) payload_len: u32,
    pub(crate) payload_crc: u32,
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    /// The checksum of this header.
    pub(crate) crc: u32,
}

impl Frame {
    /// The header's octets. Its checksum, the last four, is the chain of the frame that follows.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FRAME_HEADER as usize);
        out.put_u32(FRAME_MAGIC);
        out.put_u32(self.salt);
        out.put_u64(self.epoch);
        out.put_u64(self.seq);
        out.put_u64(self.durable);
        out.put_u32(self.chain);
        out.put_u32(self.payload_len);
        out.put_u32(self.payload_crc);
        out.put_u8(match self.kind {
            Kind::Commit => 1,
            Kind::Tree => 2,
            Kind::Table => 3,
        });
        out.put_u8(self.flags);
        out.put_u16(0);
        out.put_u32(self.segment);
        out.put_u32(self.offset);
        out.put_u32(0);
        seal(&mut out);
        out
    }

    /// `None` if there is no header, or none of this store.
    pub(crate) fn decode(octets: &[u8], salt: u32) -> Option<Self> {
        let header = octets.get(..FRAME_HEADER as usize)?;
        let (_, crc) = header.split_last_chunk::<4>()?;
        let mut f = Fields::new(header);
        if f.u32()? != FRAME_MAGIC || f.u32()? != salt {
            return None;
        }
        unseal(header)?;
        let (epoch, seq, durable) = (f.u64()?, f.u64()?, f.u64()?);
        let (chain, payload_len, payload_crc) = (f.u32()?, f.u32()?, f.u32()?);
        let kind = match f.u8()? {
            1 => Kind::Commit,
            2 => Kind::Tree,
            3 => Kind::Table,
            _ => return None,
        };
        let flags = f.u8()?;
        f.u16()?;
        let (segment, offset) = (f.u32()?, f.u32()?);
        let crc = u32::from_le_bytes(*crc);
        let frame = Self {
            salt,
            epoch,
            seq,
            durable,
            chain,
            payload_len,
            payload_crc,
            kind,
            flags,
            segment,
            offset,
            crc,
        };
        (payload_len <= MAX_PAYLOAD && seq.max(epoch) <= MAX_NUMBER).then_some(frame)
    }

    /// Whether the frame is the one that follows in the log.
    pub(crate) fn follows(&self, position: &Position) -> bool {
        self.seq == position.seq
            && self.chain == position.chain
            && self.epoch >= position.epoch
            && self.segment == position.segment
            && self.offset == position.offset
    }
}

/// The header of a segment, which says how the log came here and where it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The segment's number in the log.
    pub(crate) log: u64,
    /// Where the log ended in the segment before, and with what.
    pub(crate) before: Before,
    /// The opening that wrote this.
    pub(crate) epoch: u64,
    /// The segment that follows, when this one is full.
    pub(crate) next: u32,
}

/// The end of the log in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Before {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    /// Of the frame that follows.
    pub(crate) seq: u64,
    pub(crate) chain: u32,
}

impl SegmentHeader {
    pub(crate) fn encode(&self, salt: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER);
        out.put_u32(SEGMENT_MAGIC);
        out.put_u32(salt);
        out.put_u64(self.log);
        out.put_u64(self.epoch);
        out.put_u64(self.before.seq);
        out.put_u32(self.before.segment);
        out.put_u32(self.before.offset);
        out.put_u32(self.before.chain);
        out.put_u32(self.next);
        out.resize(SEGMENT_HEADER - 4, 0);
        seal(&mut out);
        out
    }

    pub(crate) fn decode(octets: &[u8], salt: u32) -> Option<Self> {
        let body = unseal(octets.get(..SEGMENT_HEADER)?)?;
        let mut f = Fields::new(body);
        if f.u32()? != SEGMENT_MAGIC || f.u32()? != salt {
            return None;
        }
        let (log, epoch, seq) = (f.u64()?, f.u64()?, f.u64()?);
        let (segment, offset, chain) = (f.u32()?, f.u32()?, f.u32()?);
        let before = Before { segment, offset, seq, chain };
        let next = f.u32()?;
        (log.max(epoch).max(seq) <= MAX_NUMBER).then_some(Self { log, before, epoch, next })
    }

    /// Whether the log goes on here from this position.
    pub(crate) fn follows(&self, at: &Position) -> bool {
        let Position { segment, offset, seq, chain, .. } = *at;
        self.log == at.log + 1 && self.before == Before { segment, offset, seq, chain }
    }
}
