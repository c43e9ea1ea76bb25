//! Storage above block devices.
//!
//! [`fat`] reads and writes FAT volumes, to exchange files with other systems. It stands on
//! [`fata_libos::block::Disk`] alone and knows no driver; what it reads is a stranger's, and never panics it.
#![cfg_attr(target_os = "xen", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod fat;
