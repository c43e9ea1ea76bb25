//! The tree of a checkpoint: the one before, with the changes of a memtable, copied on write.
//!
//! Changes are taken in the order of their keys until so much is written as there is space for; what is left is for the next
//! build. On its way it takes values and nodes out of the segments that are to be emptied.

use super::inner::{Inner, Root};
use super::item::{PartOf, node_len, part_len};
use super::layout::Span;
use super::memtable::{Memtable, Slot};
use super::node::{Entry, Node};
use super::pack::Packer;
use super::superblock::Top;
use super::{Error, Key, Part};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::future::Future;
use core::ops::Bound;
use core::pin::Pin;
use fata_libos::block::BlockError;

/// What a build is to do.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) changes: Option<Rc<Memtable>>,
    /// Segments that are to be emptied, in their order.
    pub(crate) victims: Vec<u32>,
    /// Keys at which the tree has something in them.
    pub(crate) touches: Memtable,
    /// Where an earlier build ended.
    pub(crate) from: Key,
    /// Octets that may be written.
    pub(crate) budget: u64,
}

pub(crate) struct Build<'a> {
    inner: &'a Inner,
    pub(crate) packer: Packer<'a>,
    /// Octets of entries at which a node is divided.
    limit: usize,
    work: &'a Work,
    /// Where the next build has to go on; `None` if this one did all.
    pub(crate) rest: Option<Key>,
}

/// A row of nodes of one level that is being made.
struct Row {
    level: u8,
    entries: Vec<Entry>,
    size: usize,
    /// The key under which the next node goes into the level above, if that is not its first: greater than all keys of the
    /// nodes before, and as short as may be, so that few levels serve where keys are long.
    separator: Option<Key>,
    /// Entries for the level above.
    out: Vec<Entry>,
}

impl Row {
    fn new(level: u8) -> Self {
        Self { level, entries: Vec::new(), size: 0, separator: None, out: Vec::new() }
    }
}

/// The shortest key that is greater than `before` and not greater than `first`, which is greater than `before`.
fn separator(before: &[u8], first: &[u8]) -> Key {
    let common = before.iter().zip(first).take_while(|(a, b)| a == b).count();
    Rc::from(&first[..(common + 1).min(first.len())])
}

type Entries<'f> = Pin<Box<dyn Future<Output = Result<Vec<Entry>, Error>> + 'f>>;

/// The keys that a subtree is responsible for: from the first on, up to the second.
#[derive(Clone)]
struct Range {
    from: Key,
    to: Option<Key>,
}

impl Range {
    fn has(&self, key: Option<&Key>) -> bool {
        key.is_some_and(|key| self.to.as_ref().is_none_or(|to| key < to))
    }
}

impl<'a> Build<'a> {
    pub(crate) fn new(inner: &'a Inner, work: &'a Work) -> Self {
        let limit = inner.layout.node_limit() as usize - 64;
        Self { inner, packer: Packer::new(inner), limit, work, rest: None }
    }

    /// Makes the tree, and writes it.
    pub(crate) async fn run(&mut self, root: &Root) -> Result<Option<Top>, Error> {
        let all = Range { from: self.work.from.clone(), to: None };
        let (mut entries, mut level) = match root.top {
            _ if !self.has_work(&all) => return Ok(root.top),
            None => (self.rebuild(None, 0, all).await?, 0),
            Some(top) => {
                let node = self.inner.node(&top.span, top.level).await;
                let node = node.map_err(|e| needed(&top.span, e))?;
                self.retire(&top.span);
                (self.rebuild(Some(node), top.level, all).await?, top.level)
            }
        };
        let top = loop {
            match &entries[..] {
                [] => break None,
                [Entry { slot: Slot::Child(span), .. }] if level > 0 => {
                    break Some(Top { span: *span, level: level - 1 });
                }
                _ => {
                    let mut row = Row { entries, ..Row::new(level) };
                    row.size = row.entries.iter().map(Entry::len).sum();
                    row.separator = row.entries.first().map(|first| separator(&[], &first.key));
                    self.close(&mut row);
                    entries = row.out;
                    level += 1;
                }
            }
        };
        self.packer.write_all().await?;
        Ok(top.map(|top| Top { span: self.packer.place(top.span), level: top.level }))
    }

    fn is_exhausted(&self) -> bool {
        self.rest.is_some() || self.packer.written >= self.work.budget
    }

    fn first_change(&self, range: &Range) -> Option<Key> {
        let from = (&range.from).max(&self.work.from);
        self.work.changes.as_ref()?.first_from(from).filter(|key| range.has(Some(key)))
    }

    fn first_touch(&self, range: &Range) -> Option<Key> {
        let from = (&range.from).max(&self.work.from);
        self.work.touches.first_from(from).filter(|key| range.has(Some(key)))
    }

    /// Whether something is to be done in a range, and may be done by this build.
    fn has_work(&mut self, range: &Range) -> bool {
        let Some(first) = [self.first_change(range), self.first_touch(range)].into_iter().flatten().min()
        else {
            return false;
        };
        if self.is_exhausted() {
            self.rest.get_or_insert(first);
            return false;
        }
        true
    }

    fn retire(&mut self, span: &Span) {
        self.packer.change_live(span.segment, -i64::from(node_len(span.len)));
    }

    fn change_value(&mut self, key: &Key, slot: &Slot, sign: i64) {
        if let Slot::Stored(spans) = slot {
            for span in spans.iter() {
                self.packer.change_live(span.segment, sign * i64::from(part_len(key.len(), span.len)));
            }
        }
    }

    /// The entries of a node, or of an empty leaf, after the changes of its range.
    fn rebuild(&mut self, node: Option<Rc<Node>>, level: u8, range: Range) -> Entries<'_> {
        Box::pin(async move {
            let node = match node {
                Some(node) if level > 0 => node,
                leaf => return self.leaf(leaf, &range).await,
            };
            let mut row = Row::new(level - 1);
            for index in 0..node.count() {
                let from = if index == 0 { range.from.clone() } else { Rc::from(node.key(index)) };
                let to = if index + 1 < node.count() {
                    Some(Rc::from(node.key(index + 1)))
                } else {
                    range.to.clone()
                };
                self.child(&mut row, node.entry(index), Range { from, to }).await?;
                self.packer.settle().await?;
            }
            self.close(&mut row);
            Ok(row.out)
        })
    }

    async fn child(&mut self, row: &mut Row, entry: Entry, range: Range) -> Result<(), Error> {
        let Slot::Child(span) = entry.slot else { return Ok(()) };
        let has_work = self.has_work(&range);
        if !has_work && !self.may_join(row, &span) {
            self.keep(row, entry.key, span);
            return Ok(());
        }
        let node = match self.inner.node(&span, row.level).await {
            Ok(node) if has_work => node,
            Ok(node) => {
                self.retire(&span);
                self.extend(row, (0..node.count()).map(|index| node.entry(index)).collect());
                return Ok(());
            }
            // What is damaged stays where it is, unless a change needs it.
            Err(e) if has_work && !(is_damage(&e) && self.first_change(&range).is_none()) => {
                return Err(needed(&span, e));
            }
            Err(_) => {
                self.keep(row, entry.key, span);
                return Ok(());
            }
        };
        self.retire(&span);
        let entries = self.rebuild(Some(node), row.level, range).await?;
        if let Some(first) = entries.first()
            && row.entries.is_empty()
        {
            // Of the first child of all, keys may be less than that it went by.
            row.separator = Some(first.key.clone().min(entry.key));
        }
        self.extend(row, entries);
        Ok(())
    }

    /// Whether a node without work is to be joined with what is before it: both are small.
    fn may_join(&self, row: &Row, span: &Span) -> bool {
        let is_small = !row.entries.is_empty() && row.size < self.limit / 4;
        is_small && (span.len as usize) < self.limit / 2
    }

    /// Lets a node stay as it is.
    fn keep(&mut self, row: &mut Row, key: Key, span: Span) {
        self.close(row);
        row.separator = None;
        row.out.push(Entry { key, slot: Slot::Child(span) });
    }

    fn extend(&mut self, row: &mut Row, entries: Vec<Entry>) {
        for entry in entries {
            row.size += entry.len();
            row.entries.push(entry);
            if row.size > 3 * self.limit {
                self.emit(row, self.limit);
            }
        }
    }

    /// Makes nodes, of about one size, of all entries that are left.
    fn close(&mut self, row: &mut Row) {
        while !row.entries.is_empty() {
            let nodes = row.size.div_ceil(self.limit);
            self.emit(row, row.size.div_ceil(nodes));
        }
    }

    /// Makes a node of the first entries, of `size` octets if they fit.
    fn emit(&mut self, row: &mut Row, size: usize) {
        let (mut count, mut sum) = (0, 0);
        for entry in &row.entries {
            let len = entry.len();
            if count > 0 && (sum >= size || sum + len > self.limit) {
                break;
            }
            sum += len;
            count += 1;
        }
        let rest = row.entries.split_off(count);
        let entries = core::mem::replace(&mut row.entries, rest);
        row.size -= sum;
        let key = row.separator.take().unwrap_or_else(|| entries[0].key.clone());
        row.separator = match (entries.last(), row.entries.first()) {
            (Some(last), Some(first)) if row.level == 0 => Some(separator(&last.key, &first.key)),
            _ => None,
        };
        let span = self.packer.node(row.level, entries);
        row.out.push(Entry { key, slot: Slot::Child(span) });
    }

    /// The changes of a leaf's range, as many as the budget allows.
    fn changes(&mut self, range: &Range) -> Vec<(Key, Slot)> {
        let mut out = Vec::new();
        let Some(table) = self.work.changes.clone() else { return out };
        let left = self.work.budget.saturating_sub(self.packer.written);
        let mut sum = 0;
        let mut next = self.first_change(range);
        while let Some(key) = next {
            if sum > left && !out.is_empty() {
                self.rest.get_or_insert(key);
                break;
            }
            if let Some(slot) = table.get(&key, u64::MAX) {
                sum += (key.len() + 24) as u64 + inline_len(&slot);
                out.push((key.clone(), slot));
            }
            let after = table.next(Bound::Excluded(&key), u64::MAX).map(|(key, _)| key);
            next = after.filter(|key| range.has(Some(key)));
        }
        out
    }

    async fn leaf(&mut self, node: Option<Rc<Node>>, range: &Range) -> Result<Vec<Entry>, Error> {
        let mut changes = self.changes(range).into_iter().peekable();
        let mut out = Vec::new();
        let count = node.as_ref().map_or(0, |n| n.count());
        for index in 0..count {
            let Some(entry) = node.as_ref().map(|n| n.entry(index)) else { break };
            while let Some((key, slot)) = changes.next_if(|(key, _)| *key < entry.key) {
                self.add(&mut out, key, slot);
            }
            match changes.next_if(|(key, _)| *key == entry.key) {
                Some((key, slot)) => {
                    self.change_value(&key, &entry.slot, -1);
                    self.add(&mut out, key, slot);
                }
                None => out.push(self.moved(entry).await?),
            }
        }
        for (key, slot) in changes {
            self.add(&mut out, key, slot);
        }
        Ok(out)
    }

    fn add(&mut self, out: &mut Vec<Entry>, key: Key, slot: Slot) {
        self.change_value(&key, &slot, 1);
        if slot != Slot::Deleted {
            out.push(Entry { key, slot });
        }
    }

    /// The entry, with what it has in segments that are to be emptied taken out of them.
    async fn moved(&mut self, entry: Entry) -> Result<Entry, Error> {
        let Slot::Stored(spans) = &entry.slot else { return Ok(entry) };
        let total: u32 = spans.iter().map(|s| s.len).fold(0, u32::saturating_add);
        let mut moved = vec![];
        let mut at = 0;
        for span in spans.iter() {
            let mut now = *span;
            if self.work.victims.binary_search(&span.segment).is_ok() {
                match self.inner.read_span(span, Part::Value).await {
                    Ok(data) => {
                        let of = PartOf { total, at, crc: span.crc };
                        let octets = i64::from(part_len(entry.key.len(), span.len));
                        self.packer.change_live(span.segment, -octets);
                        now = Span { crc: span.crc, ..self.packer.part(&entry.key, of, data) };
                        self.packer.settle().await?;
                    }
                    Err(e) if is_damage(&e) => {}
                    Err(e) => return Err(e),
                }
            }
            at = at.saturating_add(span.len);
            moved.push(now);
        }
        Ok(Entry { key: entry.key, slot: Slot::Stored(moved.into()) })
    }
}

fn inline_len(slot: &Slot) -> u64 {
    match slot {
        Slot::Inline(value) => value.len() as u64,
        Slot::Stored(spans) => spans.len() as u64 * 16,
        _ => 0,
    }
}

/// The error where a node that a change needs cannot be read.
fn needed(span: &Span, error: Error) -> Error {
    match is_damage(&error) {
        true => Error::DamagedIndex { segment: span.segment, offset: span.offset },
        false => error,
    }
}

/// Whether an error says that a part of the disk cannot be read, not that all of it cannot.
pub(crate) fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Corrupt { .. } | Error::Block(BlockError::Failed { .. }))
}
