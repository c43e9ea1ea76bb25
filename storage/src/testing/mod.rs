//! Disks for host tests.

mod sim;

pub use sim::{Event, SimDisk};
