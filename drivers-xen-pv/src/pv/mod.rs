//! The guest itself, as Xen starts a PV domain: from the first instruction to the appliance's `main`.
//!
//! [`start`] follows the order of a boot: `start_info` checked, exceptions reported, sections given their rights ([`mm`]),
//! a heap; then the appliance. [`PvHypervisor`] is what the front ends see.

mod backtrace;
mod clock;
mod crash;
mod early_console;
mod entropy;
mod entry;
mod hv;
mod hypercall;
mod image;
mod mm;
mod start;
mod traps;

pub use backtrace::{Backtrace, backtrace};
pub use clock::cpu_time;
pub use crash::{crash, set_writer};
pub use early_console::early_write;
pub use hv::PvHypervisor;
pub use mm::{grow_heap, memory};
pub use start::Boot;
