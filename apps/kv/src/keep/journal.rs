//! What has changed since the last batch.

use crate::data::text::Text;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// Parts of a key that are told apart; with more of them all of it is written.
const MOST_PARTS: usize = 4096;
/// Octets of names, and a guess of what they stand for, that are enough for a batch.
const HEAVY: usize = 4 << 20;

/// What of a key has changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// All of it; what there may be on the disk of a collection goes first.
    Whole,
    /// The string that it is, and was.
    Plain,
    /// These fields, members, or elements.
    Parts(BTreeSet<Text>),
}

/// What has changed.
#[derive(Default)]
pub struct Journal {
    keys: BTreeMap<(usize, Text), Change>,
    /// Parts of the key that is being changed.
    parts: Vec<Text>,
    /// Whether no part of it has changed.
    is_head: bool,
    octets: usize,
}

impl Journal {
    /// A field, member or element of the key that is being changed; [`touch`](Self::touch) follows.
    pub fn part(&mut self, name: &[u8]) {
        self.parts.push(Text::from(name));
    }

    /// No field, member or element of the key that is being changed has changed; [`touch`](Self::touch) follows.
    pub fn head_only(&mut self) {
        self.is_head = true;
    }

    /// A key of a database has changed, or is gone: those parts of it that were named, all of it where none was. A string
    /// that was one before has none.
    pub fn touch(&mut self, key: (usize, Text), is_string: bool, octets: usize) {
        let parts = core::mem::take(&mut self.parts);
        self.octets = self.octets.saturating_add(octets.min(HEAVY) + key.1.len() + 100 * (1 + parts.len()));
        let named = (core::mem::take(&mut self.is_head) || !parts.is_empty()) && !is_string;
        let change = self.keys.entry(key).or_insert_with(|| match () {
            () if named => Change::Parts(BTreeSet::new()),
            () if is_string => Change::Plain,
            () => Change::Whole,
        });
        match change {
            Change::Parts(all) if named && all.len() + parts.len() <= MOST_PARTS => all.extend(parts),
            Change::Plain if is_string => {}
            _ => *change = Change::Whole,
        }
    }

    /// All of a key has changed, that was a collection.
    pub fn touch_all(&mut self, key: (usize, Text)) {
        self.parts.clear();
        self.is_head = false;
        self.octets = self.octets.saturating_add(key.1.len() + 100);
        self.keys.insert(key, Change::Whole);
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether there is so much that a batch should not wait.
    pub fn is_heavy(&self) -> bool {
        self.octets >= HEAVY
    }

    /// Takes all.
    pub fn take(&mut self) -> BTreeMap<(usize, Text), Change> {
        self.octets = 0;
        core::mem::take(&mut self.keys)
    }
}
