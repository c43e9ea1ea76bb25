//! Streams that have ended lately: what may still come for them says how they ended (RFC 9113 section 5.1).

use alloc::vec::Vec;

/// How many are known: all that a client may have open can end at once.
const KNOWN: usize = 128;
const _: () = assert!(KNOWN >= super::STREAMS);
/// More are known by steps of so many: an idle connection has none of them.
const STEP: usize = 16;
/// Marks those that we have reset. Identifiers have 31 bits.
const OURS: u32 = 1 << 31;

/// How a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// In order, or reset by the client: it may send nothing more.
    Closed,
    /// Reset by us: the client may not know yet.
    Reset,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Ended {
    streams: Vec<u32>,
    /// The place of the oldest, where all are taken.
    oldest: usize,
}

impl Ended {
    pub(crate) fn add(&mut self, stream: u32, how: How) {
        let entry = if how == How::Reset { stream | OURS } else { stream };
        let len = self.streams.len();
        let grows =
            len < KNOWN && (len < self.streams.capacity() || self.streams.try_reserve_exact(STEP).is_ok());
        if grows {
            return self.streams.push(entry);
        }
        if let Some(place) = self.streams.get_mut(self.oldest) {
            *place = entry;
            self.oldest = (self.oldest + 1) % len;
        }
    }

    /// `None` for one that never was, or ended long ago.
    pub(crate) fn find(&self, stream: u32) -> Option<How> {
        let known = |wanted| self.streams.contains(&wanted);
        match (known(stream | OURS), known(stream)) {
            (true, _) => Some(How::Reset),
            (_, true) => Some(How::Closed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut ended = Ended::default();
        ended.add(1, How::Reset);
        ended.add(3, How::Closed);
        assert_eq!([1, 3, 5].map(|n| ended.find(n)), [Some(How::Reset), Some(How::Closed), None]);
        (0..127).for_each(|n| ended.add(5 + 2 * n, How::Closed));
        assert_eq!([1, 3, 5].map(|n| ended.find(n)), [None, Some(How::Closed), Some(How::Closed)]);
        ended.add(301, How::Reset);
        assert_eq!([3, 5, 301].map(|n| ended.find(n)), [None, Some(How::Closed), Some(How::Reset)]);
    }
}
