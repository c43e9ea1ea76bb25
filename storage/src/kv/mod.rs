//! A key-value store: a log of checksummed frames, and an index of what is in it.
//!
//! [`Store::format`] makes one on a disk, [`Store::open`] opens it. Keys are ordered octets; values are read alone
//! ([`Store::get`]) or in order ([`Store::range`], [`Store::prefix`]). Changes are made in a [`Batch`], which a crash leaves whole
//! or not at all. Batches that are committed at the same time share one write and one flush. A [`Snapshot`] stays as it is
//! while the store goes on.
//!
//! Changes go to the end of the log, and are kept in memory until a checkpoint puts them into the index, a tree that is copied
//! where it changes and lies in segments of its own. Opening reads a superblock and what came after its checkpoint, so that it takes
//! as long for a large store as for a small one. A cleaner empties segments of the disk in which little is still needed. When
//! the disk is full, puts are refused and lose nothing; deletes work on.
//!
//! The format is in `docs/kv-format.md` of the repository; `docs/decisions/0032-a-store-that-is-a-log.md` says why it is so.
//!
//! ```
//! # use fata_storage::{kv::{Options, Store}, testing::SimDisk};
//! # fata_libos::testing::run(async {
//! # let disk = SimDisk::new(512, 4096).disk();
//! Store::format(&disk, &Options::default()).await?;
//! let store = Store::open(&disk, Options::default()).await?;
//! store.put("colour/sky", "blue").await?;
//! let mut colours = store.prefix("colour/");
//! while let Some((key, value)) = colours.next().await? {
//!     assert_eq!((&key[..], &value[..]), (&b"colour/sky"[..], &b"blue"[..]));
//! }
//! store.close().await?;
//! # Ok::<(), fata_storage::kv::Error>(())
//! # }).unwrap();
//! ```

mod batch;
mod build;
mod cache;
mod check;
mod checkpoint;

mod clean;
mod commit;
mod cursor;
mod error;
mod frame;
mod group;
mod inner;
mod item;
mod layout;
mod lock;
mod log;
mod memtable;
mod node;
mod open;
mod options;
mod pack;
mod replay;
mod space;
mod store;
mod superblock;
mod tree;
mod tree_log;

pub use batch::Batch;
pub use check::Report;
pub use cursor::Cursor;
pub use error::{Error, Part};
pub use options::{Durability, OnDamage, Options, Stats};
pub use store::{Snapshot, Store};

/// The version of the format on the disk.
pub const FORMAT: u32 = 1;
/// The most octets of a key; the least is one.
pub const MAX_KEY: usize = 1024;
/// The most octets of a value: what a program calls 16 MiB, and its own head. A small store, or one with small segments, has a
/// lower limit, [`Store::max_value`].
pub const MAX_VALUE: usize = 17 << 20;

use crate::checksum;

/// Values up to so many octets are in the index itself.
const INLINE_LIMIT: usize = 1024;

/// A key that is shared.
type Key = alloc::rc::Rc<[u8]>;
