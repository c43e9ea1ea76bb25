//! A Xen guest: boot, memory, events, grants, XenStore, console, netfront, blkfront.
//!
//! Four layers, arrows down only: [`abi`] (the hypervisor's structures, pure data), the ring and table cores (pure logic),
//! the asynchronous front ends, and below all the [`Hypervisor`] that they call - the real one on a guest, a fake one in
//! host tests.
#![cfg_attr(target_os = "xen", no_std)]

extern crate alloc;

pub mod abi;
#[cfg(any(test, target_os = "xen"))]
mod acpi;
pub mod block;
pub mod byte_ring;
#[cfg(any(test, target_os = "xen"))]
mod compare;
pub mod console;
pub mod control;
#[cfg(any(test, target_os = "xen"))]
mod copy;
pub mod events;
#[cfg(not(target_os = "xen"))]
pub mod fake;
#[cfg(any(test, target_os = "xen"))]
mod fw_cfg;
pub mod grant;
#[cfg(target_os = "xen")]
pub mod guest;
pub mod hypervisor;
#[cfg(target_os = "xen")]
pub mod machine;
#[cfg_attr(not(target_os = "xen"), allow(dead_code))]
mod memory_map;
pub mod net;
#[cfg_attr(not(target_os = "xen"), allow(dead_code))]
mod page_runs;
#[cfg(target_os = "xen")]
mod pv;
#[cfg(target_os = "xen")]
mod pvh;
pub mod ring;
pub mod shared;
pub(crate) mod text;
#[cfg(any(test, target_os = "xen"))]
mod timekeeping;
pub mod types;
pub mod xen;
pub mod xenbus;
pub mod xenstore;

pub use hypervisor::{HvError, Hypervisor};
pub use types::{DomId, EvtchnPort, GrantRef, Mfn, Pfn};
