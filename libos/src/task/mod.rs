//! Tasks: futures on the heap, run by one loop on one thread.
//!
//! [`block_on`] runs the loop: tasks until none is ready, then [`Platform::wait`](crate::platform::Platform::wait) until
//! an event or the next timer. A task that is always ready does not starve the devices: the loop looks for events after
//! every [`BURST`] task runs.

#[cfg(not(target_os = "xen"))]
pub(crate) mod endable;
mod executor;
mod wakers;

pub use async_task::Task;
pub use executor::{BURST, Doing, block_on, spawn, spawn_detached, yield_now};
pub(crate) use executor::{platform, recent, try_platform, with_timers};
pub use wakers::WakerSet;
