//! What was changed, on its way to a disk, and back from there.
//!
//! The server turns keys that have changed into rows ([`rows`]), all of them as they are at one moment, and gives them to a
//! [`Keeper`] in one batch, which is kept as a whole or not at all; where memory is short they are several batches
//! ([`batch`]). Between batches a [`Journal`] knows what has changed.

pub mod batch;
pub mod journal;
pub mod memory;
pub mod rows;

pub use journal::Journal;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use fata::time::Duration;

/// A change of what is kept. Names have at most 1000 octets, both together at most [`Keeper::most_row`]. In a batch each name
/// is put or deleted once at most, prefixes apart, which come before what is put again under them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// This value under this name, whatever was there.
    Put(Vec<u8>, Vec<u8>),
    /// Nothing under this name.
    Delete(Vec<u8>),
    /// Nothing under any name that begins so. Rows behind it in a batch may put some again.
    DeletePrefix(Vec<u8>),
}

/// When a batch is to be safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safe {
    /// When the call is over: it survives the end of power then.
    Now,
    /// Some time.
    Later,
}

/// Why rows could not be kept or read.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// There is no room for them.
    #[error("the disk is full")]
    Full,
    /// There is no memory for what is to be kept.
    #[error("there is no memory for what is to be on the disk")]
    NoMemory,
    /// The disk fails: see [`Keeper::mend`].
    #[error("the disk does not read or write")]
    Disk,
    /// Nothing may be written to the disk.
    #[error("the disk is read-only")]
    ReadOnly,
    /// A part of the disk cannot be read: nothing is written to it, so that what is left stays as it is.
    #[error("the disk is damaged")]
    Damaged,
    /// What is there was not written by this program, or is damaged.
    #[error("row {0} makes no sense")]
    Row(u64),
    /// The data does not fit.
    #[error("there is no memory for row {0}")]
    Memory(u64),
}

/// As text: `dyn Error` brings the `Debug` of every error that reaches `main` into the image, and a derived one is long.
impl fmt::Debug for KeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl KeepError {
    /// Whether it is room that is wanting: what makes room may go on.
    pub fn is_room(self) -> bool {
        matches!(self, Self::Full | Self::NoMemory)
    }
}

/// What a call of a [`Keeper`] gives: the end of a wait.
pub type Kept<'a> = Pin<Box<dyn Future<Output = Result<(), KeepError>> + 'a>>;

/// What is shown each row: its name and value.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), KeepError> + 'a;

/// What a keeper counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Parts that could not be read, each of one row or of many.
    pub damaged_parts: u64,
    /// Octets that can still be kept.
    pub free: u64,
    /// How often a batch waited for the keeper's own work.
    pub stalls: u64,
    /// The longest of these waits.
    pub longest_stall: Duration,
}

/// Where rows are kept.
pub trait Keeper {
    /// The most octets of a row, its name and value.
    fn most_row(&self) -> usize;

    /// Why nothing can be kept, if that is so: what there is can be loaded. After [`load`](Self::load) it stays the same.
    fn refuses(&self) -> Option<KeepError> {
        None
    }

    /// What it has counted.
    fn figures(&self) -> Figures {
        Figures::default()
    }

    /// Keeps a batch, all of it or nothing. Batches come one after the other.
    fn commit(&self, rows: Vec<Row>, safe: Safe) -> Kept<'_>;

    /// After [`KeepError::Disk`]: has the keeper take batches again, if the disk works. What was kept since the last batch
    /// that was safe may be gone then, each batch as a whole: it is to be given again.
    fn mend(&self) -> Kept<'_>;

    /// Shows all rows that can be read, name and value, in the order of their names. An error of `visit` ends it.
    fn load<'a>(&'a self, visit: &'a mut Visit<'a>) -> Kept<'a>;
}
