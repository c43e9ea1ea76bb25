//! The ground floor of Fata: tasks, time, memory, entropy, log, boot parameters, shutdown, device traits.
//!
//! Nothing here knows a platform or a protocol. A platform (the Xen guest, say) implements [`platform::Platform`] and
//! the device traits ([`net::NetDevice`], [`block::BlockDevice`], [`console::Console`]); everything above is written against those.
//!
//! On a guest (`target_os = "xen"`) the crate is `no_std`; elsewhere it links `std`, so that every library of the project
//! is tested with plain `cargo test`, with time that a test moves by hand (`testing`).
#![cfg_attr(target_os = "xen", no_std)]

extern crate alloc;

pub mod block;
pub mod console;
#[cfg(all(target_os = "xen", feature = "critical-section"))]
mod critical;
pub mod entropy;
mod local;
pub mod logging;
pub mod memory;
pub mod net;
pub mod param;
pub mod platform;
pub mod shutdown;
pub mod task;
#[cfg(not(target_os = "xen"))]
pub mod testing;
mod text;
pub mod time;

/// Channels between tasks: `bounded` and `unbounded`, many senders and receivers.
pub mod channel {
    pub use async_channel::{
        Receiver, RecvError, SendError, Sender, TryRecvError, TrySendError, bounded, unbounded,
    };
}

pub use task::{spawn, spawn_detached};
