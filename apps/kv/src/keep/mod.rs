//! What was changed, on its way to a disk.

use crate::data::text::Text;
use alloc::collections::BTreeSet;

/// Keys that have changed since they were written.
#[derive(Default)]
pub struct Journal {
    keys: BTreeSet<(usize, Text)>,
}

impl Journal {
    /// A key of a database has changed, or is gone.
    pub fn touch(&mut self, key: (usize, Text)) {
        self.keys.insert(key);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
