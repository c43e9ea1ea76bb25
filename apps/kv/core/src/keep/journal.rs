//! What has changed since the last batch.

use crate::data::map::Map;
use crate::data::names::Names;
use crate::data::text::Text;
use crate::keep::Safe;
use crate::server::hub::has_memory;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Parts of a key that are enough for a batch. More of them than this, and than there are elements, are not told apart: all of
/// the key is written.
const MOST_PARTS: usize = 40_000;
/// Octets of names, and a guess of what they stand for, that are enough for a batch.
const HEAVY: usize = 4 << 20;

/// Octets of names of what is not on the medium for sure that are enough for a flush.
const UNFLUSHED: usize = 1 << 20;

/// What of a key has changed.
pub enum Change {
    /// All of it; what there may be on the disk of a collection goes first.
    Whole,
    /// The string that it is, and was.
    Plain,
    /// Some of it.
    Parts(Box<Parts>),
}

/// What of a collection has changed.
#[derive(Default)]
pub struct Parts {
    /// These fields, members, or elements.
    pub names: Names,
    /// Whether the head has: the key is new, or ends at another time.
    pub has_head: bool,
}

/// What has changed.
#[derive(Default)]
pub struct Journal {
    keys: Map<Change>,
    /// What could not be written.
    owed: Map<Change>,
    /// What was written since the last flush: a disk that fails may have lost it.
    unflushed: Map<Change>,
    /// Octets of names in `keys`, and in `unflushed` and `owed`, or more.
    names: [usize; 2],
    /// Parts of the key that is being changed.
    parts: Vec<Text>,
    /// Whether when it ends has changed.
    is_head: bool,
    /// Whether too many have changed to be named.
    is_whole: bool,
    octets: usize,
    /// Whether a key has as many parts as are enough.
    has_many: bool,
}

impl Journal {
    /// A field, member or element of the key that is being changed; [`touch`](Self::touch) follows.
    pub fn part(&mut self, name: &[u8]) {
        let is_growing = self.parts.len() == self.parts.capacity() && self.parts.len() >= MOST_PARTS;
        if is_growing && !has_memory(self.parts.len() * size_of::<Text>()) {
            self.whole();
        }
        if !self.is_whole {
            self.parts.push(Text::from(name));
        }
    }

    /// So many elements of the key that is being changed will have changed, of which `left` are there still: whether they
    /// are to be named. If not all of it will be written.
    pub fn names_so_many(&mut self, count: usize, left: usize) -> bool {
        if count > MOST_PARTS && count > left {
            self.whole();
        }
        !self.is_whole
    }

    fn whole(&mut self) {
        self.parts = Vec::new();
        self.is_whole = true;
    }

    /// When the key that is being changed ends has changed; [`touch`](Self::touch) follows.
    pub fn head(&mut self) {
        self.is_head = true;
    }

    /// A collection is made under a key, by its full name; [`touch`](Self::touch) follows.
    pub fn made(&mut self, key: Text) {
        match self.keys.get_mut(&key) {
            Some(Change::Parts(parts)) => parts.has_head = true,
            Some(_) => {}
            None => {
                self.keys
                    .add(key, Change::Parts(Box::new(Parts { names: Names::default(), has_head: true })));
            }
        }
    }

    /// A key, by its full name, has changed, or is gone: those parts of it that were named, all of it where none was. A string
    /// that was one before has none. It takes so many octets where it is written as a whole, and has so many elements.
    pub fn touch(&mut self, key: Text, is_string: bool, octets: usize, count: usize) {
        let parts = core::mem::take(&mut self.parts);
        let names = parts.iter().fold(key.len() + 100, |sum, part| sum + part.len() + 100);
        self.names[0] = self.names[0].saturating_add(names);
        self.octets = self.octets.saturating_add(octets.min(HEAVY) + names);
        let (has_head, is_whole) = (core::mem::take(&mut self.is_head), core::mem::take(&mut self.is_whole));
        let named = (has_head || !parts.is_empty()) && !is_string && !is_whole;
        let first = || match () {
            () if named => Change::Parts(Box::default()),
            () if is_string => Change::Plain,
            () => Change::Whole,
        };
        let at = match self.keys.find(&key) {
            Some(at) => at,
            None => self.keys.add(key, first()),
        };
        let change = self.keys.value_mut(at);
        match change {
            Change::Parts(all) if named && all.names.len() + parts.len() <= MOST_PARTS.max(count) => {
                for part in &parts {
                    all.names.insert(part);
                }
                all.has_head |= has_head;
                self.has_many |= all.names.len() >= MOST_PARTS;
            }
            Change::Plain if is_string => {}
            _ => *change = Change::Whole,
        }
    }

    /// All of a key has changed, that was a collection.
    pub fn touch_all(&mut self, key: Text) {
        self.parts.clear();
        (self.is_head, self.is_whole) = (false, false);
        self.names[0] = self.names[0].saturating_add(key.len() + 100);
        self.octets = self.octets.saturating_add(key.len() + 100);
        match self.keys.get_mut(&key) {
            Some(change) => *change = Change::Whole,
            None => {
                self.keys.add(key, Change::Whole);
            }
        }
    }

    /// How many keys there are, those that are owed among them.
    pub fn len(&self) -> usize {
        self.keys.len() + self.owed.len()
    }

    /// Whether there is none but what is owed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether there is so much that a batch should not wait.
    pub fn is_heavy(&self) -> bool {
        self.octets >= HEAVY || self.has_many
    }

    /// Whether something is owed.
    pub fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Takes what is owed.
    #[inline(never)]
    pub fn take_owed(&mut self) -> Map<Change> {
        core::mem::take(&mut self.owed)
    }

    /// Takes back what could not be written.
    pub fn owe(&mut self, changes: Map<Change>) {
        let more = core::mem::replace(&mut self.owed, changes);
        add(&mut self.owed, more);
    }

    /// Takes notice that these changes were written.
    pub fn written(&mut self, changes: Map<Change>, safe: Safe) {
        match safe {
            Safe::Now => {
                self.unflushed = Map::new();
                // What is owed was counted when it was taken first.
                if self.owed.is_empty() {
                    self.names[1] = 0;
                }
            }
            Safe::Later => add(&mut self.unflushed, changes),
        }
    }

    /// Whether so much was written since the last flush that the next batch is to be safe.
    pub fn wants_flush(&self) -> bool {
        self.names[1] >= UNFLUSHED
    }

    /// What was written since the last flush is owed again.
    pub fn lose_unflushed(&mut self) {
        let lost = core::mem::take(&mut self.unflushed);
        self.owe(lost);
    }

    /// Takes all but what is owed.
    pub fn take(&mut self) -> Map<Change> {
        (self.octets, self.has_many) = (0, false);
        self.names[1] = self.names[1].saturating_add(core::mem::take(&mut self.names[0]));
        core::mem::take(&mut self.keys)
    }
}

/// Adds changes to others.
pub fn add(to: &mut Map<Change>, mut more: Map<Change>) {
    if to.len() < more.len() {
        core::mem::swap(to, &mut more);
    }
    while let Some((key, change)) = more.pop() {
        match to.get_mut(&key) {
            None => drop(to.add(key, change)),
            Some(before) => before.add(change),
        }
    }
}

impl Change {
    /// This one and another of the same key, whichever was first.
    fn add(&mut self, more: Self) {
        match (&mut *self, more) {
            (Self::Plain, Self::Plain) => {}
            (Self::Parts(all), Self::Parts(more)) => {
                for name in more.names.iter() {
                    all.names.insert(name);
                }
                all.has_head |= more.has_head;
            }
            _ => *self = Self::Whole,
        }
    }
}
