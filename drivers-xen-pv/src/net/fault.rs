//! What a back end can do wrong: each value says what was seen and what was expected.

use crate::ring::{IdFault, RingFault};
use crate::text::OneLine;
use crate::types::PAGE_SIZE;
use crate::xenbus::XenbusState;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

/// A back end broke the protocol; its device is closed, the guest lives on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetFault {
    /// The transmit ring's indices.
    #[error("transmit ring: {0}")]
    TxRing(RingFault),
    /// The receive ring's indices.
    #[error("receive ring: {0}")]
    RxRing(RingFault),
    /// A transmit response for a request that is not in flight.
    #[error("transmit ring: {0}")]
    TxId(IdFault),
    /// A transmit response with a status that is none.
    #[error("transmit response {id} has status {seen}, expected 0, -1 or -2")]
    TxStatus {
        /// The response's identifier.
        id: u16,
        /// Its status.
        seen: i16,
    },
    /// A receive response that is not for the request of its slot.
    #[error("receive slot {slot} has a response with id {seen}, expected {expected}")]
    RxId {
        /// The slot.
        slot: usize,
        /// The response's identifier.
        seen: u16,
        /// The request's.
        expected: u16,
    },
    /// A receive response with a status that is none.
    #[error("receive response has status {seen}, expected a length, -1 or -2")]
    RxStatus {
        /// The status.
        seen: i16,
    },
    /// A receive response that leaves its page.
    #[error("receive response has {len} octets at {offset}, expected them within {PAGE_SIZE}")]
    RxBounds {
        /// Where they start in the page.
        offset: u16,
        /// Octets.
        len: u16,
    },
    /// A receive response with flags that were not agreed on.
    #[error("receive response has flags {seen:#x}, expected none but {known:#x}")]
    RxFlags {
        /// The flags.
        seen: u16,
        /// Those that may be.
        known: u16,
    },
    /// Extra info that a front end never gets.
    #[error("extra info has type {seen}, expected 1 or 4")]
    ExtraType {
        /// The type.
        seen: u8,
    },
    /// Extra info with unknown flags.
    #[error("extra info has flags {seen:#x}, expected 0 or 1")]
    ExtraFlags {
        /// The flags.
        seen: u8,
    },
    /// Segmentation of an unknown kind.
    #[error("segmentation info has type {kind}, segments of {size} octets and features {features:#x}")]
    Gso {
        /// The type, of 1 and 2.
        kind: u8,
        /// Octets of each segment, more than 0.
        size: u16,
        /// Features, none of which is known.
        features: u16,
    },
    /// A packet of more slots than any has.
    #[error("a received packet has {seen} parts or more, expected at most {most}")]
    TooManyParts {
        /// Parts seen.
        seen: usize,
        /// Parts possible.
        most: usize,
    },
    /// A packet longer than any.
    #[error("a received packet has {seen} octets or more, expected at most {most}")]
    TooLong {
        /// Octets seen.
        seen: usize,
        /// Octets possible.
        most: usize,
    },
    /// A state that does not follow on the one before.
    #[error("back end is {seen:?}, expected {expected}")]
    State {
        /// The state.
        seen: XenbusState,
        /// What may follow.
        expected: &'static str,
    },
    /// A XenStore key that does not parse, or lacks.
    #[error("{0}")]
    Key(Box<BadKey>),
}

/// A key with what it holds, and should not. In a box, as faults are handed up through many levels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {}, expected {expected}", Seen(.seen))]
pub struct BadKey {
    /// The key's path.
    pub key: String,
    /// Its value; `None` where there is none.
    pub seen: Option<String>,
    /// What it should be.
    pub expected: &'static str,
}

/// As `Debug` shows it, whose code for texts is long in an image.
struct Seen<'a>(&'a Option<String>);

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => write!(f, "Some(\"{}\")", OneLine(text)),
            None => f.write_str("None"),
        }
    }
}

impl NetFault {
    #[inline(never)]
    pub(super) fn key(key: String, seen: Option<String>, expected: &'static str) -> Self {
        Self::Key(Box::new(BadKey { key, seen, expected }))
    }
}
