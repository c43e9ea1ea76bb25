//! What a back end can do wrong: each value says what was seen and what was expected.

use crate::ring::{IdFault, RingFault};
use crate::text::OneLine;
use crate::xenbus::XenbusState;
use alloc::boxed::Box;
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
    #[error("{0}")]
    Key(Box<BadKey>),
}

/// A key with what it holds, and should not. In a box, as faults are handed up through many levels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is \"{}\", expected {expected}", OneLine(.seen))]
pub struct BadKey {
    /// The key's path.
    pub key: String,
    /// Its value.
    pub seen: String,
    /// What it should be.
    pub expected: &'static str,
}

impl BlockFault {
    #[inline(never)]
    pub(super) fn key(key: String, seen: String, expected: &'static str) -> Self {
        Self::Key(Box::new(BadKey { key, seen, expected }))
    }
}
