//! The network front end (netfront).
//!
//! [`fn@open`] finds a device and gives the stack its handle, [`Netfront`]; a task of its own keeps the device connected.
//! Layers, arrows down only:
//!
//! ```text
//!   device (the handle)     frontend (the task: states as types), session, terms, pace
//!          \                 /
//!           link (what both share)
//!            |
//!           queues (one, or several)
//!            |
//!           queue (a pair of rings with pages and channels)
//!          /     \
//!         rx      tx       what goes over each ring; chain: the checks of what comes; cut: what is to be cut up
//!          \     /
//!       pool, tx_pool      granted pages
//! ```
//!
//! and below those [`ring`](crate::ring) and [`abi::netif`](crate::abi::netif).
//!
//! Memory that the back end writes is copied once into the stack's buffer and read nowhere else. What the back end does
//! wrong is a [`NetFault`]: it is logged and counted, the device is closed, and tried again when the back end starts anew.

mod bulk;
mod chain;
mod cut;
mod device;
mod fault;
mod frontend;
mod link;
mod moderation;
mod open;
mod pace;
mod pool;
mod queue;
mod queues;
mod rx;
mod session;
mod terms;
mod tx;
mod tx_pool;

pub use device::Netfront;
pub use fault::{BadKey, NetFault};
pub use open::{OpenError, find, open, open_with};
pub use pool::Limits;
pub use queue::QueueError;

#[cfg(test)]
mod frontend_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod queue_tests;
#[cfg(test)]
mod queues_tests;
#[cfg(test)]
mod segmentation_tests;
#[cfg(test)]
mod waiting_tests;
