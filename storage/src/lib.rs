//! Storage over block devices.
//!
//! [`kv`] is a key-value store; [`fat`] reads and writes FAT volumes, to exchange files with other systems; [`archive`] reads content from
//! tar, plain or in gzip; [`slots`] is one value that is replaced as a whole; [`detect`] says what a disk has; [`disk`] has block devices over block devices: partitions, and what tests
//! need. They stand on [`fata_libos::block::Disk`] alone and know no driver; what they read may be a stranger's, and never panics them.
//!
//! On a guest (`target_os = "xen"`) the crate is `no_std`; elsewhere it links `std`, so that its tests are plain `cargo test`
//! over a disk that loses power (`testing::SimDisk`).
#![cfg_attr(target_os = "xen", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod archive;
mod checksum;
pub mod detect;
pub mod disk;
pub mod fat;
mod fields;
pub mod kv;
mod lock;
pub mod slots;
#[cfg(not(target_os = "xen"))]
pub mod testing;
