//! An appliance as a Linux process, for development with the usual tools.
//!
//! [`UnixPlatform`] is libos's platform: clocks, sleep in `epoll`, signals as requests to leave. [`console`] is stdin and
//! stdout; [`socket`] has the host's own sockets, to which [`resolve`] finds names; [`tap`] is an Ethernet device. All of
//! them wait through one [`Reactor`]. [`args`] makes boot parameters of arguments, [`exit`] says what exit statuses mean,
//! and [`testing`] runs an appliance as a process from a test.
//!
//! [`disk`] is a file as a block device.

pub mod args;
pub mod console;
pub mod disk;
pub mod exit;
mod memory;
pub mod panic;
mod platform;
mod reactor;
pub mod resolve;
mod signals;
pub mod socket;
pub mod tap;
pub mod testing;

/// Numbers of the host's errors, for who tells them apart.
pub mod errno {
    pub use libc::{EAFNOSUPPORT, EMFILE, EMSGSIZE, ENFILE, ENOBUFS};
}

pub use platform::UnixPlatform;
pub use reactor::{Direction, Reactor, Source};
