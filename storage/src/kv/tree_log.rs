//! Where checkpoints write: segments of their own, which replay does not pass through.
//!
//! What a checkpoint writes may be superfluous after the next step of the same checkpoint. In the log of commits it would have
//! to stay until the tail is let go.

use super::Error;
use super::checksum::crc32c;
use super::frame::{FRAME_HEADER, Frame, Kind, MAX_PAYLOAD};
use super::inner::Inner;
use fata_libos::block::{BlockError, Buffer};

/// The place of the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TreeHead {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

impl Inner {
    /// Octets of payload that the checkpoints' segment has room for.
    pub(crate) fn tree_room(&self) -> u32 {
        let room = |head: TreeHead| (self.layout.segment - head.offset).saturating_sub(FRAME_HEADER);
        self.tree_head.get().map_or(0, room).min(MAX_PAYLOAD)
    }

    /// Where the payload of the next frame, of at least `len` octets, will be.
    pub(crate) fn tree_place(&self, len: u32) -> Result<(u32, u32), Error> {
        let head = match self.tree_head.get() {
            Some(head) if self.tree_room() >= len => head,
            _ => self.next_tree_segment()?,
        };
        Ok((head.segment, head.offset + FRAME_HEADER))
    }

    fn next_tree_segment(&self) -> Result<TreeHead, Error> {
        let free = self.space().free();
        let segment = self.allocate(super::space::BUILDING).ok_or(Error::Full { free })?;
        let head = TreeHead { segment, offset: self.layout.sector };
        self.tree_head.set(Some(head));
        Ok(head)
    }

    /// Writes a frame at the place that was given last. False if the medium is bad there: the next will be elsewhere.
    pub(crate) async fn tree_append(&self, kind: Kind, payload: &[u8]) -> Result<bool, Error> {
        let Some(head) = self.tree_head.get() else { return Ok(false) };
        let frame = Frame {
            salt: self.salt,
            epoch: self.log().epoch,
            seq: 0,
            durable: 0,
            chain: 0,
            payload_len: payload.len() as u32,
            payload_crc: crc32c(payload),
            kind,
            flags: 0,
            segment: head.segment,
            offset: head.offset,
            crc: 0,
        };
        let total = self.layout.whole_sectors(FRAME_HEADER + payload.len() as u32);
        let buffer = self.frame_buffer(&frame.encode(), payload, total)?;
        match self.disk.write(self.layout.sector_at(head.segment, head.offset), buffer).await {
            Ok(_) => {}
            Err(BlockError::Failed { .. }) => {
                self.count(|c| c.bad_writes += 1);
                self.tree_head.set(None);
                return Ok(false);
            }
            Err(e) => return Err(self.fail(e.into())),
        }
        self.count(|c| c.log_octets += u64::from(total));
        self.tree_head.set(Some(TreeHead { offset: head.offset + total, ..head }));
        Ok(true)
    }

    /// A frame as it is written, whole sectors.
    pub(crate) fn frame_buffer(&self, header: &[u8], payload: &[u8], total: u32) -> Result<Buffer, Error> {
        let octets = total as usize;
        let mut buffer = Buffer::try_zeroed(octets).ok_or(Error::NoMemory { octets })?;
        let start = header.len();
        buffer[..start].copy_from_slice(header);
        buffer[start..start + payload.len()].copy_from_slice(payload);
        Ok(buffer)
    }
}
