//! Cleaning: what is still needed in a segment that is to be emptied.

use super::build::is_damage;
use super::checksum::crc32c;
use super::frame::{FRAME_HEADER, Frame, Kind};
use super::inner::{Inner, Root};
use super::item::{Item, Items};
use super::memtable::{Memtable, Slot};
use super::node::{MAX_NODE, Node};
use super::{Error, Key};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Octets of memory for the keys that are remembered in one round; what is behind them comes in a later one.
const MOST_KEYS: usize = 384 << 10;

/// Keys at which the tree has something in segments that are to be emptied. They are kept as keys of changes are, so that an
/// image has one kind of ordered table.
#[derive(Default)]
pub(crate) struct Touches {
    pub(crate) keys: Memtable,
}

impl Touches {
    fn insert(&mut self, key: Key) {
        self.keys.insert(key, 1, Slot::Deleted, 0);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.keys.octets() > MOST_KEYS
    }
}

/// Adds the keys at which the tree has something in a segment. What is damaged there is left alone.
pub(crate) async fn scan(inner: &Inner, segment: u32, touches: &mut Touches) -> Result<(), Error> {
    let layout = inner.layout;
    let root = inner.view().root.clone();
    let mut offset = layout.sector;
    while offset + FRAME_HEADER <= layout.segment {
        let frame = match layout.read(&inner.disk, segment, offset, FRAME_HEADER).await {
            Ok((buffer, start)) => Frame::decode(&buffer[start..], inner.salt),
            Err(e) if is_damage(&e) => None,
            Err(e) => return Err(e),
        };
        let is_here = |f: &Frame| {
            f.segment == segment
                && f.offset == offset
                && f.payload_len <= layout.segment - offset - FRAME_HEADER
        };
        let Some(frame) = frame.filter(is_here) else {
            offset += layout.sector;
            continue;
        };
        if frame.kind != Kind::Table {
            scan_frame(inner, &root, &frame, touches).await?;
        }
        if touches.is_full() {
            break;
        }
        offset += layout.whole_sectors(FRAME_HEADER + frame.payload_len);
    }
    Ok(())
}

async fn scan_frame(inner: &Inner, root: &Root, frame: &Frame, touches: &mut Touches) -> Result<(), Error> {
    let base = frame.offset + FRAME_HEADER;
    let read = inner.layout.read(&inner.disk, frame.segment, base, frame.payload_len).await;
    let (buffer, start) = match read {
        Ok(read) => read,
        Err(e) if is_damage(&e) => return Ok(()),
        Err(e) => return Err(e),
    };
    let payload = &buffer[start..start + frame.payload_len as usize];
    if crc32c(payload) != frame.payload_crc {
        return Ok(());
    }
    let found: Vec<(Key, Option<u8>, u32)> =
        Items::new(payload).flatten().filter_map(|i| place(&i)).collect();
    for (key, level, at) in found {
        match is_live(inner, root, &key, level, (frame.segment, base + at)).await {
            Ok(true) => touches.insert(key),
            Ok(false) => {}
            Err(e) if is_damage(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The key under which the tree would have an item, its level if it is a node, and its offset in the payload.
fn place(item: &Item<'_>) -> Option<(Key, Option<u8>, u32)> {
    match item {
        Item::Part { key, at, .. } => Some((Rc::from(*key), None, *at)),
        Item::Node { octets, at } if octets.len() <= MAX_NODE as usize => {
            let level = *octets.first()?;
            let node = Node::decode(octets.to_vec(), level)?;
            Some((Rc::from(node.key(0)), Some(level), *at))
        }
        _ => None,
    }
}

async fn is_live(
    inner: &Inner,
    root: &Root,
    key: &[u8],
    level: Option<u8>,
    (segment, offset): (u32, u32),
) -> Result<bool, Error> {
    match level {
        Some(level) => {
            let span = inner.node_for(root, key, level).await?;
            Ok(span.is_some_and(|s| (s.segment, s.offset) == (segment, offset)))
        }
        None => Ok(match inner.find_in_tree(root, key).await? {
            Some(Slot::Stored(spans)) => spans.iter().any(|s| (s.segment, s.offset) == (segment, offset)),
            _ => false,
        }),
    }
}
