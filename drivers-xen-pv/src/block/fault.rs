//! What a back end can do wrong: each value says what was seen and what was expected.

use crate::ring::{IdFault, RingFault};
use crate::xenbus::XenbusState;
use alloc::string::String;

/// A back end broke the protocol; its device is closed, the guest lives on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockFault {
    /// The ring's indices.
    #[error("ring: {0}")]
    Ring(RingFault),
    /// A response for a request that is not in flight.
    #[error("ring: {0}")]
    Id(IdFault),
    /// A response with another operation than the request had.
    #[error("response to request {id} has operation {seen}, expected {expected}")]
    Operation {
        /// The identifier.
        id: u64,
        /// The response's operation.
        seen: u8,
        /// The request's.
        expected: u8,
    },
    /// A response with a status that is none.
    #[error("response to request {id} has status {seen}, expected 0, -1 or -2")]
    Status {
        /// The identifier.
        id: u64,
        /// Its status.
        seen: i16,
    },
    /// A response to a request whose pages the back end keeps.
    #[error("response to request {id}, of which {pages} pages are still held")]
    Held {
        /// The identifier.
        id: u64,
        /// Pages that were not let go of.
        pages: usize,
    },
    /// A state that does not follow on the one before.
    #[error("back end is {seen:?}, expected {expected}")]
    State {
        /// The state.
        seen: XenbusState,
        /// What may follow.
        expected: &'static str,
    },
    /// A XenStore key that does not parse, or makes no sense.
    #[error("{key} is {seen:?}, expected {expected}")]
    Key {
        /// The key's path.
        key: String,
        /// Its value.
        seen: String,
        /// What it should be.
        expected: &'static str,
    },
}
