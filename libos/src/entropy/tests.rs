//! The generator over a fake platform, against a ChaCha20 of the tests' own.

mod failing;

use super::chacha::Stream;
use super::generator::{Below, Generator, RESEED_AFTER, RESEED_AFTER_BY_CLOCK, RESEED_OCTETS, RETRY_AFTER};
use super::known::{ANSWER, Known};
use super::pool::{Health, Pool, Source, Sources};
use super::{EntropyError, try_fill};
use crate::time::{Duration, Instant};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::cell::{Cell, RefCell};

/// RFC 8439, 2.3, written by its text: a block of key, counter and nonce.
fn block_of_rfc(key: &[u8; 32], counter: u32, nonce: [u8; 12]) -> [u8; 64] {
    fn quarter(s: &mut [u32; 16], [a, b, c, d]: [usize; 4]) {
        for (x, y, z, turn) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
            s[x] = s[x].wrapping_add(s[y]);
            s[z] = (s[z] ^ s[x]).rotate_left(turn);
        }
    }
    let words = |octets: &[u8]| -> Vec<u32> {
        octets.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
    };
    let start = [words(b"expand 32-byte k"), words(key), vec![counter], words(&nonce)].concat();
    let start: [u32; 16] = start.try_into().unwrap();
    let mut state = start;
    for _ in 0..10 {
        (0..4).for_each(|n| quarter(&mut state, [n, n + 4, n + 8, n + 12]));
        (0..4).for_each(|n| quarter(&mut state, [n, 4 + (n + 1) % 4, 8 + (n + 2) % 4, 12 + (n + 3) % 4]));
    }
    let sums = state.iter().zip(start).flat_map(|(word, first)| word.wrapping_add(first).to_le_bytes());
    sums.collect::<Vec<_>>().try_into().unwrap()
}

/// Octets of the stream with a nonce of 64 bits.
fn stream_of_rfc(key: &[u8; 32], nonce: u64, len: usize) -> Vec<u8> {
    let mut whole = [0; 12];
    whole[4..].copy_from_slice(&nonce.to_le_bytes());
    let blocks = (0..len.div_ceil(64) as u32).flat_map(|n| block_of_rfc(key, n, whole));
    blocks.take(len).collect()
}

/// The same of what is tested.
fn stream(key: &[u8; 32], nonce: u64, len: usize) -> Vec<u8> {
    let mut stream = Stream::new(key, nonce);
    (0..len.div_ceil(64)).flat_map(|_| *stream.next()).take(len).collect()
}

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// RFC 8439, 2.3.2 and A.1.
#[test]
fn the_vectors_of_the_rfc() {
    let key: [u8; 32] = std::array::from_fn(|n| n as u8);
    let nonce = octets("000000090000004a00000000").try_into().unwrap();
    let wanted = "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e
        d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e";
    assert_eq!(block_of_rfc(&key, 1, nonce).to_vec(), octets(wanted));

    let zero = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7
        da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586";
    let one = "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed
        29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f";
    assert_eq!(stream(&[0; 32], 0, 128), [octets(zero), octets(one)].concat());

    let mut key = [0; 32];
    key[31] = 1;
    let of_key = "4540f05a9f1fb296d7736e7b208e3c96eb4fe1834688d2604f450952ed432d41
        bbe2a0b6ea7566d2a5d1e7e20d42af2c53d792b1c43fea817e9ad275ae546963";
    let next = "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a
        8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0";
    assert_eq!(stream(&key, 0, 128), [octets(of_key), octets(next)].concat());

    let nonce = "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7
        8a970e0e955c14f3a88e741b97c286f75f8fc299e8148362fa198a39531bed6d";
    assert_eq!(stream(&[0; 32], 2 << 56, 64), octets(nonce));
}

#[test]
fn the_stream_is_that_of_the_rfc_and_of_a_crate() {
    for n in 0..20_u64 {
        let key = std::array::from_fn(|at| (n as u8).wrapping_mul(at as u8 ^ 0x5a));
        let nonce = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let own = stream(&key, nonce, 1000);
        assert_eq!(own, stream_of_rfc(&key, nonce, 1000), "{n}");
        let mut of_crate = vec![0; 1000];
        let mut generator = ChaCha20Rng::from_seed(key);
        generator.set_stream(nonce);
        generator.fill_bytes(&mut of_crate);
        assert_eq!(own, of_crate, "{n}");
    }
}

/// The pool, by the module's text.
struct OwnPool([u8; 32], u64);

impl OwnPool {
    fn absorb(&mut self, source: Source, octets: &[u8]) {
        for block in octets.chunks(32) {
            self.1 += 1;
            let mut key = [0; 32];
            key[..block.len()].copy_from_slice(block);
            let nonce = self.1 * 65536 + source as u64 * 256 + block.len() as u64;
            let added = stream_of_rfc(&key, nonce, 32);
            (0..32).for_each(|n| self.0[n] ^= added[n]);
        }
    }
}

fn new_pool(key: &[u8; 32]) -> Pool<'static> {
    Pool::new(key, Sources::NONE, Box::leak(Box::new(Health::NEW)))
}

fn finished(pool: Pool<'_>) -> Result<([u8; 32], Sources), EntropyError> {
    let mut key = [0; 32];
    pool.finish(&mut key).map(|sources| (key, sources))
}

#[test]
fn mixing_is_as_it_is_described() {
    let long: Vec<_> = (0..100).map(|n| n as u8).collect();
    let mut pool = new_pool(&[3; 32]);
    let mut own = OwnPool([3; 32], 0);
    let mut seen = vec![own.0];
    for (source, octets) in [
        (Source::Boot, &long[..]),
        (Source::Rdseed, &long[..32]),
        (Source::Virtio, &[]),
        (Source::Boot, &[0]),
    ] {
        pool.absorb(source, octets, 32);
        own.absorb(source, octets);
        seen.push(own.0);
    }
    assert_eq!(finished(pool).map(|(key, _)| key), Ok(own.0));
    seen.dedup();
    assert_eq!(seen.len(), 4, "nothing is mixed in of no octets, and something of any");
}

/// What is mixed in twice does not cancel itself, an order of blocks is not another's, nor a source another.
#[test]
fn no_two_histories_have_one_pool() {
    let histories: [&[(Source, &[u8])]; 8] = [
        &[],
        &[(Source::Boot, &[1]), (Source::Boot, &[1])],
        &[(Source::Boot, &[1]), (Source::Boot, &[2])],
        &[(Source::Boot, &[2]), (Source::Boot, &[1])],
        &[(Source::Boot, &[1]), (Source::Jitter, &[2])],
        &[(Source::Boot, &[1, 0]), (Source::Boot, &[2])],
        &[(Source::Boot, &[1])],
        &[(Source::Boot, &[1; 64])],
    ];
    let keys = histories.map(|history| {
        let mut pool = new_pool(&[0; 32]);
        history.iter().for_each(|(source, octets)| pool.absorb(*source, octets, 128));
        pool.absorb(Source::Kernel, &[], 128);
        finished(pool).unwrap().0
    });
    for (n, key) in keys.iter().enumerate() {
        assert!(!keys[..n].contains(key), "history {n}");
    }
}

/// A platform whose source and clocks are a test's.
#[derive(Default)]
struct Fake {
    now: Cell<u64>,
    generation: Cell<u64>,
    fresh: Cell<u64>,
    /// Octets of its source, and their credit: none where the source fails.
    source: Cell<Option<(u8, u32)>>,
    /// It is the machine's, not the processor's.
    is_virtio: Cell<bool>,
    /// What a device beside it gives.
    device: Cell<Option<[u8; 32]>>,
    gathered: Cell<u32>,
    wanted: RefCell<Vec<bool>>,
}

impl Fake {
    fn new() -> Self {
        let fake = Self::default();
        fake.source.set(Some((1, 256)));
        fake
    }
}

impl Below for Fake {
    fn gather(&self, pool: &mut Pool<'_>) {
        self.gathered.set(self.gathered.get() + 1);
        pool.absorb(Source::Boot, &[9; 40], 0);
        if let Some((octet, credit)) = self.source.get() {
            let source = if self.is_virtio.get() { Source::Virtio } else { Source::Rdrand };
            pool.absorb(source, &[octet; 32], credit);
        }
        if let Some(mut seed) = self.device.get() {
            pool.absorb_seed(Source::Virtio, &mut seed, 256);
        }
        self.wanted.borrow_mut().push(pool.wants_more());
    }
    fn generation(&self) -> u64 {
        self.generation.get()
    }
    fn fresh(&self) -> u64 {
        self.fresh.get()
    }
    fn now(&self) -> Instant {
        Instant::from_nanos(self.now.get())
    }
}

fn ask(generator: &mut Generator, fake: &Fake, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    generator.fill(fake, &mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_given_out_is_the_stream_behind_the_next_key() {
    let fake = Fake::new();
    let mut own = OwnPool([0; 32], 0);
    own.absorb(Source::Boot, &[9; 40]);
    own.absorb(Source::Rdrand, &[1; 32]);
    let mut generator = Generator::new();
    for len in [32, 1, 0, 1000, 64] {
        fake.fresh.set(len as u64 * 77);
        let wanted = stream_of_rfc(&own.0, (len as u64 * 77) | (1 << 63), 32 + len);
        assert_eq!(ask(&mut generator, &fake, len), wanted[32..], "{len} octets");
        own.0.copy_from_slice(&wanted[..32]);
    }
    assert_eq!(fake.gathered.get(), 1);
}

/// The answer that guests are asked for is also that of the tests' own ChaCha20.
#[test]
fn the_known_answer_is_given() {
    let mut own = OwnPool([0; 32], 0);
    own.absorb(Source::Boot, &Known::BOOT);
    own.absorb(Source::Rdrand, &Known::WORDS);
    let nonce = Known::FRESH | 1 << 63;
    let next = stream_of_rfc(&own.0, nonce, 32);
    own.0.copy_from_slice(&next);
    assert_eq!(stream_of_rfc(&own.0, nonce, 32 + ANSWER.len())[32..], ANSWER);
    assert!(super::gives_known_answer());
}

#[test]
fn nothing_is_given_out_before_it_is_seeded() {
    let fake = Fake::default();
    let mut generator = Generator::new();
    let mut bytes = [0xee; 16];
    assert_eq!(generator.fill(&fake, &mut bytes), Err(EntropyError::Missing));
    // What is there, but not enough of it.
    fake.source.set(Some((1, 127)));
    assert_eq!(generator.fill(&fake, &mut bytes), Err(EntropyError::Missing));
    assert_eq!(generator.sources(), Sources::NONE);
    assert_eq!(bytes, [0xee; 16], "they were touched");
    // It asks again, as long as it has none.
    fake.source.set(Some((1, 128)));
    generator.fill(&fake, &mut bytes).unwrap();
    assert!(bytes != [0xee; 16] && generator.sources().contains(Source::Rdrand));
    assert!(generator.sources().contains(Source::Boot) && !generator.sources().contains(Source::Virtio));
    assert_eq!(fake.gathered.get(), 3);
    // For the first seed all sources are wanted.
    assert_eq!(*fake.wanted.borrow(), [true, true, true]);
}

#[test]
fn errors_say_what_is_missing() {
    assert_eq!(
        EntropyError::Missing.to_string(),
        "no entropy: the processor has neither RDSEED nor RDRAND, and the machine has no virtio-rng"
    );
    assert!(EntropyError::Failed.to_string().contains("repeat themselves"));
}

#[test]
fn it_is_seeded_again_after_so_many_octets_and_so_long() {
    let fake = Fake::new();
    let mut generator = Generator::new();
    let mut octets_before = || {
        let gathered = fake.gathered.get();
        ask(&mut generator, &fake, 1 << 10);
        fake.gathered.get() - gathered
    };
    let reseeds: u32 = (0..1 + 2 * (RESEED_OCTETS >> 10)).map(|_| octets_before()).sum();
    assert_eq!(reseeds, 3, "at its first octet, and after each MiB");
    let nearly = RESEED_AFTER - Duration::from_nanos(1);
    fake.now.set(nearly.as_nanos() as u64);
    assert_eq!(octets_before(), 0);
    fake.now.set(RESEED_AFTER.as_nanos() as u64);
    assert_eq!(octets_before(), 1);
    assert_eq!(octets_before(), 0);
    // From then on sources that take long are asked only where there is nothing else.
    assert_eq!(*fake.wanted.borrow(), [true, false, false, false]);
    fake.source.set(None);
    fake.now.set(3 * RESEED_AFTER.as_nanos() as u64);
    assert_eq!(octets_before(), 1, "a key that nobody knows is good without sources");
    assert_eq!(fake.wanted.borrow().last(), Some(&true));
    assert!(generator.sources().contains(Source::Rdrand), "it is of that one still");
}

/// Where what is fresh is a clock.
#[test]
fn it_is_seeded_again_each_second_without_the_processors_generator() {
    let fake = Fake::new();
    fake.is_virtio.set(true);
    let mut generator = Generator::new();
    let mut seeds_at = |at: Duration| {
        fake.now.set(at.as_nanos() as u64);
        ask(&mut generator, &fake, 1);
        generator.seeds()
    };
    let nearly = RESEED_AFTER_BY_CLOCK - Duration::from_nanos(1);
    assert_eq!([Duration::ZERO, nearly, RESEED_AFTER_BY_CLOCK].map(&mut seeds_at), [1, 1, 2]);
    // With both, as with the processor's.
    fake.is_virtio.set(false);
    assert_eq!([2, 3, 4, 601].map(|n| seeds_at(n * RESEED_AFTER_BY_CLOCK)), [3, 3, 3, 3]);
    assert_eq!(seeds_at(RESEED_AFTER + 2 * RESEED_AFTER_BY_CLOCK), 4);
}

#[test]
fn a_reseed_keeps_what_was_there_and_adds_what_is_new() {
    let after_reseed = |first: u8, second: u8| {
        let fake = Fake::new();
        fake.source.set(Some((first, 256)));
        let mut generator = Generator::new();
        ask(&mut generator, &fake, 8);
        fake.source.set(Some((second, 256)));
        fake.now.set(RESEED_AFTER.as_nanos() as u64);
        ask(&mut generator, &fake, 32)
    };
    let all = [after_reseed(1, 1), after_reseed(1, 2), after_reseed(2, 1), after_reseed(2, 2)];
    assert!((0..4).all(|n| !all[..n].contains(&all[n])), "{all:?}");
}

#[test]
fn copies_of_a_guest_go_apart_or_give_nothing() {
    let fake = Fake::new();
    let copies = [1, 2].map(|n| {
        let mut generator = Generator::new();
        fake.generation.set(0);
        fake.source.set(Some((7, 256)));
        let before = ask(&mut generator, &fake, 32);
        assert_eq!(generator.seeds(), 1);
        // Restored.
        fake.generation.set(n);
        fake.source.set(None);
        assert_eq!(generator.fill(&fake, &mut [0; 32]), Err(EntropyError::Missing), "it has a twin");
        assert_eq!(generator.fill(&fake, &mut [0; 32]), Err(EntropyError::Missing), "it has a twin still");
        fake.source.set(Some((n as u8, 256)));
        let after = ask(&mut generator, &fake, 32);
        assert_eq!(generator.seeds(), 2, "what failed is no seed");
        (before, after)
    });
    assert_eq!(copies[0].0, copies[1].0);
    assert_ne!(copies[0].1, copies[1].1);
}

/// Of one snapshot, which nobody has told that they are two, and that no seed is due for.
#[test]
fn copies_of_a_guest_go_apart_by_what_is_fresh() {
    let fake = Fake::new();
    let copies = [1, 2].map(|n| {
        let mut generator = Generator::new();
        fake.fresh.set(0);
        let before = ask(&mut generator, &fake, 32);
        fake.fresh.set(n);
        let first = ask(&mut generator, &fake, 32);
        // What made them differ is in the key from then on.
        fake.fresh.set(0);
        (before, first, ask(&mut generator, &fake, 32))
    });
    assert_eq!(copies[0].0, copies[1].0);
    assert_ne!(copies[0].1, copies[1].1);
    assert_ne!(copies[0].2, copies[1].2);
}

/// The state at a moment, and all that is asked of it later, say nothing of what was given out before: the key is replaced first.
#[test]
fn what_was_given_out_is_not_in_the_state() {
    let fake = Fake::new();
    let mut generator = Generator::new();
    let given = ask(&mut generator, &fake, 64);
    let state = generator.key();
    assert!(!given.windows(32).any(|window| window == state), "the next key was given out");
    // Whoever has the state knows what comes; what came he does not get by any stream of it.
    assert_ne!(stream_of_rfc(&state, 1 << 63, 96)[32..], given);
    assert_eq!(stream_of_rfc(&state, 1 << 63, 96)[32..], ask(&mut generator, &fake, 64));
    assert_ne!(state, generator.key());
}

#[test]
fn a_program_has_random_octets() {
    crate::testing::run(async {
        let (mut first, mut second) = ([0; 32], [0; 32]);
        try_fill(&mut first).unwrap();
        try_fill(&mut second).unwrap();
        assert_ne!(first, second);
        assert!(super::sources().contains(Source::Kernel));
        assert_ne!(super::u32(), super::u32());
        assert_ne!(super::u64(), super::u64());
    });
}
