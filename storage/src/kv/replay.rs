//! Replay: what the log has since the last checkpoint, and where it ends.
//!
//! The log ends where the next frame is not what it has to be. That is how a crash leaves it; but if a later frame says that
//! the missing one had been flushed, it is damage. So an end is taken for one only after the rest of the log was looked through.

use super::checksum::crc32c;
use super::frame::{BEGINS, ENDS, FRAME_HEADER, Frame, Kind, MAX_PAYLOAD, SegmentHeader};
use super::item::{Item, Items};
use super::layout::{Layout, Span};
use super::log::Position;
use super::memtable::{Memtable, Slot};
use super::superblock::Superblock;
use super::{Error, Key, OnDamage, Part};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use fata_libos::block::{BlockError, Buffer, Disk};

/// Octets without a frame after which none is looked for: twice the longest frame.
const QUIET: u32 = 2 * MAX_PAYLOAD;
/// Octets that are read at once, a power of two.
const WINDOW: u32 = 32 << 10;

/// What replay found.
pub(crate) struct Replayed {
    pub(crate) memtable: Memtable,
    /// The log's end.
    pub(crate) head: Position,
    pub(crate) next: u32,
    /// Whether the header of that one, if it has any, could not be read.
    pub(crate) is_next_unread: bool,
    /// Segments of the tail with their numbers in the log.
    pub(crate) segments: Vec<(u32, u64)>,
    /// The last commit.
    pub(crate) seq: u64,
    /// Octets of the log's commits.
    pub(crate) tail: u64,
    pub(crate) frames: u64,
    pub(crate) octets: u64,
    pub(crate) lost: u64,
}

pub(crate) struct Replay<'a> {
    disk: &'a Disk,
    layout: Layout,
    salt: u32,
    on_damage: OnDamage,
    /// The last frame that was on the medium when the superblock was written, and the epoch of those behind it.
    durable: u64,
    epoch: u64,
    /// The last frame that is to be taken.
    most: u64,
    at: Position,
    next: u32,
    /// The header of the segment that would follow, once read.
    successor: Option<Option<SegmentHeader>>,
    group: Vec<(Key, Slot)>,
    /// The parts that were seen of a value whose last is still to come.
    parts: Option<(Key, u32, Vec<Span>)>,
    is_in_group: bool,
    /// What was read last: the segment, and where in it.
    window: Option<(u32, u32, Buffer)>,
    /// The last such place that could not be read at once: a drive takes seconds to say so, for each time it is asked.
    broken: Option<(u32, u32)>,
    /// The last place of the log that could not be read, its segment and its end there, and why: what is said where that turns out
    /// to be damage.
    trouble: Option<(u32, u32, Error)>,
    /// Segments whose headers could not be read.
    unread: Vec<u32>,
    /// The state before the group that is being read.
    safe: (Position, u32, usize),
    out: Replayed,
}

/// What there is at a position.
enum Found {
    Frame(Frame),
    Successor(SegmentHeader),
    Nothing,
}

impl<'a> Replay<'a> {
    /// Reads the log up to frame `most`, if it has so many.
    pub(crate) async fn run(
        disk: &'a Disk,
        superblock: &Superblock,
        salt: u32,
        on_damage: OnDamage,
        most: u64,
    ) -> Result<Replayed, Error> {
        let layout = superblock.layout;
        let at = superblock.tail;
        let out = Replayed {
            memtable: Memtable::default(),
            head: at,
            next: 0,
            is_next_unread: false,
            segments: vec![(at.segment, at.log)],
            seq: at.seq - 1,
            tail: 0,
            frames: 0,
            octets: 0,
            lost: 0,
        };
        let mut replay = Self {
            disk,
            layout,
            salt,
            on_damage,
            durable: superblock.durable,
            epoch: superblock.epoch,
            most,
            at,
            next: 0,
            successor: None,
            group: Vec::new(),
            parts: None,
            is_in_group: false,
            window: None,
            broken: None,
            trouble: None,
            unread: Vec::new(),
            safe: (at, 0, 1),
            out,
        };
        match replay.segment_header(at.segment).await? {
            Some(header) if header.log == at.log && header.next < layout.segments => {
                replay.next = header.next;
                replay.safe.1 = header.next;
            }
            _ => {
                replay.damaged(Part::Segment)?;
                replay.next = replay.next_of(at.segment, at.log).await?;
            }
        }
        replay.follow().await?;
        Ok(replay.finish())
    }

    async fn follow(&mut self) -> Result<(), Error> {
        while self.at.seq <= self.most {
            match self.find().await? {
                Found::Successor(header) => self.enter(header),
                Found::Frame(frame) => match self.take(&frame).await? {
                    true => self.pass(&frame),
                    false if self.skip_damage().await? => {}
                    false => return Ok(()),
                },
                Found::Nothing if self.skip_damage().await? => {}
                Found::Nothing => return Ok(()),
            }
        }
        Ok(())
    }

    async fn find(&mut self) -> Result<Found, Error> {
        if self.successor.is_none() {
            self.successor = Some(self.segment_header(self.next).await?);
        }
        if let Some(Some(header)) = self.successor
            && header.follows(&self.at)
            && header.next < self.layout.segments
            && self.out.segments.len() < self.layout.segments as usize
        {
            return Ok(Found::Successor(header));
        }
        let frame = self.frame_at(self.at.segment, self.at.offset).await?;
        // What an earlier opening left behind the end that this epoch began at may fit in every other respect.
        let is_new = |f: &Frame| f.seq <= self.durable || f.epoch >= self.epoch;
        Ok(frame
            .filter(|f| f.kind == Kind::Commit && f.follows(&self.at) && is_new(f))
            .map_or(Found::Nothing, Found::Frame))
    }

    fn enter(&mut self, header: SegmentHeader) {
        self.at.segment = self.next;
        self.at.offset = self.layout.sector;
        self.at.log += 1;
        self.at.epoch = self.at.epoch.max(header.epoch);
        self.out.segments.push((self.next, self.at.log));
        self.next = header.next;
        self.successor = None;
        self.settle();
    }

    fn settle(&mut self) {
        if !self.is_in_group {
            self.safe = (self.at, self.next, self.out.segments.len());
        }
    }

    /// Passes over a frame that was taken.
    fn pass(&mut self, frame: &Frame) {
        self.at.offset += self.layout.whole_sectors(FRAME_HEADER + frame.payload_len);
        self.at.seq = frame.seq + 1;
        self.at.chain = frame.crc;
        self.at.epoch = frame.epoch;
        self.settle();
    }

    /// Takes what a frame holds; false if its payload is not what was written.
    async fn take(&mut self, frame: &Frame) -> Result<bool, Error> {
        let Some(payload) = self.payload(frame).await? else { return Ok(false) };
        if frame.flags & BEGINS != 0 {
            self.group.clear();
            self.parts = None;
            // What a group that was given up left is behind us for good.
            self.is_in_group = false;
            self.settle();
            self.is_in_group = true;
        }
        if !self.is_in_group {
            // The rest of a group whose beginning is damaged.
            return Ok(true);
        }
        let start = frame.offset + FRAME_HEADER;
        for item in Items::new(&payload) {
            let item = item.map_err(|m| m.at(frame.segment, frame.offset))?;
            self.item(item, frame.segment, start)?;
        }
        self.out.frames += 1;
        self.out.tail += u64::from(self.layout.whole_sectors(FRAME_HEADER + frame.payload_len));
        if frame.flags & ENDS != 0 {
            for (key, slot) in self.group.drain(..) {
                self.out.memtable.insert(key, frame.seq, slot, 0);
            }
            self.out.seq = frame.seq;
            self.is_in_group = false;
        }
        Ok(true)
    }

    fn item(&mut self, item: Item<'_>, segment: u32, start: u32) -> Result<(), Error> {
        match item {
            Item::Put { key, value } => self.group.push((Rc::from(key), Slot::Inline(Rc::from(value)))),
            Item::Delete { key } => self.group.push((Rc::from(key), Slot::Deleted)),
            Item::Part { key, of, at, len } => {
                let span = Span { segment, offset: start + at, len, crc: of.crc };
                let (value, seen, mut spans) =
                    self.parts.take().unwrap_or_else(|| (Rc::from(key), 0, Vec::new()));
                let now = seen.checked_add(len).filter(|now| *now <= of.total);
                let (true, true, Some(now)) = (&*value == key, seen == of.at, now) else {
                    return Err(span.corrupt(Part::Value));
                };
                spans.push(span);
                if now == of.total {
                    self.group.push((value, Slot::Stored(Rc::from(spans))));
                } else {
                    self.parts = Some((value, now, spans));
                }
            }
            Item::Node { .. } => {
                return Err(Error::Corrupt { segment, offset: start, what: Part::Frame });
            }
        }
        Ok(())
    }

    fn finish(self) -> Replayed {
        let mut out = self.out;
        (out.head, out.next) = (self.safe.0, self.safe.1);
        out.is_next_unread = self.unread.contains(&out.next);
        out.segments.truncate(self.safe.2);
        out
    }

    /// Refuses, or counts, damage at the position.
    fn damaged(&mut self, what: Part) -> Result<(), Error> {
        match self.on_damage {
            OnDamage::Refuse => {
                let at = self.at;
                let is_here = |&(segment, end, _): &(u32, u32, Error)| {
                    segment == self.next || segment == at.segment && end > at.offset
                };
                Err(self.trouble.filter(is_here).map_or(at.corrupt(what), |(_, _, why)| why))
            }
            OnDamage::Salvage => {
                self.out.lost += 1;
                Ok(())
            }
        }
    }

    /// At a place where the log ends: whether it does. If it was damaged, goes on behind the damage, where that is allowed.
    async fn skip_damage(&mut self) -> Result<bool, Error> {
        let seq = self.at.seq;
        let trouble = self.trouble;
        let (later, is_proof) = self.look_ahead(seq).await?;
        // What was never written may be unreadable: the search met that on its way.
        self.trouble = trouble;
        if self.durable < seq && !is_proof && !self.may_go_on().await? {
            return Ok(false);
        }
        self.damaged(Part::Frame)?;
        self.group.clear();
        self.parts = None;
        self.is_in_group = false;
        let Some((frame, log, next)) = later else { return Ok(false) };
        self.at = Position {
            segment: frame.segment,
            offset: frame.offset,
            log,
            seq: frame.seq,
            epoch: frame.epoch,
            chain: frame.chain,
        };
        self.next = next;
        self.successor = None;
        self.trouble = None;
        Ok(true)
    }

    /// Whether the next segment has what follows here, and nobody knows whether the log went on there, as its header cannot be read.
    async fn may_go_on(&mut self) -> Result<bool, Error> {
        if !self.unread.contains(&self.next) {
            return Ok(false);
        }
        let frame = self.frame_at(self.next, self.layout.sector).await?;
        Ok(frame.is_some_and(|f| f.seq == self.at.seq && f.chain == self.at.chain))
    }

    /// Looks for frames behind the position: the first of a later number, with its segment's number in the log and the
    /// segment that follows, and whether any says that frame `seq` was flushed.
    async fn look_ahead(&mut self, seq: u64) -> Result<(Option<(Frame, u64, u32)>, bool), Error> {
        let (mut first, mut is_proof) = (None, false);
        let mut next = self.next;
        let (mut segment, mut offset, mut log) =
            (self.at.segment, self.at.offset + self.layout.sector, self.at.log);
        for _ in 0..self.layout.segments {
            let found = self.scan(segment, offset, seq, &mut is_proof).await?;
            let has_frames = found.is_some();
            if first.is_none() {
                first = found.map(|frame| (frame, log, next));
            }
            let is_end = next == segment || (segment != self.at.segment && !has_frames);
            if (is_proof && first.is_some()) || is_end {
                break;
            }
            segment = next;
            log += 1;
            offset = self.layout.sector;
            next = self.next_of(segment, log).await?;
            if segment == self.at.segment {
                break;
            }
        }
        Ok((first, is_proof))
    }

    async fn scan(
        &mut self,
        segment: u32,
        from: u32,
        seq: u64,
        is_proof: &mut bool,
    ) -> Result<Option<Frame>, Error> {
        let mut first = None;
        let mut offset = from;
        let mut quiet = 0;
        while offset < self.layout.segment && quiet < QUIET {
            let frame = self.frame_at(segment, offset).await?.filter(|f| f.seq > seq);
            offset += frame
                .as_ref()
                .map_or(self.layout.sector, |f| self.layout.whole_sectors(FRAME_HEADER + f.payload_len));
            quiet += self.layout.sector;
            if let Some(frame) = frame {
                quiet = 0;
                *is_proof |= frame.durable >= seq;
                first = first.or(Some(frame));
            }
            if *is_proof && first.is_some() {
                break;
            }
        }
        Ok(first)
    }

    /// The frame whose header is at an offset; `None` if there is none.
    async fn frame_at(&mut self, segment: u32, offset: u32) -> Result<Option<Frame>, Error> {
        if offset + FRAME_HEADER > self.layout.segment {
            return Ok(None);
        }
        let Some(octets) = self.read(segment, offset, FRAME_HEADER).await? else { return Ok(None) };
        let frame = Frame::decode(&octets, self.salt).filter(|f| {
            f.segment == segment
                && f.offset == offset
                && u64::from(offset) + u64::from(FRAME_HEADER) + u64::from(f.payload_len)
                    <= u64::from(self.layout.segment)
        });
        Ok(frame)
    }

    async fn payload(&mut self, frame: &Frame) -> Result<Option<Vec<u8>>, Error> {
        let start = frame.offset + FRAME_HEADER;
        let payload = self.read(frame.segment, start, frame.payload_len).await?;
        Ok(payload.filter(|payload| crc32c(payload) == frame.payload_crc))
    }

    async fn segment_header(&mut self, segment: u32) -> Result<Option<SegmentHeader>, Error> {
        let octets = self.read(segment, 0, self.layout.sector).await?;
        if octets.is_none() && !self.unread.contains(&segment) {
            self.unread.push(segment);
        }
        Ok(octets.and_then(|octets| SegmentHeader::decode(&octets, self.salt)))
    }

    /// The segment that follows a segment of the log. Where its header is damaged, the one whose own header says so is looked
    /// for, for salvage; otherwise it is the segment itself, which ends the search.
    async fn next_of(&mut self, segment: u32, log: u64) -> Result<u32, Error> {
        match self.segment_header(segment).await? {
            Some(header) if header.log == log && header.next < self.layout.segments => return Ok(header.next),
            _ if self.on_damage == OnDamage::Refuse => return Ok(segment),
            _ => {}
        }
        for other in 0..self.layout.segments {
            let header = self.segment_header(other).await?;
            if header.is_some_and(|h| h.log == log + 1 && h.before.segment == segment) {
                return Ok(other);
            }
        }
        Ok(segment)
    }

    /// Octets of a segment; nothing where a sector is bad. That is as if it had changed: the log's end may be unreadable, where the
    /// power failed while it was written, and any other place is found to be damage.
    async fn read(&mut self, segment: u32, offset: u32, len: u32) -> Result<Option<Vec<u8>>, Error> {
        let start = offset / WINDOW * WINDOW;
        if offset + len > start + WINDOW || self.broken == Some((segment, start)) {
            return self.read_alone(segment, offset, len).await;
        }
        if self.window.as_ref().is_none_or(|(s, o, _)| (*s, *o) != (segment, start)) {
            let most = WINDOW.min(self.layout.segment - start);
            match self.layout.read(self.disk, segment, start, most).await {
                Ok((buffer, _)) => self.window = Some((segment, start, buffer)),
                Err(Error::Block(BlockError::Failed { .. })) => {
                    self.broken = Some((segment, start));
                    return self.read_alone(segment, offset, len).await;
                }
                Err(e) => return Err(e),
            }
            self.out.octets += u64::from(most);
        }
        let from = (offset - start) as usize;
        let octets = self.window.as_ref().and_then(|(_, _, buffer)| buffer.get(from..from + len as usize));
        Ok(octets.map(<[u8]>::to_vec))
    }

    async fn read_alone(&mut self, segment: u32, offset: u32, len: u32) -> Result<Option<Vec<u8>>, Error> {
        self.out.octets += u64::from(len);
        match self.layout.read(self.disk, segment, offset, len).await {
            Ok((buffer, start)) => Ok(Some(buffer[start..start + len as usize].to_vec())),
            Err(e @ Error::Block(BlockError::Failed { .. })) => {
                self.trouble = Some((segment, offset + len, e));
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}
