//! The guest itself, whichever door it came in by: the hypervisor, memory, clock, and the ways to say a last word.
//!
//! A door (`pv`, `pvh`) brings the processor to 64-bit code with sections that have their rights, says where memory is
//! ([`memory::Frames`]), and hands over a [`Boot`]. [`GuestHypervisor`] is what the front ends see.

mod backtrace;
mod boot;
mod clock;
mod cpuid;
mod crash;
mod early_console;
mod entropy;
pub(crate) mod exception;
mod hv;
pub(crate) mod hypercall;
pub(crate) mod image;
pub(crate) mod memory;
mod notes;
mod vectors;

pub use backtrace::backtrace;
pub use boot::Boot;
pub(crate) use boot::{console_is_at, enter, enter_without_xen, greet, keep_told};
pub use clock::cpu_time;
pub(crate) use clock::note_runs;
pub(crate) use cpuid::{cpuid, force as force_cpuid};
pub(crate) use crash::has_panicked;
pub use crash::{crash, panic, set_writer};
pub use early_console::early_write;
pub use entropy::{fresh, gather, generation};
pub use hv::GuestHypervisor;
pub(crate) use hv::HYPERVISOR;
pub use memory::{grow_heap, memory};
pub(crate) use vectors::enable as enable_vectors;
