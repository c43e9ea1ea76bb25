//! Storage over block devices.
//!
//! [`kv`] is a key-value store, [`fat`] reads and writes FAT volumes, to exchange files with other systems. They see a
//! [`Disk`](fata_libos::block::Disk), never a driver; what they read may be a stranger's, and never panics them.
//!
//! On a guest (`target_os = "xen"`) the crate is `no_std`; elsewhere it links `std`, so that its tests are plain `cargo test`
//! over a disk that loses power (`testing::SimDisk`).
#![cfg_attr(target_os = "xen", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod fat;
pub mod kv;
#[cfg(not(target_os = "xen"))]
pub mod testing;
