//! Items, what the payload of a frame is made of: changes in commits; nodes and moved values in checkpoints.

use super::layout::Span;
use super::{MAX_KEY, Part};
use crate::fields::{Fields, Put};
use alloc::vec::Vec;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const PART: u8 = 3;
const NODE: u8 = 4;

/// Octets that an item has before its key.
const HEAD: u32 = 7;
const PART_HEAD: u32 = HEAD + 12;

/// Octets of a put or a delete in the log.
pub(crate) fn change_len(key: usize, value: usize) -> u64 {
    u64::from(HEAD) + key as u64 + value as u64
}

/// Octets that a part of a value takes.
pub(crate) fn part_len(key: usize, data: u32) -> u32 {
    data.saturating_add(PART_HEAD + key as u32)
}

/// Octets that a node takes.
pub(crate) fn node_len(node: u32) -> u32 {
    node.saturating_add(HEAD)
}

/// What a part of a value says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartOf {
    /// Octets of the whole value.
    pub(crate) total: u32,
    /// Where in it the part begins.
    pub(crate) at: u32,
    /// CRC-32C of the part.
    pub(crate) crc: u32,
}

/// One item; `at` is the offset of its data in the payload.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    Put { key: &'a [u8], value: &'a [u8] },
    Delete { key: &'a [u8] },
    Part { key: &'a [u8], of: PartOf, at: u32, len: u32 },
    Node { octets: &'a [u8], at: u32 },
}

pub(crate) fn put(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    head(out, PUT, key, value.len() as u32);
    out.put(key);
    out.put(value);
}

pub(crate) fn delete(out: &mut Vec<u8>, key: &[u8]) {
    head(out, DELETE, key, 0);
    out.put(key);
}

/// Appends a part; gives the offset of its data.
pub(crate) fn part(out: &mut Vec<u8>, key: &[u8], of: PartOf, data: &[u8]) -> u32 {
    head(out, PART, key, data.len() as u32);
    out.put_u32(of.total);
    out.put_u32(of.at);
    out.put_u32(of.crc);
    out.put(key);
    let at = out.len() as u32;
    out.put(data);
    at
}

/// Appends a node; gives its offset.
pub(crate) fn node(out: &mut Vec<u8>, octets: &[u8]) -> u32 {
    head(out, NODE, &[], octets.len() as u32);
    let at = out.len() as u32;
    out.put(octets);
    at
}

fn head(out: &mut Vec<u8>, kind: u8, key: &[u8], len: u32) {
    out.put_u8(kind);
    out.put_u16(key.len() as u16);
    out.put_u32(len);
}

/// The items of a payload, or that it is none.
pub(crate) struct Items<'a> {
    fields: Fields<'a>,
}

/// The payload is not made of items.
#[derive(Debug)]
pub(crate) struct Malformed;

impl Malformed {
    pub(crate) fn at(&self, segment: u32, offset: u32) -> super::Error {
        Span { segment, offset, len: 0, crc: 0 }.corrupt(Part::Frame)
    }
}

impl<'a> Items<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { fields: Fields::new(payload) }
    }

    fn item(&mut self) -> Option<Item<'a>> {
        let f = &mut self.fields;
        let (kind, key_len, len) = (f.u8()?, usize::from(f.u16()?), f.u32()?);
        let of = match kind {
            PART => PartOf { total: f.u32()?, at: f.u32()?, crc: f.u32()? },
            _ => PartOf { total: 0, at: 0, crc: 0 },
        };
        let key = f.take(key_len)?;
        let is_key = (1..=MAX_KEY).contains(&key_len);
        let at = u32::try_from(f.at()).ok()?;
        let data = f.take(len as usize)?;
        match kind {
            PUT if is_key => Some(Item::Put { key, value: data }),
            DELETE if is_key && len == 0 => Some(Item::Delete { key }),
            PART if is_key && len > 0 => Some(Item::Part { key, of, at, len }),
            NODE if key_len == 0 => Some(Item::Node { octets: data, at }),
            _ => None,
        }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Malformed>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.fields.is_at_end() {
            return None;
        }
        let item = self.item();
        if item.is_none() {
            self.fields = Fields::new(&[]);
        }
        Some(item.ok_or(Malformed))
    }
}
