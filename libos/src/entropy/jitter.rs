//! Jitter: how long the same work takes, by the processor's counter. Caches, other guests and the host's interrupts are in it.

use super::NEEDED_BITS;
use super::health::{Repetition, is_too_often_the_first};
use core::hint::black_box;

/// As many as bits are needed, for one bit a sample: more are time at each start, most where the counter traps.
pub(super) const SAMPLES: usize = NEEDED_BITS as usize;
/// Cutoffs for one bit a sample and one false alarm in 2^20 (SP 800-90B, 4.4): `1 + ceil(20 / H)`, and
/// `1 + critbinom(SAMPLES, 2^-H, 1 - 2^-20)`; the standard's own window is of 512.
const IN_A_ROW: u32 = 21;
const IN_A_WINDOW: usize = 92;

/// An octet for each time that some work took; `None` where they are as a counter's that stands still or steps evenly.
pub(super) fn collect(mut counter: impl FnMut() -> u64) -> Option<[u8; SAMPLES]> {
    let mut samples = [0; SAMPLES];
    let mut repetition = Repetition::new(IN_A_ROW);
    let mut is_good = true;
    let (mut at, mut before) = (0, counter());
    for n in 0..SAMPLES {
        at = work(&mut samples, n, at);
        let now = counter();
        let took = now.wrapping_sub(before);
        before = now;
        // Some counters step by more than one, so that the low bits alone would say little.
        let sample = (took ^ took >> 8) as u8;
        is_good &= !repetition.is_reached_by(sample);
        samples[n] = sample;
    }
    (is_good && !is_too_often_the_first(&samples, IN_A_WINDOW)).then_some(samples)
}

/// Some loads and stores, each at a place that the one before says, and a branch that takes either way.
fn work(samples: &mut [u8; SAMPLES], n: usize, mut at: usize) -> usize {
    for step in 0..16 {
        let place = &mut samples[n + at % (SAMPLES - n)];
        *place = place.wrapping_add(black_box(step));
        at = if *place & 1 == 0 { at.rotate_left(3) ^ n } else { at.wrapping_mul(5).wrapping_add(1) };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A counter that goes on by what `step` says of each reading.
    fn by(step: impl Fn(u64) -> u64) -> Option<[u8; SAMPLES]> {
        let (mut now, mut reading) = (1 << 40, 0);
        collect(|| {
            now += step(reading);
            reading += 1;
            now
        })
    }

    fn noise(reading: u64) -> u64 {
        reading.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56
    }

    #[test]
    fn noise_is_taken() {
        let taken = by(|n| 100 + noise(n)).expect("it is noise");
        let wanted = |n: usize| {
            let took = 100 + noise(n as u64 + 1);
            (took ^ took >> 8) as u8
        };
        assert!((0..SAMPLES).all(|n| taken[n] == wanted(n)), "the samples are not the times");
    }

    #[test]
    fn a_counter_that_stands_still_or_steps_evenly_is_not() {
        assert_eq!(by(|_| 0), None);
        assert_eq!(by(|_| 1000), None);
        // Noise, and then it stands still, just long enough.
        assert!(by(|n| if (80..100).contains(&n) { 64 } else { 100 + n % 2 }).is_some());
        assert_eq!(by(|n| if (80..101).contains(&n) { 64 } else { 100 + n % 2 }), None);
    }

    #[test]
    fn a_time_that_is_too_frequent_is_found() {
        // Never 21 in a row; the first sample in three of four.
        assert_eq!(by(|n| if n % 4 == 0 { 100 + noise(n) } else { 50 }), None);
    }

    /// `1 + critbinom(SAMPLES, 1/2, 1 - 2^-20)`: the smallest count whose probability to be exceeded is at most 2^-20.
    #[test]
    fn the_cutoff_is_that_of_the_standard() {
        let n = SAMPLES as f64;
        let mut probability = 0.5_f64.powi(SAMPLES as i32);
        let mut sum = probability;
        let mut count = 0;
        while sum < 1.0 - 0.5_f64.powi(20) {
            probability *= (n - f64::from(count)) / f64::from(count + 1);
            sum += probability;
            count += 1;
        }
        assert_eq!(IN_A_WINDOW, 1 + count as usize);
    }
}
