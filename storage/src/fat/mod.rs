//! FAT12, FAT16 and FAT32 volumes with long names, for exchange with other systems.
//!
//! ```no_run
//! # async fn example(disk: fata_libos::block::Disk) -> Result<(), fata_storage::fat::Error> {
//! use embedded_io_async::{Read, Write};
//! use fata_storage::fat::{Mode, Volume};
//!
//! let volume = Volume::mount(disk).await?;
//! let mut file = volume.create("/notes/today.txt").await?;
//! file.write_all(b"rain\n").await?;
//! file.close().await?;
//! volume.sync().await
//! # }
//! ```
//!
//! A [`Volume`] is a handle, a clone the same volume; [`File`]s and [`ReadDir`]s hold one. Paths have `/` between names
//! and begin at the root, with a slash or without; names are found in either case, as FAT has it. Operations of several
//! tasks wait for each other.
//!
//! What is written is on the disk at once, except for a file's new size, which [`File::close`], [`File::sync`] and
//! [`Volume::sync`] write. An appliance that is destroyed in between leaves a volume that `fsck.fat` repairs, without
//! harm to what was there before; a task that is cancelled leaves one that needs no repair after the next operation.
//!
//! A name is looked for from its directory's beginning, as FAT has no other way, and to make a file [`hadris_fat`] looks through all of
//! the directory twice: what that takes grows with the square of the number of files. No more than 16 KiB of directories are
//! kept in memory; where a directory is larger, each of these looks reads it from the disk. For directories with thousands
//! of files mount the volume over a [`Cache`](crate::disk::Cache) that has room for them (160 octets for a file with a name of 40 letters):
//! then the disk is asked for no more with many files than with few, and what grows with the square is the processor's time alone.
//! Or divide the files among directories.
//!
//! The on-disk format is [`hadris_fat`]'s; exFAT, which that has too, is not linked.

mod device;
mod error;
mod file;
mod format;
mod metadata;
mod path;
mod pins;
mod read_dir;
mod volume;

pub use error::Error;
pub use file::{File, Mode};
pub use format::Format;
pub use metadata::{Kind, Metadata};
pub use read_dir::{DirEntry, ReadDir};
pub use volume::{Space, Variant, Volume};
