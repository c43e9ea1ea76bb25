//! A keeper that forgets: for tests.

use super::{KeepError, Keeper, Kept, Row, Safe, Visit};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use fata::time::{Duration, sleep};

/// Rows in memory.
#[derive(Default)]
pub struct Memory {
    /// The rows.
    pub rows: RefCell<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// How long a batch takes.
    pub delay: Cell<Duration>,
    /// Why batches are refused, if they are.
    pub error: Cell<Option<KeepError>>,
    /// The rows as the last batch that was safe left them.
    pub flushed: RefCell<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Whether a failure loses what is not in `flushed`.
    pub is_forgetful: Cell<bool>,
    /// How often it was to be mended.
    pub mends: Cell<usize>,
    /// How many batches there were, and how many rows in them.
    pub count: Cell<(usize, usize)>,
    /// How many batches were to be safe at once.
    pub safe: Cell<usize>,
    /// The most octets of a row; 0 for no bound.
    pub most_row: Cell<usize>,
}

impl Keeper for Memory {
    fn most_row(&self) -> usize {
        if self.most_row.get() == 0 { usize::MAX } else { self.most_row.get() }
    }

    fn commit(&self, rows: Vec<Row>, safe: Safe) -> Kept<'_> {
        Box::pin(async move {
            if !self.delay.get().is_zero() {
                sleep(self.delay.get()).await;
            }
            if let Some(error) = self.error.get() {
                return Err(error);
            }
            let octets =
                |row: &Row| if let Row::Put(name, value) = row { name.len() + value.len() } else { 0 };
            if rows.iter().any(|row| octets(row) > self.most_row()) {
                return Err(KeepError::Full);
            }
            self.safe.set(self.safe.get() + usize::from(safe == Safe::Now));
            let (batches, count) = self.count.get();
            self.count.set((batches + 1, count + rows.len()));
            let mut all = self.rows.borrow_mut();
            for row in rows {
                match row {
                    Row::Put(name, value) => drop(all.insert(name, value)),
                    Row::Delete(name) => drop(all.remove(&name)),
                    Row::DeletePrefix(prefix) => all.retain(|name, _| !name.starts_with(&prefix)),
                }
            }
            if safe == Safe::Now && self.is_forgetful.get() {
                self.flushed.borrow_mut().clone_from(&all);
            }
            Ok(())
        })
    }

    fn mend(&self) -> Kept<'_> {
        Box::pin(async move {
            self.mends.set(self.mends.get() + 1);
            if self.is_forgetful.get() {
                self.rows.borrow_mut().clone_from(&self.flushed.borrow());
            }
            self.error.get().map_or(Ok(()), Err)
        })
    }

    fn load<'a>(&'a self, visit: &'a mut Visit<'a>) -> Kept<'a> {
        Box::pin(async move { self.rows.borrow().iter().try_for_each(|(name, value)| visit(name, value)) })
    }
}
