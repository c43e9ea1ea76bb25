//! How large a packet gets through (RFC 1191 with the checks of RFC 5927; RFC 4821 where no router says so). All sizes are
//! of IP packets, octets.

use fata_libos::time::{Duration, Instant};

/// Nobody makes packets smaller than this: a router that asks for less is not believed.
pub(super) const LEAST: u16 = 552;
/// Sizes to fall back to when large packets vanish in silence (RFC 4821, 7.7). The first is what every path of IPv6 takes, 1280
/// octets, as a connection of IPv6 counts it: without the 20 octets that its header has more than that of IPv4.
const BASES: [u16; 2] = [1280 - 20, 576];
/// Timeouts in a row after which they are taken to vanish: two happen on lines that only lose.
const TIMEOUTS: u8 = 3;
/// When a larger size is tried again after a router said no (RFC 1191, 6.3), and after silence or a lost probe: silence
/// mostly was that of a line that was down, and a lost probe costs nothing but itself.
const AFTER_ROUTER: Duration = Duration::from_secs(600);
const AFTER_SILENCE: Duration = Duration::from_secs(1);
/// Differences that are not worth a probe.
const GRAIN: u16 = 32;
/// Probes of one size before it is taken for too large.
const TRIES: u8 = 2;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pmtu {
    current: u16,
    /// What the ends could take.
    ceiling: u16,
    /// More than this has not got through.
    high: u16,
    next: Option<Instant>,
    tries: u8,
    timeouts: u8,
}

impl Pmtu {
    pub(super) fn new(ceiling: u16) -> Self {
        Self { current: ceiling, ceiling, high: ceiling, next: None, tries: 0, timeouts: 0 }
    }

    /// The size that is used.
    pub(super) fn current(&self) -> u16 {
        self.current
    }

    /// The peer takes no more than this.
    pub(super) fn limit(&mut self, most: u16) {
        self.ceiling = self.ceiling.min(most);
        self.current = self.current.min(most);
        self.high = self.high.min(most);
    }

    /// A router says what its next link takes: true if the size changes.
    pub(super) fn too_big(&mut self, now: Instant, mtu: u16) -> bool {
        let mtu = mtu.max(LEAST);
        let smaller = mtu < self.current;
        if smaller {
            (self.current, self.high, self.tries) = (mtu, mtu, 0);
            self.next = Some(now + AFTER_ROUTER);
        }
        smaller
    }

    /// A packet of that size was not acknowledged in time: true if the size changes. That it was the last and not a full one
    /// does not let it through.
    pub(super) fn timed_out(&mut self, now: Instant, size: u16) -> bool {
        let Some(base) = BASES.into_iter().find(|base| *base < size.min(self.current)) else { return false };
        self.timeouts = self.timeouts.saturating_add(1);
        if self.timeouts < TIMEOUTS {
            return false;
        }
        // Of all that is larger nothing is known: if it was the line that was down, the first probe brings all back.
        (self.high, self.current, self.tries, self.timeouts) = (base, base, 0, 0);
        self.next = Some(now + AFTER_SILENCE);
        true
    }

    /// New data has got through.
    pub(super) fn progressed(&mut self) {
        self.timeouts = 0;
    }

    /// The size to probe now, if any.
    pub(super) fn probe(&self, now: Instant) -> Option<u16> {
        self.next.filter(|next| *next <= now)?;
        // What a router forbade may be allowed by now, and silence may have had other reasons: the search begins with all that the
        // ends take.
        Some(if self.high == self.current {
            self.ceiling
        } else {
            self.current + (self.high - self.current).div_ceil(2)
        })
    }

    /// A probe is on its way: no other until its fate is known.
    pub(super) fn probing(&mut self) {
        self.next = None;
    }

    /// A probe of that size has arrived.
    pub(super) fn arrived(&mut self, now: Instant, size: u16) {
        self.current = self.current.max(size.min(self.ceiling));
        self.high = self.high.max(self.current);
        self.tries = 0;
        let done = self.current >= self.ceiling || self.high - self.current < GRAIN;
        self.next = if self.current >= self.ceiling {
            None
        } else if done {
            self.high = self.current;
            Some(now + AFTER_ROUTER)
        } else {
            Some(now)
        };
    }

    /// A probe of that size was lost.
    pub(super) fn lost(&mut self, now: Instant, size: u16) {
        self.tries += 1;
        if self.tries < TRIES {
            self.next = Some(now + AFTER_SILENCE);
            return;
        }
        self.tries = 0;
        self.high = size.saturating_sub(1).max(self.current);
        let done = self.high - self.current < GRAIN;
        if done {
            self.high = self.current;
        }
        self.next = Some(now + if done { AFTER_ROUTER } else { AFTER_SILENCE });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_router_is_believed_within_reason() {
        let mut pmtu = Pmtu::new(1500);
        assert!(!pmtu.too_big(at(0), 1500));
        assert!(pmtu.too_big(at(0), 1400) && !pmtu.too_big(at(0), 1450));
        assert_eq!(pmtu.current(), 1400);
        assert!(pmtu.too_big(at(0), 68));
        assert_eq!((pmtu.current(), pmtu.probe(at(599)), pmtu.probe(at(600))), (LEAST, None, Some(1500)));
    }

    #[test]
    fn silence_makes_packets_smaller_and_the_search_finds_what_fits() {
        let mut pmtu = Pmtu::new(1500);
        assert!(!pmtu.timed_out(at(0), 1500) && !pmtu.timed_out(at(0), 1500) && pmtu.timed_out(at(0), 1500));
        assert_eq!((pmtu.current(), pmtu.probe(at(0))), (1260, None));
        let mut now = 1;
        let real = 1380;
        for _ in 0..40 {
            if let Some(size) = pmtu.probe(at(now)) {
                pmtu.probing();
                assert_eq!(pmtu.probe(at(now)), None);
                if size <= real { pmtu.arrived(at(now), size) } else { pmtu.lost(at(now), size) }
            }
            now += 1;
        }
        assert!((real - GRAIN..=real).contains(&pmtu.current()), "{}", pmtu.current());
        assert_eq!(pmtu.probe(at(now)), None);
    }

    /// A connection of IPv6 counts 20 octets less than its packets have.
    #[test]
    fn the_first_size_to_fall_back_to_is_what_every_path_of_ipv6_takes() {
        let mut pmtu = Pmtu::new(1500 - 20);
        assert_eq!([(); 3].map(|()| pmtu.timed_out(at(0), 1480)), [false, false, true]);
        assert_eq!(pmtu.current() + 20, 1280);
    }

    /// Six timeouts, as a line has that is down for ten seconds.
    #[test]
    fn after_an_outage_one_probe_brings_all_back() {
        let mut pmtu = Pmtu::new(1500);
        assert_eq!([(); 6].map(|()| pmtu.timed_out(at(0), 1500)), [false, false, true, false, false, true]);
        assert_eq!((pmtu.current(), pmtu.probe(at(1))), (576, Some(1500)));
        pmtu.probing();
        pmtu.arrived(at(1), 1500);
        assert_eq!((pmtu.current(), pmtu.probe(at(9999))), (1500, None));
    }

    #[test]
    fn timeouts_between_which_data_got_through_do_not_count() {
        let mut pmtu = Pmtu::new(1500);
        for _ in 0..10 {
            assert!(!pmtu.timed_out(at(0), 1500));
            pmtu.progressed();
        }
        for _ in 0..10 {
            pmtu.timed_out(at(0), 1500);
        }
        assert_eq!(pmtu.current(), 576);
    }

    #[test]
    fn a_packet_that_is_not_full_may_be_too_large_as_well() {
        let mut pmtu = Pmtu::new(1500);
        let mut three = |size| [(); 3].map(|()| pmtu.timed_out(at(0), size));
        assert_eq!((three(1300), three(1000)), ([false, false, true], [false, false, true]));
        assert_eq!(pmtu.current(), 576);
        for _ in 0..10 {
            assert!(!pmtu.timed_out(at(0), 500));
        }
    }
}
