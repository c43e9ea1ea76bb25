//! The sizes of connections' buffers, by the memory there is.

use super::smol::window_room;
use crate::memory::{Memory, Share, Use};
use alloc::rc::Rc;

/// What a connection costs beside its buffers, octets.
const OVERHEAD: usize = 2048;
/// The smallest buffer.
pub(super) const LEAST: usize = 4096;

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

/// The buffers that a new connection gets: what it wishes while half of the memory is left, then the smallest.
pub(super) fn size(memory: &Memory, wish: Buffers) -> Option<(usize, usize)> {
    let wish = (window_room(wish.receive), wish.send.clamp(1024, 1 << 24));
    let least = (LEAST.min(wish.0), LEAST.min(wish.1));
    let (used, limit) = (memory.used(Use::Connections), memory.limit(Use::Connections));
    let fits = |size, limit| used + cost(size) <= limit && memory.is_free(cost(size));
    if fits(wish, limit / 2) {
        return Some(wish);
    }
    fits(least, limit).then_some(least)
}

/// Takes memory for a connection.
pub(super) fn reserve(memory: &Rc<Memory>, size: (usize, usize)) -> Option<Share> {
    memory.take(Use::Connections, cost(size))
}

fn cost(size: (usize, usize)) -> usize {
    size.0 + size.1 + OVERHEAD
}
