//! Storage over block devices.
//!
//! [`kv`] is a key-value store. [`disk`] has block devices over block devices: partitions, and what tests need. Both see a
//! [`Disk`](fata_libos::block::Disk), never a driver.
//!
//! On a guest (`target_os = "xen"`) the crate is `no_std`; elsewhere it links `std`, so that its tests are plain `cargo test`
//! over a disk that loses power (`testing::SimDisk`).
#![cfg_attr(target_os = "xen", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod disk;
mod fields;
pub mod kv;
#[cfg(not(target_os = "xen"))]
pub mod testing;
