//! A budget for what costs us and brings a client nothing (RFC 9113 section 10.5): streams that are opened and reset, settings, pings,
//! frames without content, windows that open by an octet.
//!
//! Each of these takes from the budget, what is useful gives back, and so does time. A client that has used it up is told
//! ENHANCE_YOUR_CALM, and its connection ends.

use fata_libos::time::Instant;

/// What a connection starts with, and the most it can have.
const FULL: u32 = 1000;
/// What comes back in a second.
const A_SECOND: u64 = 20;
/// Octets of content sent that give one back.
const OCTETS: u64 = 256;

/// What a frame that brings nothing takes.
pub(crate) const FRAME: u32 = 1;
/// What a stream takes that is reset before it is answered, or that is no request: two hundred at once are a page that is left.
pub(crate) const RESET: u32 = 5;
/// Octets of fields above the limit of a head that take one.
pub(crate) const FIELDS: u32 = 32 * 1024;
/// What an answered request gives back.
pub(crate) const ANSWERED: u32 = 2;

/// See the module.
pub(crate) struct Calm {
    left: u32,
    since: Instant,
    octets: u64,
}

impl Calm {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: FULL, since: now, octets: 0 }
    }

    /// Takes `cost`; false if there is not so much.
    pub(crate) fn spend(&mut self, cost: u32, now: Instant) -> bool {
        let earned = now.duration_since(self.since).as_millis() as u64 * A_SECOND / 1000;
        if earned > 0 {
            self.since = now;
            self.earn(u32::try_from(earned).unwrap_or(FULL));
        }
        let left = self.left.checked_sub(cost);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    pub(crate) fn earn(&mut self, n: u32) {
        self.left = self.left.saturating_add(n).min(FULL);
    }

    /// The client has taken so many octets of content.
    pub(crate) fn sent(&mut self, octets: u64) {
        let all = self.octets + octets;
        self.octets = all % OCTETS;
        self.earn(u32::try_from(all / OCTETS).unwrap_or(FULL));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_libos::time::Duration;

    #[test]
    fn what_is_useless_is_limited() {
        let start = Instant::from_nanos(0);
        let mut calm = Calm::new(start);
        assert!((0..200).all(|_| calm.spend(RESET, start)));
        assert!(!calm.spend(FRAME, start));
        let later = start + Duration::from_secs(10);
        assert!((0..200).all(|_| calm.spend(FRAME, later)));
        assert!(!calm.spend(FRAME, later));
        calm.sent(200);
        assert!(!calm.spend(FRAME, later));
        calm.sent(700);
        assert!((0..3).all(|_| calm.spend(FRAME, later)) && !calm.spend(FRAME, later));
        assert!((0..10_000).all(|_| (calm.earn(ANSWERED), calm.spend(FRAME, later)).1));
    }
}
