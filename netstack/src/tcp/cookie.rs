//! SYN cookies: where there is no room for another handshake, a SYN is answered without a record (RFC 4987, 3.6).
//!
//! The seed of the state machine to come, and so the sequence number of the SYN-ACK, is a keyed hash of what the last
//! segment of the handshake says again. Of the SYN's options a size near its MSS survives; there is no window scaling and
//! no SACK, and a SYN-ACK that is lost is sent again only when the SYN is.

use super::Flow;
use super::segment::{Segment, Syn};
use crate::hash::Key;
use core::cell::Cell;
use core::hash::{BuildHasher, Hash, Hasher};
use fata_libos::time::{Duration, Instant};

/// A cookie is good for one to two of these.
const PERIOD: Duration = Duration::from_secs(16);
/// The sizes that a cookie can carry, octets; the last is what every host takes (RFC 9293, 3.7.1).
const SIZES: [u16; 4] = [1460, 1400, 1220, 536];

/// See the module.
pub(crate) struct Cookies {
    key: Key,
    last: Cell<Option<Instant>>,
}

impl Cookies {
    pub(super) fn new() -> Self {
        Self { key: Key::random(), last: Cell::new(None) }
    }

    /// The seed for an answer to `syn`, and what will be known of that later.
    pub(super) fn make(&self, now: Instant, flow: &Flow, syn: Syn) -> (u64, Syn) {
        self.last.set(Some(now));
        let offered = syn.mss.unwrap_or(0);
        let class = SIZES.iter().position(|size| *size <= offered).unwrap_or(SIZES.len() - 1);
        let kept = Syn { mss: Some(SIZES[class]), scale: None, sack: false, ..syn };
        (self.seed(flow, syn.seq, period(now), class), kept)
    }

    /// The seed and the SYN of the answer that `segment` acknowledges, if that was a cookie. `sequence` is how a machine
    /// draws its first number from a seed.
    pub(super) fn check(
        &self,
        now: Instant,
        flow: &Flow,
        segment: &Segment,
        sequence: fn(u64) -> u32,
    ) -> Option<(u64, Syn)> {
        let in_use = self.last.get().is_some_and(|last| now.duration_since(last) < 2 * PERIOD);
        if !in_use || !segment.has_ack || segment.syn || segment.rst {
            return None;
        }
        let seq = segment.seq.wrapping_sub(1);
        let periods = [period(now), period(now).wrapping_sub(1)];
        periods.into_iter().flat_map(|period| (0..SIZES.len()).map(move |class| (period, class))).find_map(
            |(period, class)| {
                let seed = self.seed(flow, seq, period, class);
                (sequence(seed) == segment.ack.wrapping_sub(1)).then_some((
                    seed,
                    Syn { seq, window: segment.window, mss: Some(SIZES[class]), scale: None, sack: false },
                ))
            },
        )
    }

    fn seed(&self, flow: &Flow, seq: u32, period: u64, class: usize) -> u64 {
        let mut hasher = self.key.build_hasher();
        flow.hash(&mut hasher);
        hasher.write_u64(u64::from(seq));
        hasher.write_u64(period << 2 | class as u64);
        hasher.finish()
    }
}

fn period(now: Instant) -> u64 {
    now.as_nanos() / PERIOD.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, SocketAddr};

    fn flow(port: u16) -> Flow {
        let at = |port| SocketAddr::new(Ipv4Addr::new(10, 0, 0, 1).into(), port);
        Flow::new(at(80), at(port))
    }

    /// In place of the machine's.
    fn sequence(seed: u64) -> u32 {
        seed as u32
    }

    fn answer(seq: u32, ack: u32) -> Segment {
        Segment { seq, ack, window: 99, syn: false, fin: false, rst: false, has_ack: true, data: 0 }
    }

    #[test]
    fn a_cookie_is_good_for_its_flow_and_number_for_a_while() {
        let cookies = Cookies { key: Key::fixed(), last: Cell::new(None) };
        let at = |seconds: u64| Instant::default() + Duration::from_secs(1000 + seconds);
        for (mss, kept) in
            [(None, 536), (Some(100), 536), (Some(1300), 1220), (Some(1460), 1460), (Some(9000), 1460)]
        {
            let syn = Syn { seq: u32::MAX, window: 1, mss, scale: Some(7), sack: true };
            let (seed, _) = cookies.make(at(0), &flow(1), syn);
            let good = answer(0, sequence(seed).wrapping_add(1));
            let (again, syn) = cookies.check(at(15), &flow(1), &good, sequence).unwrap();
            assert_eq!(
                (again, syn.seq, syn.mss, syn.scale, syn.window),
                (seed, u32::MAX, Some(kept), None, 99)
            );
            let check = |seconds, port, seq, ack| {
                cookies.check(at(seconds), &flow(port), &answer(seq, ack), sequence).is_some()
            };
            assert!(!check(15, 2, 0, good.ack), "of another");
            assert!(!check(15, 1, 1, good.ack), "to another SYN");
            assert!(!check(15, 1, 0, good.ack + 1), "not what was sent");
            assert!(!check(33, 1, 0, good.ack), "too late");
        }
    }

    #[test]
    fn where_none_was_made_none_is_good() {
        let cookies = Cookies { key: Key::fixed(), last: Cell::new(None) };
        let ack = sequence(cookies.seed(&flow(1), 5, 0, 0)).wrapping_add(1);
        assert!(cookies.check(Instant::default(), &flow(1), &answer(6, ack), sequence).is_none());
    }
}
