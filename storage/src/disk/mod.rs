//! Block devices over block devices: a part of one, one that is encrypted, cached, or faulty.
//!
//! Each is a [`BlockDevice`](fata_libos::block::BlockDevice) around a [`Disk`](fata_libos::block::Disk), and is made into one again by
//! `Disk::new`. [`partition`] finds the parts that a table on the disk names.

mod cache;
mod crypt;
mod faults;
pub mod partition;
mod slice;

pub use cache::{Cache, CacheStats};
pub use crypt::{Crypt, KeyError};
pub use faults::{Fault, Faults};
pub use slice::Slice;
