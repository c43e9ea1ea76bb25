//! Nodes of the tree: sorted entries, searched where they lie.

use super::layout::Span;
use super::memtable::Slot;
use super::{Key, MAX_KEY};
use crate::fields::{Fields, Put};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// The most octets of a node that is read.
pub(crate) const MAX_NODE: u32 = 16 << 10;
/// The most levels of a tree that is read.
pub(crate) const MAX_LEVEL: u8 = 24;
const NODE_HEAD: usize = 4;
const ENTRY_HEAD: usize = 7;
const SPAN: usize = 16;

const INLINE: u8 = 0;
const STORED: u8 = 1;
const CHILD: u8 = 2;

/// An entry on its way into a node.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) slot: Slot,
}

impl Entry {
    /// Octets of the entry in a node.
    pub(crate) fn len(&self) -> usize {
        ENTRY_HEAD
            + self.key.len()
            + match &self.slot {
                Slot::Deleted => 0,
                Slot::Inline(value) => value.len(),
                Slot::Stored(spans) => spans.len() * SPAN,
                Slot::Child(_) => SPAN,
            }
    }
}

/// Octets of a node with these entries.
pub(crate) fn encoded_len(entries: &[Entry]) -> usize {
    NODE_HEAD + entries.iter().map(Entry::len).sum::<usize>()
}

/// The octets of a node.
pub(crate) fn encode(level: u8, entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded_len(entries));
    out.put_u8(level);
    out.put_u8(0);
    out.put_u16(entries.len() as u16);
    for Entry { key, slot } in entries {
        out.put_u16(key.len() as u16);
        match slot {
            Slot::Inline(value) => body(&mut out, INLINE, key, value),
            Slot::Stored(spans) => body(&mut out, STORED, key, &octets_of(spans)),
            Slot::Child(span) => body(&mut out, CHILD, key, &octets_of(&[*span])),
            Slot::Deleted => unreachable!("a node has no deleted entries"),
        }
    }
    out
}

fn body(out: &mut Vec<u8>, kind: u8, key: &[u8], data: &[u8]) {
    out.put_u8(kind);
    out.put_u32(data.len() as u32);
    out.put(key);
    out.put(data);
}

fn octets_of(spans: &[Span]) -> Vec<u8> {
    let mut out = Vec::with_capacity(spans.len() * SPAN);
    for Span { segment, offset, len, crc } in spans {
        for field in [segment, offset, len, crc] {
            out.put_u32(*field);
        }
    }
    out
}

/// A node that was read and found well-formed.
#[derive(Debug)]
pub(crate) struct Node {
    octets: Vec<u8>,
    /// Where each entry begins.
    starts: Vec<u32>,
    level: u8,
}

struct View<'a> {
    key: &'a [u8],
    kind: u8,
    data: &'a [u8],
}

fn view<'a>(f: &mut Fields<'a>) -> Option<View<'a>> {
    let (key_len, kind, len) = (f.u16()?, f.u8()?, f.u32()?);
    Some(View { kind, key: f.take(usize::from(key_len))?, data: f.take(len as usize)? })
}

impl Node {
    /// `None` if the octets are not a node of this level.
    pub(crate) fn decode(octets: Vec<u8>, level: u8) -> Option<Self> {
        let starts = check(&octets, level)?;
        Some(Self { octets, starts, level })
    }

    /// Octets of memory.
    pub(crate) fn memory(&self) -> usize {
        self.octets.capacity() + self.starts.capacity() * 4 + 64
    }

    pub(crate) fn level(&self) -> u8 {
        self.level
    }

    pub(crate) fn count(&self) -> usize {
        self.starts.len()
    }

    fn view(&self, index: usize) -> View<'_> {
        let start = self.starts[index] as usize;
        view(&mut Fields::new(&self.octets[start..])).expect("the entry was checked when the node was read")
    }

    pub(crate) fn key(&self, index: usize) -> &[u8] {
        self.view(index).key
    }

    pub(crate) fn slot(&self, index: usize) -> Slot {
        let View { kind, data, .. } = self.view(index);
        match kind {
            INLINE => Slot::Inline(Rc::from(data)),
            STORED => Slot::Stored(data.chunks_exact(SPAN).map(span).collect()),
            _ => Slot::Child(span(data)),
        }
    }

    /// The child at an index of an inner node.
    pub(crate) fn child(&self, index: usize) -> Span {
        span(self.view(index).data)
    }

    pub(crate) fn entry(&self, index: usize) -> Entry {
        Entry { key: Rc::from(self.key(index)), slot: self.slot(index) }
    }

    /// The index of the first entry with this key or a greater one, and whether it is this one.
    pub(crate) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        self.starts.binary_search_by(|start| {
            let mut fields = Fields::new(&self.octets[*start as usize..]);
            view(&mut fields).map_or(&[][..], |v| v.key).cmp(key)
        })
    }

    /// The index of the child whose subtree may have this key.
    pub(crate) fn child_index(&self, key: &[u8]) -> usize {
        match self.search(key) {
            Ok(index) => index,
            Err(index) => index.saturating_sub(1),
        }
    }
}

fn span(data: &[u8]) -> Span {
    let mut f = Fields::new(data);
    let mut field = || f.u32().unwrap_or(0);
    Span { segment: field(), offset: field(), len: field(), crc: field() }
}

fn check(octets: &[u8], level: u8) -> Option<Vec<u32>> {
    let mut f = Fields::new(octets);
    let (found, zero, count) = (f.u8()?, f.u8()?, f.u16()?);
    if found != level || zero != 0 || count == 0 {
        return None;
    }
    let mut starts = Vec::with_capacity(usize::from(count).min(octets.len() / ENTRY_HEAD));
    let mut last: &[u8] = &[];
    for _ in 0..count {
        starts.push(f.at() as u32);
        let View { key, kind, data } = view(&mut f)?;
        let is_known = match kind {
            INLINE => level == 0,
            STORED => level == 0 && !data.is_empty() && data.len().is_multiple_of(SPAN),
            CHILD => level > 0 && data.len() == SPAN,
            _ => false,
        };
        if !is_known || key <= last || key.len() > MAX_KEY {
            return None;
        }
        last = key;
    }
    f.is_at_end().then_some(starts)
}
