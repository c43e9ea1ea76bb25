//! The other side, for host tests: a hypervisor in ordinary memory, and peers that are driven step by step and may be hostile.
//!
//! [`run`] runs a test on a [`FakeHypervisor`] in virtual time: whenever every task waits, the attached [`Peer`]s take a step,
//! and when that wakes nobody the clock jumps to the next deadline. A test that would wait for ever panics.
//!
//! The fake is strict where the real hypervisor would be silent: a page freed while a grant names it, a page freed twice, a
//! channel closed twice end the test.

pub mod blkback;
mod consoled;
mod grants;
mod hypervisor;
mod memory;
pub mod netback;
mod peer_ring;
mod platform;
mod store_tree;
mod vdev;
mod xenstored;

pub use consoled::FakeConsoled;
pub use grants::{PeerMap, PeerMapError, PeerRow};
pub use hypervisor::{FakeHypervisor, Peer};
pub use platform::run;
pub use vdev::Vdev;
pub use xenstored::{FakeXenstored, GUEST_HOME, Replies};
