//! What the log has that the tree does not have yet: the last versions of keys, by commit.

use super::Key;
use super::layout::Span;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Bound;

/// What there is at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Deleted,
    /// A short value.
    Inline(Rc<[u8]>),
    /// A long one, in parts of the log.
    Stored(Rc<[Span]>),
    /// In inner nodes: a child.
    Child(Span),
}

/// Octets of memory that an entry takes beside its key and value, roughly.
const OVERHEAD: usize = 96;

struct Version {
    seq: u64,
    slot: Slot,
}

/// Keys with their versions, oldest first.
#[derive(Default)]
pub(crate) struct Memtable {
    keys: RefCell<BTreeMap<Key, Vec<Version>>>,
    octets: Cell<usize>,
    /// Octets that the entries will take in the tree, and in the log's segments.
    growth: Cell<u64>,
}

fn memory(slot: &Slot) -> usize {
    match slot {
        Slot::Inline(value) => value.len() + 40,
        Slot::Stored(spans) => spans.len() * 16 + 40,
        _ => 24,
    }
}

impl Memtable {
    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.borrow().len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets of memory, roughly.
    pub(crate) fn octets(&self) -> usize {
        self.octets.get()
    }

    /// What the entries may add to the live octets, at most.
    pub(crate) fn growth(&self) -> u64 {
        self.growth.get()
    }

    /// Takes a change. A version that no view has seen (none is newer than `seen`) makes way for it.
    pub(crate) fn insert(&self, key: Key, seq: u64, slot: Slot, seen: u64) {
        self.growth.set(self.growth.get() + super::space::growth(key.len(), &slot));
        let mut more = memory(&slot);
        let version = Version { seq, slot };
        let mut keys = self.keys.borrow_mut();
        match keys.get_mut(&key) {
            Some(versions) => match versions.last_mut() {
                Some(last) if last.seq > seen => {
                    self.octets.set(self.octets.get().saturating_sub(memory(&last.slot)));
                    *last = version;
                }
                _ => versions.push(version),
            },
            None => {
                more += key.len() + OVERHEAD;
                keys.insert(key, vec![version]);
            }
        }
        self.octets.set(self.octets.get() + more);
    }

    /// What a view that sees commits up to `seq` finds; `None` if this table has nothing for it.
    pub(crate) fn get(&self, key: &[u8], seq: u64) -> Option<Slot> {
        visible(self.keys.borrow().get(key)?, seq)
    }

    /// The first key after `from` that a view of `seq` finds something at.
    pub(crate) fn next(&self, from: Bound<&[u8]>, seq: u64) -> Option<(Key, Slot)> {
        let keys = self.keys.borrow();
        keys.range::<[u8], _>((from, Bound::Unbounded))
            .find_map(|(key, versions)| visible(versions, seq).map(|slot| (key.clone(), slot)))
    }

    /// The first key from `from` on.
    pub(crate) fn first_from(&self, from: &[u8]) -> Option<Key> {
        let keys = self.keys.borrow();
        keys.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)).next().map(|(key, _)| key.clone())
    }
}

fn visible(versions: &[Version], seq: u64) -> Option<Slot> {
    versions.iter().rev().find(|v| v.seq <= seq).map(|v| v.slot.clone())
}
