//! Storage above block devices.
//!
//! [`fat`] reads and writes FAT volumes, to exchange files with other systems; [`archive`] reads content from tar, plain or
//! in gzip; [`detect`] says which of them a disk has. They stand on [`fata_libos::block::Disk`] alone and know no driver; what
//! they read is a stranger's, and never panics them.
#![cfg_attr(target_os = "xen", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod archive;
pub mod detect;
pub mod fat;
