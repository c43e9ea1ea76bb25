//! The rows of what has changed, in one batch where there is memory for them, else in several.
//!
//! What is there comes before what is gone: if only the first of several batches is kept, nothing is lost that was kept before.
//! Each batch has the parts of keys as they are when it is made. Which keys are there is what it was for the first batch: of one that has
//! come since, the journal has everything anew; one that has gone since, perhaps before what was to go of it had gone, is told to the
//! journal as a whole.

use super::journal::Change;
use super::rows::{Rows, part_of};
use super::{KeepError, Row};
use crate::data::map::Map;
use crate::data::object::Object;
use crate::store::{Store, parts_of};
use alloc::vec::Vec;

/// What a row takes on its way to the disk beside its name and value, octets.
const ROW: usize = 250;
/// How often there are its name and value: the row, the log's frame, what the store keeps until its next checkpoint.
const COPIES: usize = 3;
/// Of a longer value the store keeps nothing, and frames have a part of it at a time, octets.
const LONG: usize = 2048;

/// Changes on their way to a disk.
pub struct Batches<'a> {
    rows: Rows,
    changes: &'a Map<Change>,
    /// A bit for each key that was gone before the first batch, where there is more than one.
    gone: Option<Vec<u64>>,
    /// Whether those that are there are done.
    is_second: bool,
    /// The change that is next, and the part of it.
    key: u32,
    part: u32,
}

/// What a row takes on its way.
fn cost(row: &Row) -> usize {
    let octets = match row {
        Row::Put(name, value) => name.len() + value.len(),
        Row::Delete(name) | Row::DeletePrefix(name) => name.len(),
    };
    carried(octets, 1)
}

/// What so many rows with so many octets in all take.
fn carried(octets: usize, rows: usize) -> usize {
    let short = octets.min(LONG * rows);
    ROW * rows + COPIES * short + (octets - short)
}

/// What all rows of an object take on their way to the disk, octets.
pub fn cost_of(object: &Object) -> usize {
    carried(object.weight(), 1 + object.value.count())
}

/// The rows of one batch.
struct Slice {
    rows: Vec<Row>,
    /// What may be added, octets.
    room: usize,
}

impl Slice {
    /// Whether there is room for something that takes so much. Before there is anything there is.
    fn has_room(&self, octets: usize) -> bool {
        self.rows.is_empty() || octets <= self.room
    }

    fn push(&mut self, row: Row) {
        self.room = self.room.saturating_sub(cost(&row));
        self.rows.push(row);
    }
}

impl<'a> Batches<'a> {
    /// All of these changes.
    pub fn new(rows: Rows, changes: &'a Map<Change>) -> Self {
        Self { rows, changes, gone: None, is_second: false, key: 0, part: 0 }
    }

    /// Whether there are no more.
    pub fn is_done(&self) -> bool {
        self.changes.is_empty() || self.is_second && self.key as usize == self.changes.len()
    }

    /// The rows of the next batch, which may take so many octets of memory on their way. What cannot be divided, all of one
    /// key, may take more, but not more than there is.
    pub fn next(&mut self, store: &mut Store, room: usize) -> Result<Vec<Row>, KeepError> {
        let rows = Vec::with_capacity(self.changes.len().min(room / ROW).min(1 << 10));
        let mut slice = Slice { rows, room };
        while !self.is_done() {
            if self.key as usize == self.changes.len() {
                (self.is_second, self.key) = (true, 0);
            }
            let (name, change) = (self.changes.key(self.key), self.changes.value(self.key));
            let (db, key) = parts_of(name);
            if !store.within(db, |store| self.of_key(store, key, change, &mut slice))? {
                break;
            }
            self.key += 1;
            self.part = 0;
        }
        // Nothing has changed since the beginning of the first batch.
        if self.gone.is_none() && !self.is_done() {
            self.gone = Some(self.gone_now(store));
        }
        Ok(slice.rows)
    }

    fn gone_now(&self, store: &mut Store) -> Vec<u64> {
        let mut gone = alloc::vec![0; self.changes.len().div_ceil(64)];
        for (n, (name, _)) in self.changes.iter().enumerate() {
            let (db, key) = parts_of(name);
            if store.within(db, |store| store.current().find(key).is_none()) {
                gone[n / 64] |= 1 << (n % 64);
            }
        }
        gone
    }

    /// Adds the rows of a key; false where there is no room for all of them.
    fn of_key(
        &mut self,
        store: &mut Store,
        key: &[u8],
        change: &Change,
        slice: &mut Slice,
    ) -> Result<bool, KeepError> {
        let found = store.current().find(key);
        let n = self.key as usize;
        let was_gone = self.gone.as_ref().map_or(found.is_none(), |gone| gone[n / 64] >> (n % 64) & 1 == 1);
        if was_gone != self.is_second {
            return Ok(true);
        }
        let has_room = slice.has_room(2 * carried(key.len(), 1));
        if was_gone && has_room {
            let before = slice.rows.len();
            self.rows.of_none(store.db, key, change, &mut slice.rows);
            let octets: usize = slice.rows.iter().skip(before).map(cost).sum();
            slice.room = slice.room.saturating_sub(octets);
        }
        if was_gone {
            return Ok(has_room);
        }
        let Some(at) = found else {
            if let Some(journal) = &mut store.journal {
                journal.touch_all(self.changes.key(self.key).clone());
            }
            return Ok(true);
        };
        let object = store.object(at);
        match change {
            Change::Parts(_) if self.part == 0 && !has_room => return Ok(false),
            Change::Parts(_) => {}
            Change::Plain | Change::Whole => {
                let octets = cost_of(object);
                if !slice.has_room(octets) {
                    return Ok(false);
                }
                if octets > slice.room && !crate::server::hub::has_memory(octets / 2) {
                    return Err(KeepError::NoMemory);
                }
                slice.room = slice.room.saturating_sub(octets);
            }
        }
        match change {
            Change::Plain => slice.rows.push(self.rows.of_head(store.db, key, object)),
            Change::Whole => self.rows.of_whole(store.db, key, object, &mut slice.rows),
            Change::Parts(parts) => {
                if parts.has_head && self.part == 0 {
                    slice.push(self.rows.of_head(store.db, key, object));
                }
                while (self.part as usize) < parts.names.len() {
                    // One at least, lest a head alone fills batch after batch.
                    if self.part > 0 && !slice.has_room(1) {
                        return Ok(false);
                    }
                    self.part_of(store.db, key, object, parts.names.at(self.part), slice);
                    self.part += 1;
                }
            }
        }
        Ok(true)
    }

    fn part_of(&self, db: usize, key: &[u8], object: &Object, part: &[u8], slice: &mut Slice) {
        slice.push(self.rows.of_part(db, key, part, part_of(&object.value, part)));
    }
}

/// Whether these changes are nothing but deletes: they need no room on a disk.
pub fn is_deletes(store: &mut Store, changes: &Map<Change>) -> bool {
    changes.iter().all(|(name, change)| {
        let (db, key) = parts_of(name);
        store.within(db, |store| match (store.current().find(key), change) {
            (None, _) => true,
            (Some(at), Change::Parts(parts)) => {
                let value = &store.object(at).value;
                !parts.has_head && parts.names.iter().all(|part| part_of(value, part).is_none())
            }
            (Some(_), Change::Plain | Change::Whole) => false,
        })
    })
}
