//! The states of an end of a device.

use crate::text::number;
use core::fmt;

/// `enum xenbus_state` (`io/xenbus.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum XenbusState {
    /// Nothing is there, or nothing sensible.
    Unknown = 0,
    /// Starting.
    Initialising = 1,
    /// Waits for what the other end, or a hotplug script, has to say.
    InitWait = 2,
    /// Has said all and waits for the other end to connect.
    Initialised = 3,
    /// At work.
    Connected = 4,
    /// Being closed, for an error or an unplugging.
    Closing = 5,
    /// Closed.
    Closed = 6,
    /// Being changed.
    Reconfiguring = 7,
    /// Changed.
    Reconfigured = 8,
}

impl XenbusState {
    pub(super) const ALL: [Self; 9] = [
        Self::Unknown,
        Self::Initialising,
        Self::InitWait,
        Self::Initialised,
        Self::Connected,
        Self::Closing,
        Self::Closed,
        Self::Reconfiguring,
        Self::Reconfigured,
    ];

    /// From what a state key holds; what makes no sense is [`Unknown`](Self::Unknown).
    pub fn from_key(text: &str) -> Self {
        let number = number(text.as_bytes()).and_then(|n| usize::try_from(n).ok());
        number.and_then(|n| Self::ALL.get(n)).copied().unwrap_or(Self::Unknown)
    }
}

/// As a key holds it: the number.
impl fmt::Display for XenbusState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&(*self as u8), f)
    }
}
