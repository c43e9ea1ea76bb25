//! The heap, and figures of memory.

mod heap;
mod tlsf;
#[cfg(feature = "secret")]
mod zeroing;

pub use crate::platform::MemoryStats;
pub use heap::{Grow, Heap};
#[cfg(feature = "secret")]
pub use zeroing::{Zeroing, is_zeroing};

/// Memory figures of the guest.
pub fn stats() -> MemoryStats {
    crate::task::platform().memory()
}
