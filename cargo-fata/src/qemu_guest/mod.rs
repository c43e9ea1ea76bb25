//! A guest as QEMU's `-kernel`, without Xen: for `run --on qemu`, tests and `bench boot`.
//!
//! [`machine`] is what QEMU is told, [`process`] is QEMU at work: its console, how it is asked to leave and how it ended, by
//! way of [`qmp`]. [`linux`] is what the bench compares ours with.

pub mod linux;
pub mod machine;
pub mod process;
mod qmp;

pub use machine::{Accelerator, Backend, Board, Machine, Nic};
pub use process::Process;
