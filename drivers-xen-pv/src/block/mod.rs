//! The block front end (blkfront).
//!
//! [`fn@open`] finds a device, waits until its back end is connected, and gives its handle; a task of its own keeps the
//! device connected. Layers, arrows down only:
//!
//! ```text
//!   device (the handle), open     frontend (the task), session, terms
//!          \                       /
//!           link (what both share: requests that wait, the queues while there are any)
//!            |
//!           queues (one, or as many as both ends want)
//!            |
//!           queue (a ring with a channel; what is in flight)
//!            |
//!           part (one request of the ring: pieces of jobs)    pool (granted pages)
//!            |
//!           job (a request of the appliance's, and its memory)    cache (which writes were flushed)
//! ```
//!
//! and below those, pure logic: `limits` (what is negotiated), `merge` (what goes onto the ring as one); further [`ring`](crate::ring), [`grant`](crate::grant) and [`abi::blkif`](crate::abi::blkif).
//!
//! Pages of a request's buffer are granted when it goes onto the ring and taken back with its response: nothing is copied, and
//! no page that the back end may write is anybody's. A back end that wants to keep grants mapped gets pages of the device's own,
//! through which all is copied. What the back end does wrong is a [`BlockFault`]: it is logged, and the
//! device is closed. When a back end goes away and stays attached, what was in flight is issued again, once, to the next one;
//! when the device is detached, or nothing comes for [`AWAY`], requests end with an error. When it goes away without closing, what
//! it had in its cache may be lost: the next flush fails.

mod cache;
mod device;
mod fault;
mod frontend;
mod job;
mod limits;
mod link;
mod merge;
mod open;
mod part;
mod pool;
mod queue;
mod queues;
mod session;
mod terms;

pub use device::Blkfront;
pub use fault::{BadKey, BlockFault};
pub use limits::Limits;
pub use link::AWAY;
pub use open::{OpenError, find, open, open_number};
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod hostile_transfer_tests;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod negotiation_tests;
#[cfg(test)]
mod resize_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transfer_tests;
