//! SYN cookies: where there is no room for another handshake, a SYN is answered without a record (RFC 4987, 3.6).
//!
//! The sequence number of the SYN-ACK is a keyed hash of what the last segment of the handshake says again. Of the SYN's options a
//! size near its MSS survives. A peer that sends its clock echoes this side's: in the low bits of that stand the shifts of windows
//! and SACK; with a peer that has none there is neither. A SYN-ACK that is lost is sent again only when the SYN is.

use super::Flow;
use super::machine::{Flags, Header, Options, Seq, Timestamp};
use crate::hash::Key;
use core::cell::Cell;
use core::hash::{BuildHasher, Hash, Hasher};
use fata_libos::time::{Duration, Instant};

/// A cookie is good for one to two of these.
const PERIOD: Duration = Duration::from_secs(16);
/// The sizes that a cookie can carry, octets; the last is what every host takes (RFC 9293, 3.7.1).
const SIZES: [u16; 4] = [1460, 1400, 1220, 536];

/// The bits of a SYN-ACK's clock: SACK, and from these on the shifts of this side's windows and of the peer's, or none.
const CLOCK: u32 = 0x1ff;
const OWN: u32 = 1;
const PEER: u32 = 5;
const NONE: u8 = 15;

/// See the module.
pub(crate) struct Cookies {
    key: Key,
    last: Cell<Option<Instant>>,
}

impl Cookies {
    pub(super) fn new() -> Self {
        Self { key: Key::random(), last: Cell::new(None) }
    }

    /// The first number of an answer to `syn` that shifts windows by `shift` if the peer lets it, and what will be known of the SYN
    /// later.
    pub(super) fn make(&self, now: Instant, flow: &Flow, syn: Header, shift: u8) -> (Seq, Header) {
        self.last.set(Some(now));
        let offered = syn.options.mss.unwrap_or(0);
        let class = SIZES.iter().position(|size| *size <= offered).unwrap_or(SIZES.len() - 1);
        let Options { scale, timestamp, .. } = syn.options;
        let options = if timestamp.is_some() { syn.options } else { Options::default() };
        let own = timestamp.map(|_| if scale.is_some() { shift } else { NONE });
        (self.number(flow, syn.seq, period(now), class, own), self::syn(syn.seq, syn.window, class, options))
    }

    /// The SYN to whose answer `header` is the acknowledgement, if that was a cookie, and by how much the answer said that windows are
    /// shifted.
    pub(super) fn check(&self, now: Instant, flow: &Flow, header: &Header) -> Option<(Header, Option<u8>)> {
        let in_use = self.last.get().is_some_and(|last| now.duration_since(last) < 2 * PERIOD);
        let flags = header.flags;
        if !in_use || !flags.has(Flags::ACK) || flags.has(Flags::SYN) || flags.has(Flags::RST) {
            return None;
        }
        let seq = header.seq - 1;
        let (options, own) = unmark(header.options.timestamp);
        let periods = [period(now), period(now).wrapping_sub(1)];
        periods.into_iter().flat_map(|period| (0..SIZES.len()).map(move |class| (period, class))).find_map(
            |(period, class)| {
                let is_it = self.number(flow, seq, period, class, own) == header.ack - 1;
                is_it.then(|| (self::syn(seq, header.window, class, options), own.filter(|own| *own != NONE)))
            },
        )
    }

    /// This side's own shift is in it: nobody else is to choose how large its windows may be.
    fn number(&self, flow: &Flow, seq: Seq, period: u64, class: usize, own: Option<u8>) -> Seq {
        let mut hasher = self.key.build_hasher();
        flow.hash(&mut hasher);
        hasher.write_u64(u64::from(seq.0));
        let own = own.map_or(0, |own| 1 + u64::from(own));
        hasher.write_u64(period << 7 | own << 2 | class as u64);
        Seq(hasher.finish() as u32)
    }
}

/// What is left of a SYN.
fn syn(seq: Seq, window: u16, class: usize, options: Options) -> Header {
    let options = Options { mss: Some(SIZES[class]), ..options };
    Header { seq, ack: Seq(0), window, flags: Flags::SYN, options }
}

/// Puts what a cookie has no room for into the clock of the SYN-ACK, which is no later for it: what follows is not to seem old.
pub(super) fn mark(syn: &Options, answer: &mut Options) {
    let Some(clocks) = &mut answer.timestamp else { return };
    let shift = |scale: Option<u8>| u32::from(scale.unwrap_or(NONE));
    let bits = shift(syn.scale) << PEER | shift(answer.scale) << OWN | u32::from(answer.sack_permitted);
    clocks.value = clocks.value.wrapping_sub(clocks.value.wrapping_sub(bits) & CLOCK);
}

/// What the SYN of a peer that echoes such a clock had, and the shift of this side's windows. The peer may say what it likes of
/// itself. What it echoes is no time, and stays in it to be known as such.
fn unmark(clocks: Option<Timestamp>) -> (Options, Option<u8>) {
    let Some(Timestamp { echo, .. }) = clocks else { return Default::default() };
    let shift = |at: u32| (echo >> at & u32::from(NONE)) as u8;
    let scale = Some(shift(PEER)).filter(|scale| *scale != NONE);
    let options = Options { scale, sack_permitted: echo & 1 != 0, timestamp: clocks, ..Options::default() };
    (options, Some(shift(OWN)))
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
            let (iss, _) = cookies.make(at(0), &flow(1), syn, 3);
            let good = answer(Seq(0), iss + 1);
            let (syn, shift) = cookies.check(at(15), &flow(1), &good).unwrap();
            assert_eq!(shift, None);
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

    /// With the peer's clock all of its SYN survives, whatever this side's clock is, which does not go ahead; this side's shift is
    /// believed as it was said alone, and of its own a peer can say nothing that makes no sense.
    #[test]
    fn the_clock_carries_what_the_number_does_not() {
        let cookies = Cookies { key: Key::fixed(), last: Cell::new(None) };
        let now = Instant::default() + Duration::from_secs(1000);
        for scale in [None, Some(0), Some(7), Some(14)] {
            for (sack_permitted, clock) in [(true, 0), (false, 511), (true, 0x8000_0123), (false, u32::MAX)] {
                let timestamp = Some(Timestamp { value: 7, echo: 0 });
                let options =
                    Options { mss: Some(1460), scale, sack_permitted, timestamp, ..Options::default() };
                let syn = Header { seq: Seq(9), ack: Seq(0), window: 1, flags: Flags::SYN, options };
                let (iss, kept) = cookies.make(now, &flow(1), syn, 5);
                assert_eq!(kept.options, options);
                let mut said = Options {
                    scale: scale.map(|_| 5),
                    timestamp: Some(Timestamp { value: clock, echo: 7 }),
                    ..options
                };
                mark(&kept.options, &mut said);
                let echo = said.timestamp.unwrap().value;
                assert!(clock.wrapping_sub(echo) <= CLOCK);
                let with = |echo| {
                    let timestamp = Some(Timestamp { value: 8, echo });
                    let options = Options { timestamp, ..Options::default() };
                    cookies.check(now, &flow(1), &Header { options, ..answer(Seq(10), iss + 1) })
                };
                let (syn, own) = with(echo).unwrap();
                let timestamp = Some(Timestamp { value: 8, echo });
                assert_eq!((syn.options, own), (Options { timestamp, ..options }, scale.map(|_| 5)));
                for bit in 0..32 {
                    let lied = with(echo ^ 1 << bit);
                    assert_eq!(lied.is_none(), (OWN..PEER).contains(&bit), "{bit}");
                    assert!(lied.is_none_or(|(syn, _)| syn.options.scale.is_none_or(|scale| scale <= 14)));
                }
                // Neither with clocks where there were none nor the other way.
                assert!(cookies.check(now, &flow(1), &answer(Seq(10), iss + 1)).is_none());
            }
        }
        let syn = Header { seq: Seq(9), flags: Flags::SYN, ..Header::default() };
        let (iss, _) = cookies.make(now, &flow(1), syn, 5);
        let options = Options { timestamp: Some(Timestamp { value: 8, echo: 0 }), ..Options::default() };
        assert!(cookies.check(now, &flow(1), &Header { options, ..answer(Seq(10), iss + 1) }).is_none());
    }

    #[test]
    fn where_none_was_made_none_is_good() {
        let cookies = Cookies { key: Key::fixed(), last: Cell::new(None) };
        let ack = cookies.number(&flow(1), Seq(5), 0, 0, None) + 1;
        assert!(cookies.check(Instant::default(), &flow(1), &answer(Seq(6), ack)).is_none());
    }
}
