//! Health tests of noise (NIST SP 800-90B, section 4.4): is it stuck, or has one value too often?

/// The repetition count test (4.4.1): how often a sample came in a row.
pub(super) struct Repetition<T> {
    cutoff: u32,
    last: Option<T>,
    times: u32,
}

impl<T: PartialEq> Repetition<T> {
    /// A test that fails when the same sample comes `cutoff` times in a row.
    pub(super) fn new(cutoff: u32) -> Self {
        Self { cutoff, last: None, times: 0 }
    }

    /// Takes the next sample: whether it is one too many.
    pub(super) fn is_reached_by(&mut self, sample: T) -> bool {
        self.times = if self.last.as_ref() == Some(&sample) { self.times + 1 } else { 1 };
        self.last = Some(sample);
        self.times >= self.cutoff
    }
}

/// The adaptive proportion test (4.4.2) of one window: whether its first sample is there `cutoff` times.
pub(super) fn is_too_often_the_first(window: &[u8], cutoff: usize) -> bool {
    let first = window.first();
    window.iter().filter(|sample| Some(*sample) == first).count() >= cutoff
}

/// The repetition count test of words of 64 bits, of which two in a row are one too many (`1 + ceil(20 / H)` for one false alarm in 2^20
/// samples). Zero is one too many by itself.
pub(super) fn repeats_itself(octets: &[u8]) -> bool {
    let mut before = 0;
    octets.as_chunks().0.iter().any(|word| {
        let word = u64::from_le_bytes(*word);
        word == 0 || core::mem::replace(&mut before, word) == word
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_itself_is_found() {
        let mut repetition = Repetition::new(3);
        let reached: Vec<_> =
            [5, 5, 6, 5, 5, 5, 5, 7].into_iter().map(|n| repetition.is_reached_by(n)).collect();
        assert_eq!(reached, [false, false, false, false, false, true, true, false]);
        // Zero is a sample like others, also as the first.
        let mut repetition = Repetition::new(2);
        assert!(!repetition.is_reached_by(0_u64));
        assert!(repetition.is_reached_by(0));
    }

    #[test]
    fn words_that_repeat_themselves_are_found() {
        let octets = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        for good in [&[][..], &[1], &[1, 2, 3, 4], &[1, 2, 1, 2], &[1 << 63, 1, u64::MAX, 5]] {
            assert!(!repeats_itself(&octets(good)), "{good:?}");
        }
        for bad in [&[0][..], &[1, 2, 3, 0], &[1, 1, 2, 3], &[1, 2, 3, 3], &[u64::MAX; 4]] {
            assert!(repeats_itself(&octets(bad)), "{bad:?}");
        }
    }

    #[test]
    fn a_value_that_comes_too_often_is_found() {
        let mut window = [0_u8; 512];
        (0..512).for_each(|n| window[n] = n as u8);
        assert!(!is_too_often_the_first(&window, 3), "each value is there twice");
        assert!(is_too_often_the_first(&window, 2));
        window.iter_mut().step_by(2).for_each(|sample| *sample = 9);
        assert!(is_too_often_the_first(&window, 256));
        assert!(!is_too_often_the_first(&window, 259));
        assert!(!is_too_often_the_first(&[], 1));
    }
}
