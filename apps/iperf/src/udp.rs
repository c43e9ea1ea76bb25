//! What is in a datagram, and what its receiver makes of it: loss by the numbers, jitter by the times (RFC 1889, section 6.3.1).

use crate::params::Counter;
use core::time::Duration;

/// What a client sends first, so that the server learns its port: octets in the order of x86, as iperf3 has it.
pub const HELLO: [u8; 4] = 0x3637_3839_u32.to_le_bytes();
/// The same of versions before 3.12.
pub const OLD_HELLO: [u8; 4] = 123_456_789_u32.to_le_bytes();
/// The server's answer.
pub const ANSWER: [u8; 4] = 0x3938_3736_u32.to_le_bytes();
/// The same of versions before 3.12.
pub const OLD_ANSWER: [u8; 4] = 987_654_321_u32.to_le_bytes();

/// Writes time and number to the start of a datagram, which has room for both.
pub fn write_header(datagram: &mut [u8], time: Duration, number: u64, counter: Counter) {
    // Seconds wrap as iperf3's do; only differences count.
    datagram[..4].copy_from_slice(&(time.as_secs() as u32).to_be_bytes());
    datagram[4..8].copy_from_slice(&time.subsec_micros().to_be_bytes());
    match counter {
        Counter::Bits32 => datagram[8..12].copy_from_slice(&(number as u32).to_be_bytes()),
        Counter::Bits64 => datagram[8..16].copy_from_slice(&number.to_be_bytes()),
    }
}

/// Time and number of a datagram; none where it is too short for them.
pub fn read_header(datagram: &[u8], counter: Counter) -> Option<(Duration, u64)> {
    let word = |at: usize| Some(u32::from_be_bytes(*datagram.get(at..)?.first_chunk()?));
    let time = Duration::from_secs(u64::from(word(0)?)) + Duration::from_micros(u64::from(word(4)?));
    let number = match counter {
        Counter::Bits32 => u64::from(word(8)?),
        Counter::Bits64 => u64::from_be_bytes(*datagram.get(8..)?.first_chunk()?),
    };
    Some((time, number))
}

/// What a receiver has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Arrivals {
    /// The highest number seen.
    pub highest: u64,
    /// Datagrams that did not come. One that comes late is not lost any more.
    pub lost: u64,
    /// Datagrams that came after one sent later, or twice.
    pub out_of_order: u64,
    /// Seconds.
    pub jitter: f64,
    transit_us: Option<i64>,
}

impl Arrivals {
    /// Counts a datagram with that time and number, which came at `now`.
    pub fn count(&mut self, sent: Duration, number: u64, now: Duration) {
        if number > self.highest {
            // What the sender says bounds nothing here: a number far ahead is that many lost.
            self.lost = self.lost.saturating_add(number - self.highest - 1);
            self.highest = number;
        } else {
            self.out_of_order += 1;
            self.lost = self.lost.saturating_sub(1);
        }
        let transit = micros(now).wrapping_sub(micros(sent));
        if let Some(before) = self.transit_us.replace(transit) {
            let change = transit.wrapping_sub(before).unsigned_abs() as f64 / 1e6;
            self.jitter += (change - self.jitter) / 16.0;
        }
    }
}

fn micros(time: Duration) -> i64 {
    time.as_micros() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_both_sizes() {
        let mut datagram = [0; 16];
        let time = Duration::from_micros(7_000_123);
        write_header(&mut datagram, time, (5 << 32) + 9, Counter::Bits64);
        assert_eq!(datagram, [0, 0, 0, 7, 0, 0, 0, 123, 0, 0, 0, 5, 0, 0, 0, 9]);
        assert_eq!(read_header(&datagram, Counter::Bits64), Some((time, (5 << 32) + 9)));
        write_header(&mut datagram, time, 9, Counter::Bits32);
        assert_eq!(read_header(&datagram[..12], Counter::Bits32), Some((time, 9)));
        assert_eq!(read_header(&datagram[..12], Counter::Bits64), None);
        assert_eq!(read_header(&[], Counter::Bits32), None);
    }

    #[test]
    fn loss_and_order_are_told_by_numbers() {
        let mut seen = Arrivals::default();
        for number in [1, 2, 5, 4, 6, 6] {
            seen.count(Duration::ZERO, number, Duration::ZERO);
        }
        // 3 is lost; 4 was late. A second 6 makes good for it, as in iperf3.
        assert_eq!((seen.highest, seen.lost, seen.out_of_order), (6, 0, 2));
        let mut seen = Arrivals::default();
        seen.count(Duration::ZERO, u64::MAX, Duration::ZERO);
        seen.count(Duration::ZERO, u64::MAX, Duration::ZERO);
        assert_eq!((seen.highest, seen.lost), (u64::MAX, u64::MAX - 2));
    }

    #[test]
    fn jitter_is_a_sixteenth_of_each_change() {
        let mut seen = Arrivals::default();
        let at = Duration::from_millis;
        seen.count(at(0), 1, at(100_000));
        assert_eq!(seen.jitter, 0.0);
        seen.count(at(10), 2, at(100_026));
        assert!((seen.jitter - 0.001).abs() < 1e-9, "{}", seen.jitter);
        // Hostile times do not overflow.
        seen.count(Duration::new(u64::from(u32::MAX), 0), 3, at(0));
        assert!(seen.jitter.is_finite());
    }
}
