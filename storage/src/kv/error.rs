//! Why an operation failed.

use core::fmt;
use fata_libos::block::BlockError;

/// Why an operation of the store failed.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device failed.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The disk is too small for a store.
    #[error("the disk has {octets} octets, a store needs {needed}")]
    TooSmall {
        /// What the disk has.
        octets: u64,
        /// The least.
        needed: u64,
    },
    /// An option, or the disk's sector size, is out of its range.
    #[error("{what} cannot be {value}")]
    Option {
        /// Which.
        what: &'static str,
        /// What was asked for.
        value: u64,
    },
    /// Neither superblock is one: the disk was never formatted, or both are damaged.
    #[error("there is no store on the disk")]
    NoStore,
    /// The store is of another version of the format.
    #[error("the store has format {found}, this program knows {known}")]
    Version {
        /// The store's.
        found: u32,
        /// This program's.
        known: u32,
    },
    /// The disk is smaller than the store, or has other sectors.
    #[error("the store has {segments} segments of {segment} octets and sectors of {sector}: not this disk's")]
    OtherDisk {
        /// Octets of a sector.
        sector: u32,
        /// Octets of a segment.
        segment: u32,
        /// Segments.
        segments: u32,
    },
    /// What is on the disk is not what was written.
    #[error("damaged: {what} at offset {offset} of segment {segment}")]
    Corrupt {
        /// The segment, from 0.
        segment: u32,
        /// Octets from its start.
        offset: u32,
        /// What should be there.
        what: Part,
    },
    /// A node of the index is damaged, and a change belongs there: checkpoints fail, and once the log may not grow any more so do
    /// commits. All that was committed is in the log, reads go on, and opening anew does not help: what is whole is to be
    /// dumped, and loaded into a new store.
    #[error(
        "a node of the index is damaged at offset {offset} of segment {segment}, where changes belong: no more \
         can be taken; what can be read is to be dumped and loaded into a new store"
    )]
    DamagedIndex {
        /// The segment, from 0.
        segment: u32,
        /// Octets from its start.
        offset: u32,
    },
    /// A key is empty or longer than [`MAX_KEY`](super::MAX_KEY).
    #[error("a key of {octets} octets")]
    KeyLength {
        /// Its length.
        octets: usize,
    },
    /// A value is longer than the store's limit.
    #[error("a value of {octets} octets, the limit is {limit}")]
    ValueLength {
        /// Its length.
        octets: usize,
        /// The store's limit.
        limit: usize,
    },
    /// A batch is longer than the store's limit.
    #[error("a batch of {octets} octets, the limit is {limit}")]
    BatchLength {
        /// Its length, as the log has it.
        octets: u64,
        /// The store's limit.
        limit: u64,
    },
    /// There is no space: nothing of the batch was done. Deletes still work.
    #[error("the store is full: {free} segments are free")]
    Full {
        /// Free segments, most of which are kept for deletes and compaction.
        free: u32,
    },
    /// The disk, or this opening of the store, is read-only.
    #[error("the store is open for reading alone")]
    ReadOnly,
    /// A write or flush failed earlier, so that what is on the disk is not known: the store is to be opened
    /// anew, see [`Store::reopen`](super::Store::reopen).
    #[error("the store failed earlier and takes no writes")]
    Failed,
    /// The disk has another store than before, or one that somebody else has opened since.
    #[error("the disk does not hold this store as it was left")]
    OtherStore,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// There are as many snapshots as may be.
    #[error("there are {limit} snapshots already")]
    Snapshots {
        /// The limit.
        limit: usize,
    },
    /// There is no memory for a value or a buffer.
    #[error("no memory for {octets} octets")]
    NoMemory {
        /// Octets wanted.
        octets: usize,
    },
}

/// What was found damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The header of a segment.
    Segment,
    /// A frame of the log that was flushed.
    Frame,
    /// A node of the index.
    Node,
    /// A value, or a part of one.
    Value,
    /// The table of segments.
    Table,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Segment => "a segment's header",
            Self::Frame => "a frame of the log",
            Self::Node => "a node of the index",
            Self::Value => "a value",
            Self::Table => "the table of segments",
        })
    }
}

/// As text, which is shorter in an image than what is derived.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
