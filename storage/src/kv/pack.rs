//! What a checkpoint writes: nodes, and values that move, gathered into frames.
//!
//! Where a node will be is known only when its frame is written. Until then its parent refers to it by a number, in a span whose segment is [`UNPLACED`]; parents are encoded when they are written, after what
//! they refer to.

use super::checksum::crc32c;
use super::frame::Kind;
use super::inner::Inner;
use super::item::{self, PartOf, node_len, part_len};
use super::layout::Span;
use super::memtable::Slot;
use super::node::{self, Entry};
use super::space::Deltas;
use super::{Error, Key};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// The segment of what is still to be written; the offset is its number.
pub(crate) const UNPLACED: u32 = u32::MAX;
/// Octets that are gathered before a frame is written, and the most of a frame, unless it has one item alone.
const GATHER: u32 = 64 << 10;

enum What {
    Node { level: u8, entries: Vec<Entry> },
    Part { key: Key, of: PartOf, data: Vec<u8> },
}

struct Pending {
    what: What,
    /// Octets in the frame.
    octets: u32,
}

pub(crate) struct Packer<'a> {
    inner: &'a Inner,
    pending: Vec<Pending>,
    octets: u32,
    /// Where what was written is, by its number.
    places: Vec<Span>,
    pub(crate) deltas: Deltas,
    /// Octets given to it.
    pub(crate) written: u64,
}

impl<'a> Packer<'a> {
    pub(crate) fn new(inner: &'a Inner) -> Self {
        Self {
            inner,
            pending: Vec::new(),
            octets: 0,
            places: Vec::new(),
            deltas: Deltas::new(&inner.layout),
            written: 0,
        }
    }

    /// Counts live octets that come or go.
    pub(crate) fn change_live(&mut self, segment: u32, octets: i64) {
        self.deltas.change(segment, octets);
    }

    /// Takes a node; gives the span that stands for it. It is for the caller to [`settle`](Self::settle) after a few.
    pub(crate) fn node(&mut self, level: u8, entries: Vec<Entry>) -> Span {
        let len = node::encoded_len(&entries) as u32;
        self.push(What::Node { level, entries }, len, node_len(len))
    }

    /// Takes a part of a value, as a node.
    pub(crate) fn part(&mut self, key: &Key, of: PartOf, data: Vec<u8>) -> Span {
        let len = data.len() as u32;
        self.inner.count(|c| c.moved_octets += u64::from(len));
        self.push(What::Part { key: key.clone(), of, data }, len, part_len(key.len(), len))
    }

    fn push(&mut self, what: What, len: u32, octets: u32) -> Span {
        let number = (self.places.len() + self.pending.len()) as u32;
        self.pending.push(Pending { what, octets });
        self.octets += octets;
        self.written += u64::from(octets);
        Span { segment: UNPLACED, offset: number, len, crc: 0 }
    }

    /// Writes what was gathered, if it is much.
    pub(crate) async fn settle(&mut self) -> Result<(), Error> {
        if self.octets > GATHER { self.write_all().await } else { Ok(()) }
    }

    /// Writes what was gathered.
    pub(crate) async fn write_all(&mut self) -> Result<(), Error> {
        while let Some(first) = self.pending.first() {
            let inner = self.inner;
            let least = first.octets;
            let place = inner.tree_place(least)?;
            // What waits may be much more: a frame needs memory twice.
            let room = inner.tree_room().min(GATHER.max(least));
            let mut sum = 0;
            let fitting = self.pending.iter().take_while(|p| {
                sum += p.octets;
                sum <= room
            });
            let count = fitting.count();
            if count == 0 {
                return Err(Error::NoMemory { octets: least as usize });
            }
            self.write(count, place).await?;
        }
        self.octets = 0;
        Ok(())
    }

    /// Writes a frame of the first `count`, whose payload begins at `place`.
    async fn write(&mut self, count: usize, (segment, start): (u32, u32)) -> Result<(), Error> {
        let mut payload = Vec::new();
        let before = self.places.len();
        for Pending { what, .. } in &self.pending[..count] {
            let (at, len, crc) = match what {
                What::Node { level, entries } => {
                    let entries: Vec<Entry> = entries.iter().map(|e| self.resolved(e)).collect();
                    let encoded = node::encode(*level, &entries);
                    (item::node(&mut payload, &encoded), encoded.len() as u32, crc32c(&encoded))
                }
                What::Part { key, of, data } => {
                    (item::part(&mut payload, key, *of, data), data.len() as u32, of.crc)
                }
            };
            self.places.push(Span { segment, offset: start + at, len, crc });
        }
        if !self.inner.tree_append(Kind::Tree, &payload).await? {
            // The medium is bad there: once more, elsewhere.
            self.places.truncate(before);
            return Ok(());
        }
        for written in self.pending.drain(..count) {
            self.deltas.change(segment, i64::from(written.octets));
        }
        Ok(())
    }

    /// Where something is that was given to the packer and written since.
    pub(crate) fn place(&self, span: Span) -> Span {
        let place = if span.segment == UNPLACED { self.places.get(span.offset as usize) } else { None };
        place.copied().unwrap_or(span)
    }

    fn resolved(&self, entry: &Entry) -> Entry {
        let slot = match &entry.slot {
            Slot::Child(span) => Slot::Child(self.place(*span)),
            Slot::Stored(spans) if spans.iter().any(|s| s.segment == UNPLACED) => {
                Slot::Stored(spans.iter().map(|span| self.place(*span)).collect::<Vec<_>>().into())
            }
            other => other.clone(),
        };
        Entry { key: Rc::clone(&entry.key), slot }
    }
}
