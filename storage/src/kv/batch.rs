//! Batches: changes that are done together or not at all.

use super::item::change_len;
use super::{Error, Key, MAX_KEY};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// One change.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) key: Key,
    /// `None` deletes.
    pub(crate) value: Option<Vec<u8>>,
}

/// Changes that are done together: a crash leaves all of them or none. Of several at one key the last counts.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) changes: Vec<Change>,
}

impl Batch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of a key.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.changes.push(Change { key: Rc::from(key.as_ref()), value: Some(value.into()) });
        self
    }

    /// Removes a key. It is no error if there is none.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> &mut Self {
        self.changes.push(Change { key: Rc::from(key.as_ref()), value: None });
        self
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there are no changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Octets that the changes take in the log.
    pub fn octets(&self) -> u64 {
        self.changes.iter().map(|c| change_len(c.key.len(), c.value.as_ref().map_or(0, Vec::len))).sum()
    }

    /// Whether it sets anything.
    pub(crate) fn puts(&self) -> bool {
        self.changes.iter().any(|change| change.value.is_some())
    }

    pub(crate) fn check(&self, max_value: usize, max_batch: u64) -> Result<(), Error> {
        for Change { key, value } in &self.changes {
            if !(1..=MAX_KEY).contains(&key.len()) {
                return Err(Error::KeyLength { octets: key.len() });
            }
            let octets = value.as_ref().map_or(0, Vec::len);
            if octets > max_value {
                return Err(Error::ValueLength { octets, limit: max_value });
            }
        }
        let octets = self.octets();
        if octets > max_batch { Err(Error::BatchLength { octets, limit: max_batch }) } else { Ok(()) }
    }
}
