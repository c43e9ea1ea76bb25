//! Flow control of what we receive (RFC 9113 section 5.2): what the client may send, and what of it is to be granted anew.

use core::cell::Cell;

/// A window of a stream or the connection.
pub(crate) struct Inbound {
    size: u32,
    /// What the client may still send.
    left: Cell<u32>,
    /// What was used and not granted again.
    owed: Cell<u32>,
}

impl Inbound {
    pub(crate) fn new(size: u32) -> Self {
        Self { size, left: Cell::new(size), owed: Cell::new(0) }
    }

    /// What the client may still send, octets.
    pub(crate) fn left(&self) -> u32 {
        self.left.get()
    }

    /// So many octets have come; false if the client may not send them.
    pub(crate) fn take(&self, octets: u32) -> bool {
        let left = self.left.get().checked_sub(octets);
        left.inspect(|&left| self.left.set(left)).is_some()
    }

    /// So many octets were used; what to grant now, if it is worth a frame: half of the window.
    pub(crate) fn used(&self, octets: u32) -> Option<u32> {
        let owed = self.owed.get().saturating_add(octets);
        self.owed.set(owed);
        if owed < self.size / 2 {
            return None;
        }
        self.owed.set(0);
        self.left.set(self.left.get().saturating_add(owed));
        Some(owed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_granted_by_halves() {
        let window = Inbound::new(100);
        assert!(window.take(60) && window.take(40) && window.take(0));
        assert!(!window.take(1), "all is taken");
        assert_eq!(window.used(49), None);
        assert!(!window.take(1), "nothing is granted yet");
        assert_eq!(window.used(11), Some(60));
        assert!(window.take(60) && !window.take(1));
    }
}
