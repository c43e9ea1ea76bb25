//! Partitions: the parts of a disk that a table on it names.
//!
//! [`read`] understands GUID partition tables (UEFI specification, 5.3) and the older ones in the first sector, with logical
//! partitions. What the table says is a claim: each part is within the disk, none overlaps another, and everything is bounded.

mod gpt;
mod mbr;

use crate::disk::Slice;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use fata_libos::block::{BlockError, Disk};

/// The most partitions that a table may have.
pub const MOST: usize = 1024;

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number in the table, from 1; logical ones of an old table count from 5.
    pub number: u32,
    /// Its first sector.
    pub first: u64,
    /// How many sectors it has.
    pub sectors: u64,
    /// What the table says of it.
    pub kind: Kind,
}

/// What a table says of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// In an old table.
    Mbr {
        /// The type of its content: 0x83 for Linux, 0x0c for FAT32.
        code: u8,
        /// Whether it is the one to start from.
        is_active: bool,
    },
    /// In a GUID partition table. Identities are as they lie on the disk.
    Gpt {
        /// The type of its content.
        type_id: [u8; 16],
        /// Its own.
        id: [u8; 16],
        /// Its name; what is not Unicode is replaced.
        name: String,
        /// Attributes, as the specification has them.
        attributes: u64,
    },
}

/// The partitions of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// In the order of their numbers.
    pub partitions: Vec<Partition>,
    /// How many copies of the table are whole. Two, for a GUID partition table in order; an old table is there once.
    pub copies: u32,
}

impl Partition {
    /// The partition as a disk.
    pub fn open(&self, disk: &Disk) -> Result<Disk, BlockError> {
        Slice::new(disk, self.first, self.sectors).map(Slice::disk)
    }
}

/// Why a table was not taken.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartitionError {
    /// The disk failed.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// There is none.
    #[error("there is no partition table")]
    NoTable,
    /// There is a GUID partition table, and both copies are damaged.
    #[error("both copies of the partition table are damaged")]
    Damaged,
    /// Two partitions overlap.
    #[error("partitions {a} and {b} overlap")]
    Overlap {
        /// The number of one.
        a: u32,
        /// The number of the other.
        b: u32,
    },
    /// A partition is not within what the table may divide.
    #[error("partition {number}, from sector {first}, leaves the disk")]
    Outside {
        /// Its number.
        number: u32,
        /// Its first sector.
        first: u64,
    },
    /// There are more partitions than are read.
    #[error("more than {limit} partitions")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

impl fmt::Debug for PartitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads the table of a disk, of either kind.
pub async fn read(disk: &Disk) -> Result<Table, PartitionError> {
    let sector = disk.read(0, 1).await?;
    let records = mbr::records(&sector).ok_or(PartitionError::NoTable)?;
    let table = if records.iter().any(|record| record.code == mbr::PROTECTIVE) {
        gpt::read(disk).await?
    } else {
        mbr::read(disk, &records).await?
    };
    refuse_overlaps(&table.partitions)?;
    Ok(table)
}

fn refuse_overlaps(partitions: &[Partition]) -> Result<(), PartitionError> {
    let mut sorted: Vec<&Partition> = partitions.iter().collect();
    sorted.sort_by_key(|p| p.first);
    for pair in sorted.windows(2) {
        if pair[0].first + pair[0].sectors > pair[1].first {
            return Err(PartitionError::Overlap { a: pair[0].number, b: pair[1].number });
        }
    }
    Ok(())
}
