//! What has changed since the last batch.

use crate::data::map::Map;
use crate::data::names::Names;
use crate::data::text::Text;
use alloc::vec::Vec;

/// Parts of a key that are told apart; with more of them all of it is written.
const MOST_PARTS: usize = 4096;
/// Octets of names, and a guess of what they stand for, that are enough for a batch.
const HEAVY: usize = 4 << 20;

/// What of a key has changed.
pub enum Change {
    /// All of it; what there may be on the disk of a collection goes first.
    Whole,
    /// The string that it is, and was.
    Plain,
    /// These fields, members, or elements.
    Parts(Names),
}

/// What has changed.
#[derive(Default)]
pub struct Journal {
    keys: Map<Change>,
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

    /// A key, by its full name, has changed, or is gone: those parts of it that were named, all of it where none was. A string
    /// that was one before has none.
    pub fn touch(&mut self, key: Text, is_string: bool, octets: usize) {
        let parts = core::mem::take(&mut self.parts);
        self.octets = self.octets.saturating_add(octets.min(HEAVY) + key.len() + 100 * (1 + parts.len()));
        let named = (core::mem::take(&mut self.is_head) || !parts.is_empty()) && !is_string;
        let first = || match () {
            () if named => Change::Parts(Names::default()),
            () if is_string => Change::Plain,
            () => Change::Whole,
        };
        let at = match self.keys.find(&key) {
            Some(at) => at,
            None => self.keys.add(key, first()),
        };
        let change = self.keys.value_mut(at);
        match change {
            Change::Parts(all) if named && all.len() + parts.len() <= MOST_PARTS => {
                parts.iter().for_each(|part| {
                    all.insert(part);
                });
            }
            Change::Plain if is_string => {}
            _ => *change = Change::Whole,
        }
    }

    /// All of a key has changed, that was a collection.
    pub fn touch_all(&mut self, key: Text) {
        self.parts.clear();
        self.is_head = false;
        self.octets = self.octets.saturating_add(key.len() + 100);
        match self.keys.get_mut(&key) {
            Some(change) => *change = Change::Whole,
            None => {
                self.keys.add(key, Change::Whole);
            }
        }
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
    pub fn take(&mut self) -> Map<Change> {
        self.octets = 0;
        core::mem::take(&mut self.keys)
    }
}
