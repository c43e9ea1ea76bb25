//! The end of the log: appending frames, going on to the next segment, flushing.

use super::checksum::crc32c;
use super::frame::{Before, ENDS, FRAME_HEADER, Frame, Kind, MAX_PAYLOAD, SegmentHeader};
use super::inner::Inner;
use super::{Error, Part};
use fata_libos::block::BlockError;

/// A place in the log, and what the frame there has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    /// The segment's number in the log.
    pub(crate) log: u64,
    /// The frame's number.
    pub(crate) seq: u64,
    /// The least epoch the frame may be of.
    pub(crate) epoch: u64,
    /// The header checksum of the frame before.
    pub(crate) chain: u32,
}

impl Position {
    pub(crate) fn corrupt(&self, what: Part) -> Error {
        Error::Corrupt { segment: self.segment, offset: self.offset, what }
    }
}

/// The state of the log's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    pub(crate) head: Position,
    /// The segment that follows the head's.
    pub(crate) next: u32,
    /// The number of this opening.
    pub(crate) epoch: u64,
    /// The last frame of the last group that was written to its end.
    pub(crate) complete: u64,
    /// The last of these that a flush brought onto the medium. A group that has no end yet does not count: if it never gets
    /// one, its frames make way for others although they were on the medium.
    pub(crate) durable: u64,
    /// Octets of commits since the memtable was new.
    pub(crate) tail: u64,
}

/// How often a frame is tried again in another segment.
const ATTEMPTS: u32 = 3;
/// How many segments are looked at for one whose header can be read, or written.
pub(crate) const SEARCH: u32 = 16;
/// With less room than this the rest of a segment is left empty.
const LEAST_ROOM: u32 = 2304;

impl Inner {
    /// Octets of payload that the segment of the log's end has room for; 0 where it has too little for anything.
    pub(crate) fn room(&self) -> u32 {
        let head = self.log().head;
        let room = (self.layout.segment - head.offset).saturating_sub(FRAME_HEADER);
        if room < LEAST_ROOM { 0 } else { room.min(MAX_PAYLOAD) }
    }

    /// Goes on to the next segment; where its header cannot be written, to another. With the lock held.
    pub(crate) async fn roll(&self) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let after = self.choose_next().await?;
            match self.enter_next(after).await {
                Ok(()) => return Ok(()),
                Err(Error::Block(BlockError::Failed { .. })) => {
                    self.count(|c| c.bad_writes += 1);
                    self.redirect(after).await.map_err(|e| self.fail(e))?;
                }
                Err(e) => return Err(self.fail(e)),
            }
        }
        Err(self.fail(Error::Failed))
    }

    /// Takes a segment that can follow the next one, or take its place.
    async fn choose_next(&self) -> Result<u32, Error> {
        let Log { head, epoch, .. } = self.log();
        // Until this opening has a frame in the log, the log is where an earlier one may have gone on and failed: a header
        // that says so would be followed. Later ones have another chain.
        let may_follow = head.epoch < epoch;
        let mut after = 0;
        for _ in 0..SEARCH {
            let free = self.space().free();
            after = self.allocate(head.log + 2).ok_or(Error::Full { free })?;
            let result = match may_follow {
                true => self.layout.clear_header(&self.disk, after).await,
                // An opening has to read there whether the log went on.
                false => self.layout.read(&self.disk, after, 0, self.layout.sector).await.map(drop),
            };
            match result {
                Err(Error::Block(BlockError::Failed { .. })) => {}
                Err(e) => return Err(self.fail(e)),
                Ok(()) if may_follow => {
                    self.disk.flush().await.map_err(|e| self.fail(e.into()))?;
                    return Ok(after);
                }
                Ok(()) => return Ok(after),
            }
        }
        if may_follow { Err(self.fail(Error::Failed)) } else { Ok(after) }
    }

    /// Makes the next segment that of the log's end, and `after` the one that follows it.
    async fn enter_next(&self, after: u32) -> Result<(), Error> {
        let log = self.log();
        let head = log.head;
        let before = Before { segment: head.segment, offset: head.offset, seq: head.seq, chain: head.chain };
        let header = SegmentHeader { log: head.log + 1, before, epoch: log.epoch, next: after };
        self.write_segment_header(log.next, &header).await?;
        let mut log = self.log.borrow_mut();
        log.head = Position { segment: log.next, offset: self.layout.sector, log: head.log + 1, ..head };
        log.next = after;
        Ok(())
    }

    /// Has the header of the log's last segment name another one as next. On the medium that is so before anything is written
    /// there: until then the log ends here, whichever of the two an opening finds named.
    async fn redirect(&self, next: u32) -> Result<(), Error> {
        let head = self.log().head;
        let (sector, _) = self.layout.read(&self.disk, head.segment, 0, self.layout.sector).await?;
        let header = SegmentHeader::decode(&sector, self.salt).filter(|header| header.log == head.log);
        let header = header.ok_or_else(|| head.corrupt(Part::Segment))?;
        self.redirecting.set(Some(head.segment));
        self.write_segment_header(head.segment, &SegmentHeader { next, ..header }).await?;
        self.disk.flush().await?;
        self.redirecting.set(None);
        self.log.borrow_mut().next = next;
        // The one that was next is free again once the log's tail is behind this segment, and is tried again some day.
        self.space_mut().take(next, head.log + 1);
        Ok(())
    }

    /// Takes a free segment, for a number in the log.
    pub(crate) fn allocate(&self, log: u64) -> Option<u32> {
        self.reap();
        let segment = self.space_mut().allocate(log)?;
        self.cache.borrow_mut().forget(segment);
        Some(segment)
    }

    pub(crate) async fn write_segment_header(
        &self,
        segment: u32,
        header: &SegmentHeader,
    ) -> Result<(), Error> {
        self.layout.write_header(&self.disk, segment, &header.encode(self.salt)).await
    }

    /// Writes a frame at the log's end, where there is room for it. `None` if the medium is bad there: the end has moved on
    /// to another segment. With the lock held.
    async fn try_append(&self, flags: u8, payload: &[u8]) -> Result<Option<(u32, u32)>, Error> {
        let log = self.log();
        let head = log.head;
        let total = self.layout.whole_sectors(FRAME_HEADER + payload.len() as u32);
        let frame = Frame {
            salt: self.salt,
            epoch: log.epoch,
            seq: head.seq,
            durable: log.durable,
            chain: head.chain,
            payload_len: payload.len() as u32,
            payload_crc: crc32c(payload),
            kind: Kind::Commit,
            flags,
            segment: head.segment,
            offset: head.offset,
            crc: 0,
        };
        let header = frame.encode();
        let buffer = self.frame_buffer(&header, payload, total)?;
        match self.disk.write(self.layout.sector_at(head.segment, head.offset), buffer).await {
            Ok(_) => self.advance(&header, total, flags),
            Err(BlockError::Failed { .. }) => {
                self.count(|c| c.bad_writes += 1);
                self.roll().await?;
                return Ok(None);
            }
            Err(e) => return Err(self.fail(e.into())),
        }
        Ok(Some((head.segment, head.offset + FRAME_HEADER)))
    }

    fn advance(&self, header: &[u8], total: u32, flags: u8) {
        let chain = header.last_chunk::<4>().map_or(0, |crc| u32::from_le_bytes(*crc));
        let mut log = self.log.borrow_mut();
        log.head.offset += total;
        if flags & ENDS != 0 {
            log.complete = log.head.seq;
        }
        log.head.seq += 1;
        log.head.epoch = log.epoch;
        log.head.chain = chain;
        log.tail += u64::from(total);
        self.count(|c| c.log_octets += u64::from(total));
    }

    /// Writes a frame of commits wherever the log's end is; gives the place of the payload. With the lock held.
    pub(crate) async fn append(&self, flags: u8, payload: &[u8]) -> Result<(u32, u32), Error> {
        for _ in 0..ATTEMPTS {
            if self.room() < payload.len() as u32 {
                self.roll().await?;
            }
            if let Some(place) = self.try_append(flags, payload).await? {
                return Ok(place);
            }
        }
        Err(self.fail(Error::Failed))
    }

    /// Brings all that was appended onto the medium. A flush that fails leaves nobody knowing what is there: the store fails.
    pub(crate) async fn flush_log(&self) -> Result<u64, Error> {
        let last = self.log().complete;
        if let Err(e) = self.disk.flush().await {
            return Err(self.fail(e.into()));
        }
        let mut log = self.log.borrow_mut();
        log.durable = log.durable.max(last);
        self.count(|c| c.flushes += 1);
        Ok(last)
    }
}
