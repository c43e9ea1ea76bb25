//! The memory that connections may use for their buffers.

use super::machine::window_room;
use alloc::rc::Rc;
use core::cell::Cell;
use fata_libos::memory;

/// What a connection costs beside its buffers, octets.
const OVERHEAD: usize = 2048;
/// The smallest buffer.
pub(super) const LEAST: usize = 4096;
/// The limit where the platform does not tell how much memory there is.
const UNKNOWN: usize = 256 << 20;

/// The sizes of a connection's buffers, octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// For what was received and not yet read: the largest window that the peer is offered.
    pub receive: usize,
    /// For what was written and not yet acknowledged.
    pub send: usize,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { receive: 16 << 10, send: 16 << 10 }
    }
}

/// The account.
pub(crate) struct Memory {
    limit: Cell<usize>,
    used: Cell<usize>,
}

/// A part of it, given back when dropped.
pub(crate) struct Budget(Rc<Memory>, usize);

impl Drop for Budget {
    fn drop(&mut self) {
        self.0.used.set(self.0.used.get() - self.1);
    }
}

impl Memory {
    /// Half of what is free now.
    pub(crate) fn new() -> Self {
        let limit = match usize::try_from(memory::stats().free / 2).unwrap_or(usize::MAX) {
            0 => UNKNOWN,
            half => half,
        };
        Self { limit: Cell::new(limit), used: Cell::new(0) }
    }

    pub(crate) fn set_limit(&self, octets: usize) {
        self.limit.set(octets);
    }

    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    /// The buffers that a new connection gets: what it wishes while half of the memory is left, then the smallest.
    pub(crate) fn size(&self, wish: Buffers) -> Option<(usize, usize)> {
        let least = (LEAST, LEAST);
        let wish = (window_room(wish.receive), wish.send.clamp(1024, 1 << 24));
        let (used, limit) = (self.used.get(), self.limit.get());
        let fits = |size: (usize, usize), limit: usize| used + size.0 + size.1 + OVERHEAD <= limit;
        if fits(wish, limit / 2) {
            return Some(wish);
        }
        let least = (least.0.min(wish.0), least.1.min(wish.1));
        fits(least, limit).then_some(least)
    }

    pub(crate) fn reserve(this: &Rc<Self>, size: (usize, usize)) -> Option<Budget> {
        let octets = size.0 + size.1 + OVERHEAD;
        let used = this.used.get() + octets;
        if used > this.limit.get() {
            return None;
        }
        this.used.set(used);
        Some(Budget(this.clone(), octets))
    }
}
