//! Where a connection's numbers begin, so that nobody guesses them who does not see them (RFC 6528).

use super::Flow;
use super::machine::Seq;
use crate::hash::Key;
use core::hash::BuildHasher;
use fata_libos::time::Instant;

/// The clock of first numbers ticks about every 4 us (RFC 6528, 3), nanoseconds: a shift instead of a division.
const TICK: u64 = 4096;

/// The first number of a connection: a clock and a keyed hash of its addresses and ports (RFC 6528, 3); and another part of that hash,
/// which is added to the clock of its timestamps (RFC 7323, 5.4).
pub(super) fn numbers(key: &Key, now: Instant, flow: &Flow) -> (Seq, u32) {
    let hash = key.hash_one(flow);
    (Seq((hash as u32).wrapping_add((now.as_nanos() / TICK) as u32)), (hash >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddr;

    fn flow(local: &str, remote: &str) -> Flow {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        Flow::new(address(local), address(remote))
    }

    /// Of one flow the numbers run on with the clock: segments of an old connection are old ones in a new one.
    #[test]
    fn rfc_6528_first_numbers_of_a_flow_run_on_with_the_clock() {
        let (key, flow) = (Key::fixed(), flow("10.0.0.2:80", "10.0.0.1:1234"));
        let first = |nanos| numbers(&key, Instant::from_nanos(nanos), &flow).0;
        for (from, to, ticks) in [
            (0, 4095, 0),
            (0, 4096, 1),
            (0, 1_000_000_000, 244_140),
            (3_000_000_000, 3_100_000_000, 24_414),
            // All around in four hours and 53 minutes.
            (0, 4096 << 32, 0),
            (4096 * 7, (4096 << 32) + 4096 * 10, 3),
        ] {
            assert_eq!(first(to) - first(from), ticks, "from {from} to {to} ns");
        }
        let offset = |nanos| numbers(&key, Instant::from_nanos(nanos), &flow).1;
        assert_eq!(offset(0), offset(1 << 60), "a clock that jumps is none (RFC 7323, 5.4)");
    }

    /// Whoever knows the numbers of one flow knows nothing of those of another: each of the four parts, and the secret, goes in.
    #[test]
    fn rfc_6528_first_numbers_of_other_flows_are_unrelated() {
        let (key, now) = (Key::fixed(), Instant::from_nanos(1 << 40));
        let mut all: Vec<(u32, u32)> = Vec::new();
        for n in 0..100 {
            let (low, high) = (n % 10 + 1, n + 1000);
            for (local, remote) in [
                (format!("10.0.0.{low}:80"), format!("10.0.1.1:{high}")),
                (format!("10.0.1.1:{high}"), format!("10.0.0.{low}:80")),
                (format!("[2001:db8::{low}]:80"), format!("[2001:db8::ff]:{high}")),
            ] {
                let (first, offset) = numbers(&key, now, &flow(&local, &remote));
                all.push((first.0, offset));
            }
        }
        let one = flow("10.0.0.2:80", "10.0.0.1:1234");
        all.extend(
            (0..100).map(|secret| numbers(&Key::of(secret), now, &one)).map(|(first, o)| (first.0, o)),
        );
        for of in [|pair: &(u32, u32)| pair.0, |pair: &(u32, u32)| pair.1] {
            let mut sorted: Vec<u32> = all.iter().map(of).collect();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), all.len(), "all are different");
            let next = all.windows(2).map(|pair| of(&pair[1]).wrapping_sub(of(&pair[0])));
            let near = next.filter(|step| *step < 1 << 24 || *step > u32::MAX << 24).count();
            assert!(near < 12, "{near} of {} lie near the one before, where 3 would by chance", all.len());
        }
    }
}
