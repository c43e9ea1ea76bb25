//! The heap, and figures of memory.

mod heap;
mod tlsf;

pub use crate::platform::MemoryStats;
pub use heap::{Grow, Heap};

/// Memory figures of the guest.
pub fn stats() -> MemoryStats {
    crate::task::platform().memory()
}
