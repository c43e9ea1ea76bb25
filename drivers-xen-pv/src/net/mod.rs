//! The network front end (netfront).
//!
//! Layers, arrows down only: the stack's handle ([`Netfront`]); `link`, what it shares with the task that keeps the device
//! connected; `queue`, a pair of rings with their pages and channels; `rx` and `tx`, what goes over the rings; `chain`, the
//! checks of what comes; `pool`, granted pages. Below lie [`ring`](crate::ring) and [`abi::netif`](crate::abi::netif).
//!
//! Memory that the back end writes is copied once into the stack's buffer and read nowhere else. What the back end does
//! wrong is a [`NetFault`]: the device is closed, and connected again when the back end starts anew.

mod chain;
mod device;
mod fault;
mod link;
mod pool;
mod queue;
mod rx;
mod tx;

pub use device::Netfront;
pub use fault::NetFault;
pub use pool::Limits;
pub use queue::QueueError;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod queue_tests;
