//! Block devices over block devices: a part of one, one that is encrypted, checked, cached, or faulty.
//!
//! Each is a [`BlockDevice`](fata_libos::block::BlockDevice) around a [`Disk`](fata_libos::block::Disk), and is made into one again by
//! `Disk::new`. [`partition`] finds the parts that a table on the disk names.

mod cache;
pub mod checksum;
mod crypt;
mod faults;
pub mod partition;
mod slice;

use alloc::boxed::Box;
use fata_libos::block::{Geometry, InFlight, Outcome, Request};

/// What `serve` makes of a request; one that a disk of this geometry does not take is refused.
fn checked(geometry: Geometry, request: Request, serve: impl FnOnce(Request) -> InFlight) -> InFlight {
    match geometry.check(&request) {
        Ok(()) => serve(request),
        Err(error) => Box::pin(core::future::ready(Outcome::refused(request, error))),
    }
}

pub use cache::{Cache, CacheStats};
pub use checksum::Checksum;
pub use crypt::{Crypt, KeyError};
pub use faults::{Fault, Faults};
pub use slice::Slice;
