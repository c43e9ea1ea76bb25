//! SYN cookies: where there is no room for another handshake, a SYN is answered without a record (RFC 4987, 3.6).
//!
//! The sequence number of the SYN-ACK is a keyed hash of what the last segment of the handshake says again. Of the SYN's options a size near its MSS survives; there is no window scaling and
//! no SACK, and a SYN-ACK that is lost is sent again only when the SYN is.

use super::Flow;
use super::machine::{Flags, Header, Options, Seq};
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

    /// The first number of an answer to `syn`, and what will be known of that later.
    pub(super) fn make(&self, now: Instant, flow: &Flow, syn: Header) -> (Seq, Header) {
        self.last.set(Some(now));
        let offered = syn.options.mss.unwrap_or(0);
        let class = SIZES.iter().position(|size| *size <= offered).unwrap_or(SIZES.len() - 1);
        (self.number(flow, syn.seq, period(now), class), self::syn(syn.seq, syn.window, class))
    }

    /// The SYN to whose answer `header` is the acknowledgement, if that was a cookie.
    pub(super) fn check(&self, now: Instant, flow: &Flow, header: &Header) -> Option<Header> {
        let in_use = self.last.get().is_some_and(|last| now.duration_since(last) < 2 * PERIOD);
        let flags = header.flags;
        if !in_use || !flags.has(Flags::ACK) || flags.has(Flags::SYN) || flags.has(Flags::RST) {
            return None;
        }
        let seq = header.seq - 1;
        let periods = [period(now), period(now).wrapping_sub(1)];
        periods.into_iter().flat_map(|period| (0..SIZES.len()).map(move |class| (period, class))).find_map(
            |(period, class)| {
                let is_it = self.number(flow, seq, period, class) == header.ack - 1;
                is_it.then(|| self::syn(seq, header.window, class))
            },
        )
    }

    fn number(&self, flow: &Flow, seq: Seq, period: u64, class: usize) -> Seq {
        let mut hasher = self.key.build_hasher();
        flow.hash(&mut hasher);
        hasher.write_u64(u64::from(seq.0));
        hasher.write_u64(period << 2 | class as u64);
        Seq(hasher.finish() as u32)
    }
}

/// What is left of a SYN.
fn syn(seq: Seq, window: u16, class: usize) -> Header {
    let options = Options { mss: Some(SIZES[class]), ..Options::default() };
    Header { seq, ack: Seq(0), window, flags: Flags::SYN, options }
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

    fn answer(seq: Seq, ack: Seq) -> Header {
        Header { seq, ack, window: 99, flags: Flags::ACK, options: Options::default() }
    }

    #[test]
    fn a_cookie_is_good_for_its_flow_and_number_for_a_while() {
        let cookies = Cookies { key: Key::fixed(), last: Cell::new(None) };
        let at = |seconds: u64| Instant::default() + Duration::from_secs(1000 + seconds);
        for (mss, kept) in
            [(None, 536), (Some(100), 536), (Some(1300), 1220), (Some(1460), 1460), (Some(9000), 1460)]
        {
            let options = Options { mss, scale: Some(7), sack_permitted: true, ..Options::default() };
            let syn = Header { seq: Seq(u32::MAX), ack: Seq(0), window: 1, flags: Flags::SYN, options };
            let (iss, _) = cookies.make(at(0), &flow(1), syn);
            let good = answer(Seq(0), iss + 1);
            let syn = cookies.check(at(15), &flow(1), &good).unwrap();
            assert_eq!(
                (syn.seq, syn.options, syn.window),
                (Seq(u32::MAX), Options { mss: Some(kept), ..Options::default() }, 99)
            );
            let check = |seconds, port, seq, ack| {
                cookies.check(at(seconds), &flow(port), &answer(Seq(seq), ack)).is_some()
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
        let ack = cookies.number(&flow(1), Seq(5), 0, 0) + 1;
        assert!(cookies.check(Instant::default(), &flow(1), &answer(Seq(6), ack)).is_none());
    }
}
