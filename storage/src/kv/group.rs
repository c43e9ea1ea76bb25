//! The frames of a group of batches.

use super::batch::Change;
use super::checksum::crc32c;
use super::frame::{BEGINS, ENDS};
use super::inner::Inner;
use super::item::{self, PartOf, part_len};
use super::layout::Span;
use super::memtable::Slot;
use super::{Error, INLINE_LIMIT, Key};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// A part of a value in the frame that is being filled: the change it belongs to, and where in the payload it is.
struct Placed {
    change: usize,
    at: u32,
    len: u32,
    crc: u32,
}

/// Fills frames with changes, and gives for each what readers find there.
pub(crate) struct Writer<'a> {
    inner: &'a Inner,
    payload: Vec<u8>,
    placed: Vec<Placed>,
    /// Octets of payload that the frame may have.
    room: u32,
    is_first: bool,
    slots: Vec<(Key, Slot)>,
    spans: Vec<Vec<Span>>,
}

/// The least of a value that is worth a part.
const LEAST_PART: u32 = 512;

impl<'a> Writer<'a> {
    pub(crate) fn new(inner: &'a Inner) -> Self {
        let (payload, placed) = (Vec::new(), Vec::new());
        Self { inner, payload, placed, room: 0, is_first: true, slots: Vec::new(), spans: Vec::new() }
    }

    pub(crate) async fn write(
        mut self,
        changes: impl Iterator<Item = &Change>,
    ) -> Result<Vec<(Key, Slot)>, Error> {
        self.begin().await?;
        for change in changes {
            self.spans.push(Vec::new());
            let mut at = 0;
            while let Err(octets) = self.fill(change, &mut at) {
                self.go_on(octets).await?;
            }
        }
        self.end(true).await?;
        for ((_, slot), spans) in self.slots.iter_mut().zip(self.spans) {
            if !spans.is_empty() {
                *slot = Slot::Stored(Rc::from(spans));
            }
        }
        Ok(self.slots)
    }

    /// Begins a frame, in the next segment where this one has no room.
    async fn begin(&mut self) -> Result<(), Error> {
        if self.inner.room() == 0 {
            self.inner.roll().await?;
        }
        self.room = self.inner.room();
        Ok(())
    }

    fn left(&self) -> u32 {
        self.room - self.payload.len() as u32
    }

    /// Sees to it that the frame has room for `octets`, which are less than what any segment has room for: ends the one that there
    /// is, which has not.
    async fn go_on(&mut self, octets: u32) -> Result<(), Error> {
        self.end(false).await?;
        self.begin().await?;
        if self.left() < octets {
            self.inner.roll().await?;
            self.room = self.inner.room();
        }
        Ok(())
    }

    /// Puts into the frame what it has room for of a change, whose first `at` octets were in the frames before. The error is how
    /// much room the rest needs at least.
    fn fill(&mut self, change: &Change, at: &mut u32) -> Result<(), u32> {
        let key = &change.key;
        let slot = match &change.value {
            None => {
                self.has_room(item::change_len(key.len(), 0) as u32)?;
                item::delete(&mut self.payload, key);
                Slot::Deleted
            }
            Some(value) if value.len() <= INLINE_LIMIT => {
                self.has_room(item::change_len(key.len(), value.len()) as u32)?;
                item::put(&mut self.payload, key, value);
                Slot::Inline(Rc::from(&value[..]))
            }
            Some(value) => {
                self.parts(key, value, at)?;
                Slot::Deleted
            }
        };
        self.slots.push((key.clone(), slot));
        Ok(())
    }

    fn has_room(&self, octets: u32) -> Result<(), u32> {
        if self.left() >= octets { Ok(()) } else { Err(octets) }
    }

    fn parts(&mut self, key: &[u8], value: &[u8], at: &mut u32) -> Result<(), u32> {
        let total = value.len() as u32;
        while *at < total {
            self.has_room(part_len(key.len(), LEAST_PART.min(total - *at)))?;
            let len = (self.left() - part_len(key.len(), 0)).min(total - *at);
            let data = &value[*at as usize..(*at + len) as usize];
            let crc = crc32c(data);
            let place = item::part(&mut self.payload, key, PartOf { total, at: *at, crc }, data);
            self.placed.push(Placed { change: self.spans.len() - 1, at: place, len, crc });
            *at += len;
        }
        Ok(())
    }

    /// Writes the frame, after which it is known where the parts in it are.
    async fn end(&mut self, is_last: bool) -> Result<(), Error> {
        if self.payload.is_empty() && !is_last {
            return Ok(());
        }
        let begins = if self.is_first { BEGINS } else { 0 };
        let flags = begins | if is_last { ENDS } else { 0 };
        let (segment, start) = self.inner.append(flags, &self.payload).await?;
        self.is_first = false;
        for Placed { change, at, len, crc } in self.placed.drain(..) {
            self.spans[change].push(Span { segment, offset: start + at, len, crc });
        }
        self.payload.clear();
        Ok(())
    }
}
