//! The sizes of connections' buffers, by the memory there is.

use crate::memory::{Memory, Share, Use};
use alloc::rc::Rc;

/// What a connection costs beside its buffers, octets: its machine, its places in tables, and its task's share.
const OVERHEAD: usize = 3072;
/// What every connection may have in each buffer, octets.
const LEAST: usize = 4096;
/// The largest buffer that a window can name (RFC 7323, 2.3).
const MOST: usize = 1 << 30;
/// One connection gets no more than this part of the memory for all.
const PART: usize = 8;
/// The window offered is a smaller part, if not smaller than this: what a peer sends ahead has to be kept by what lies between as
/// well, which in front of a small guest is small too.
const WINDOW_PART: usize = 16;
const WINDOW: usize = 512 << 10;

/// The most that a connection may hold, octets. Buffers grow with use and are given back when they are empty; where memory
/// is short they stay smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// Of what was received and not yet read: the largest window that the peer is offered.
    pub receive: usize,
    /// Of what was written and not yet acknowledged.
    pub send: usize,
}

impl Default for Buffers {
    /// 4 MiB each way, less where there is not much memory: enough for 300 Mbit/s over a tenth of a second.
    fn default() -> Self {
        Self { receive: 4 << 20, send: 4 << 20 }
    }
}

/// The most that a new connection's buffers may grow to.
pub(super) fn size(memory: &Memory, wish: Buffers) -> Buffers {
    let limit = memory.limit(Use::Connections);
    let scarce = memory.is_scarce(Use::Connections, 0);
    let most = if scarce { LEAST } else { (limit / PART).clamp(LEAST, MOST) };
    let window = (limit / WINDOW_PART).max(WINDOW).min(most);
    let fit = |wish: usize, most: usize| wish.max(1024).min(most);
    Buffers { receive: fit(wish.receive, window), send: fit(wish.send, most) }
}

/// Whether there is memory for one more connection with the least it may have. Large buffers stop growing well before there
/// is none.
pub(super) fn fits(memory: &Memory) -> bool {
    let needs = OVERHEAD + 2 * LEAST;
    memory.used(Use::Connections) + needs <= memory.limit(Use::Connections) && memory.is_free(needs)
}

/// Takes memory for a connection that has nothing in its buffers yet.
pub(super) fn reserve(memory: &Rc<Memory>) -> Option<Share> {
    fits(memory).then(|| memory.take(Use::Connections, OVERHEAD))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_smaller_part_than_what_is_sent_and_both_have_a_floor() {
        for (limit, receive, send) in [
            (29 << 20, 29 << 16, 29 << 17),
            (6 << 20, 512 << 10, 768 << 10),
            (1 << 20, 128 << 10, 128 << 10),
            (16 << 10, LEAST, LEAST),
            (1 << 30, 4 << 20, 4 << 20),
        ] {
            assert_eq!(size(&Memory::of(limit), Buffers::default()), Buffers { receive, send }, "{limit}");
        }
    }
}
