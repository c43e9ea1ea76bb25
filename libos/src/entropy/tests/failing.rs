//! Sources that give nothing, or the same again and again.

use super::*;

/// Words of a generator that works; of one that gives none; of two that are stuck, one of them soon.
mod words {
    use std::cell::Cell;
    thread_local!(static ASKED: Cell<u64> = const { Cell::new(0) });

    fn asked() -> u64 {
        ASKED.with(|asked| asked.replace(asked.get() + 1))
    }
    pub(super) fn good() -> Option<u64> {
        let n = asked();
        // Now and then there is none.
        (!n.is_multiple_of(3)).then(|| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
    pub(super) fn none() -> Option<u64> {
        None
    }
    pub(super) fn all_ones() -> Option<u64> {
        Some(u64::MAX)
    }
    pub(super) fn twice_the_same() -> Option<u64> {
        Some(asked() / 2)
    }
}

#[test]
fn words_that_are_stuck_or_do_not_come_count_for_nothing() {
    let with = |word: fn() -> Option<u64>| {
        let mut pool = new_pool(&[0; 32]);
        pool.absorb_words(Source::Rdrand, 128, word);
        finished(pool).map(|(_, sources)| sources.contains(Source::Rdrand))
    };
    assert_eq!(with(words::good), Ok(true));
    for word in [words::none, words::all_ones, words::twice_the_same] {
        assert_eq!(with(word), Err(EntropyError::Failed));
    }
    // Beside one that works it does no harm.
    let mut pool = new_pool(&[0; 32]);
    pool.absorb_words(Source::Rdrand, 128, words::all_ones);
    pool.absorb_words(Source::Rdseed, 256, words::good);
    let (_, sources) = finished(pool).unwrap();
    assert!(sources.contains(Source::Rdseed) && !sources.contains(Source::Rdrand));
}

/// Another one for each `n`, as a device gives it that works.
fn good_seed(n: u64) -> [u8; 32] {
    let word = |at: u64| (4 * n + at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    [0, 1, 2, 3].map(word).as_flattened().try_into().unwrap()
}

#[test]
fn a_device_that_repeats_itself_counts_for_nothing() {
    let periodic = |period: usize| -> [u8; 32] { std::array::from_fn(|n| good_seed(9)[n % period]) };
    let mut health = Health::NEW;
    let mut failures = 0;
    for (name, seed, is_good) in [
        ("zeros", [0; 32], false),
        ("zeros again", [0; 32], false),
        ("one octet", [7; 32], false),
        ("a word", periodic(8), false),
        ("good", good_seed(1), true),
        ("the same", good_seed(1), false),
        ("the same once more", good_seed(1), false),
        ("silence", [0; 32], false),
        ("the same after it", good_seed(1), false),
        ("good again", good_seed(2), true),
        ("as before the last", good_seed(1), true),
    ] {
        let mut pool = Pool::new(&[0; 32], Sources::NONE, &mut health);
        let mut octets = seed;
        pool.absorb_seed(Source::Virtio, &mut octets, 256);
        assert_eq!(octets, [0; 32], "{name}: a part of a key is left");
        failures += u32::from(!is_good);
        assert_eq!(pool.is_seed(), is_good, "{name}");
        let finished = finished(pool).map(|(_, sources)| sources.contains(Source::Virtio));
        assert_eq!(finished, if is_good { Ok(true) } else { Err(EntropyError::Failed) }, "{name}");
        assert_eq!(health.failures, failures, "{name}");
    }
    // What one source gave last is nothing to the next one.
    let mut pool = Pool::new(&[0; 32], Sources::NONE, &mut health);
    pool.absorb_seed(Source::Rdseed, &mut good_seed(1), 256);
    assert!(pool.is_seed());
}

/// The key is good still, and nothing is a seed of what failed.
#[test]
fn sources_that_fail_later_are_asked_again_and_are_no_seed() {
    let fake = Fake::default();
    fake.device.set(Some(good_seed(1)));
    let mut generator = Generator::new();
    let mut at = |at: Duration| {
        fake.now.set(at.as_nanos() as u64);
        let before = fake.gathered.get();
        // Often: nothing is asked each time.
        (0..10).for_each(|_| drop(ask(&mut generator, &fake, 1)));
        (fake.gathered.get() - before, generator.seeds(), generator.failures())
    };
    let due = RESEED_AFTER_BY_CLOCK;
    let almost = Duration::from_nanos(1);
    assert_eq!(at(Duration::ZERO), (1, 1, 0));
    // Stuck for ever.
    assert_eq!(at(due), (1, 1, 1));
    assert_eq!(at(due + RETRY_AFTER - almost), (0, 1, 1));
    assert_eq!(at(due + RETRY_AFTER), (1, 1, 2));
    assert_eq!(at(due + 2 * RETRY_AFTER), (1, 1, 3));
    // It is good again, and asked when that is due.
    fake.device.set(Some(good_seed(2)));
    assert_eq!(at(due + 3 * RETRY_AFTER - almost), (0, 1, 3));
    assert_eq!(at(due + 3 * RETRY_AFTER), (1, 2, 3));
    fake.device.set(Some(good_seed(3)));
    assert_eq!(at(2 * due + 3 * RETRY_AFTER), (1, 3, 3));
    // Beside one that works it is counted, and the seed is one.
    fake.source.set(Some((1, 256)));
    assert_eq!(at(3 * due + 3 * RETRY_AFTER), (1, 4, 4));
    assert_eq!(at(3 * due + 4 * RETRY_AFTER), (0, 4, 4));
}

/// After so many octets, too, it is asked once.
#[test]
fn sources_that_are_gone_are_not_asked_for_each_octet() {
    let fake = Fake::new();
    let mut generator = Generator::new();
    ask(&mut generator, &fake, RESEED_OCTETS as usize);
    fake.source.set(None);
    (0..100).for_each(|_| drop(ask(&mut generator, &fake, 1)));
    assert_eq!((fake.gathered.get(), generator.seeds(), generator.failures()), (2, 1, 0));
}
