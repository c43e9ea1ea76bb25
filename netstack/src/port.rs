//! Ports that nobody asked for by number.

use fata_libos::entropy;

/// The first of the ports that sockets of ours get (RFC 6335, 6); the last is 65535.
pub(crate) const FIRST_EPHEMERAL: u16 = 49_152;
/// How many these are, less one.
const LAST: u16 = u16::MAX - FIRST_EPHEMERAL;

/// A port that `is_free`, chosen so that nobody can guess it (RFC 6056, 3.3.1).
pub(crate) fn ephemeral(is_free: impl Fn(u16) -> bool) -> Option<u16> {
    first_free(entropy::u32() as u16, is_free)
}

/// The first port that `is_free`, from the one on that a random number stands for, and around.
fn first_free(random: u16, is_free: impl Fn(u16) -> bool) -> Option<u16> {
    let start = random % (LAST + 1);
    (0..=LAST).map(|n| FIRST_EPHEMERAL + (start + n) % (LAST + 1)).find(|port| is_free(*port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_6056_ports_begin_at_a_random_one_and_go_around() {
        type IsFree = fn(u16) -> bool;
        let cases: [(u16, IsFree, Option<u16>); 8] = [
            (0, |_| true, Some(49_152)),
            (1, |_| true, Some(49_153)),
            (16_383, |_| true, Some(65_535)),
            (16_384, |_| true, Some(49_152)),
            (u16::MAX, |_| true, Some(65_535)),
            (5, |port| port != 49_157, Some(49_158)),
            (16_382, |port| port < 49_160 && port != 49_152, Some(49_153)),
            (77, |_| false, None),
        ];
        for (random, is_free, port) in cases {
            assert_eq!(first_free(random, is_free), port, "{random}");
        }
    }

    #[test]
    fn rfc_6056_each_port_is_as_likely_as_any_other() {
        let mut count = vec![0; usize::from(LAST) + 1];
        for random in 0..=u16::MAX {
            let port = first_free(random, |_| true).unwrap();
            count[usize::from(port - FIRST_EPHEMERAL)] += 1;
        }
        assert!(count.iter().all(|times| *times == 4));
    }
}
