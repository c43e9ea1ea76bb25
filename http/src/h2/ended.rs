//! Streams that have ended lately: what may still come for them says how they ended (RFC 9113 section 5.1).

/// How many are known.
const KNOWN: usize = 64;
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
pub(crate) struct Ended {
    streams: [u32; KNOWN],
    next: usize,
}

impl Ended {
    pub(crate) fn new() -> Self {
        Self { streams: [0; KNOWN], next: 0 }
    }

    pub(crate) fn add(&mut self, stream: u32, how: How) {
        if let Some(place) = self.streams.get_mut(self.next) {
            *place = if how == How::Reset { stream | OURS } else { stream };
        }
        self.next = (self.next + 1) % KNOWN;
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
        let mut ended = Ended::new();
        ended.add(1, How::Reset);
        ended.add(3, How::Closed);
        assert_eq!([1, 3, 5].map(|n| ended.find(n)), [Some(How::Reset), Some(How::Closed), None]);
        (0..63).for_each(|n| ended.add(5 + 2 * n, How::Closed));
        assert_eq!([1, 3, 5].map(|n| ended.find(n)), [None, Some(How::Closed), Some(How::Closed)]);
    }
}
