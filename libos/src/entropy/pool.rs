//! The pool: octets of several sources mixed into one key, and the count of how much of it nobody else can guess.
//!
//! Mixing is by ChaCha20 itself: each block `b` of at most 32 octets is a key, under which the first 32 octets of the stream
//! are added (XOR) to the pool's. The nonce of block number `n` is `n`, its source and its length, so that equal blocks do not
//! cancel each other; its highest bit is never set, and that of the generator's own streams always is. Why that is sound:
//!
//! - A block that an attacker knows adds what he knows: the pool stays as hard to guess as it was.
//! - A block that he cannot guess adds a stream that he cannot tell from random octets, as ChaCha20 is a pseudorandom function of its
//!   key: what was in the pool before does not matter. Blocks that are hard to guess together are enough, where none is
//!   alone, if ChaCha20's core is taken for a random function, which is what is assumed of a hash too.
//! - A source that sees the pool and chooses its blocks to set it must find keys whose streams add up to a given one. With one block,
//!   as of virtio-rng, that is 2^256 trials; with two, as of a processor's generator, 2^128, by two lists that meet; with many,
//!   2^(256 / (1 + log2 k)) for k blocks (Wagner's generalized birthday), about 2^64 for eight. Many blocks are what the boot told and jitter:
//!   both are the host's, who sees all memory anyway and has no need to set it. The processor's words come before them, so that they cannot
//!   have been chosen by those. Where blocks were added themselves, or were keys of a cipher over the pool, one trial would do.
//!
//! What is assumed of ChaCha20 is what its use as a cipher assumes, but for the second point's last sentence and the third, which take its
//! core for a random function.
//!
//! The pool is never given out: the generator takes it as a key, and the pool is zeroed ([`super::generator`]). A hash would do as
//! well, and be some 2 kB more in each image that has a network.

use super::EntropyError;
use super::chacha::{KEY, Stream};
use super::health::Repetition;
use super::jitter;
use zeroize::Zeroize;

/// What is needed before an octet is given out, bits: the strength that RDRAND claims, and that TLS asks for.
pub const NEEDED_BITS: u32 = 128;

/// Words that are asked of a processor's generator.
const WORDS: usize = 8;
/// Tries for each word: others of the host may have drained what all its processors share.
const TRIES: u32 = 100;
/// SP 800-90B, 4.4.1: `1 + ceil(20 / H)` in a row for one false alarm in 2^20 samples; for words of at least 20 bits two.
const WORDS_IN_A_ROW: u32 = 2;

/// Where octets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// The processor's noise, conditioned: RDSEED.
    Rdseed,
    /// The processor's generator: RDRAND.
    Rdrand,
    /// The machine's virtio-rng.
    Virtio,
    /// The kernel's generator, below a process.
    Kernel,
    /// What the hypervisor or the machine told at the boot, and its clocks: different in each guest, and no secret.
    Boot,
    /// How long the same work takes: different each time, and no secret from whoever has the machine.
    Jitter,
}

/// A set of [`Source`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources(u8);

impl Sources {
    /// None.
    pub(super) const NONE: Self = Self(0);

    /// Whether one is in it.
    pub const fn contains(self, source: Source) -> bool {
        self.0 & 1 << source as u8 != 0
    }
}

/// See the module.
pub struct Pool {
    mixed: [u8; KEY],
    /// Those that its first key is of.
    before: Sources,
    blocks: u64,
    credit_bits: u32,
    sources: Sources,
    is_broken: bool,
}

impl Pool {
    /// A pool that begins with a generator's key, which nobody can guess if it is of any sources.
    pub(super) fn new(key: &[u8; KEY], before: Sources) -> Self {
        Self { mixed: *key, before, blocks: 0, credit_bits: 0, sources: Sources::NONE, is_broken: false }
    }

    /// Mixes in `octets` of a source, of which an attacker cannot guess `credit_bits`.
    pub fn absorb(&mut self, source: Source, octets: &[u8], credit_bits: u32) {
        for block in octets.chunks(KEY) {
            self.absorb_block(source, block);
        }
        self.credit_bits += credit_bits;
        self.sources.0 |= 1 << source as u8;
    }

    fn absorb_block(&mut self, source: Source, block: &[u8]) {
        self.blocks += 1;
        let nonce = self.blocks << 16 | (source as u64) << 8 | block.len() as u64;
        let mut key = [0; KEY];
        key[..block.len()].copy_from_slice(block);
        let mut stream = Stream::new(&key, nonce);
        self.mixed.iter_mut().zip(stream.next()).for_each(|(octet, added)| *octet ^= added);
        key.zeroize();
    }

    /// Mixes in words of a processor's generator, which may have none for the moment. Where it has none for long, or repeats
    /// itself (as processors do whose RDRAND gives all ones after a suspend), it is not counted.
    #[inline(never)]
    pub fn absorb_words(&mut self, source: Source, credit_bits: u32, word: fn() -> Option<u64>) {
        let mut octets = [0; 8 * WORDS];
        let mut repetition = Repetition::new(WORDS_IN_A_ROW);
        for place in octets.chunks_exact_mut(8) {
            match (0..TRIES).find_map(|_| word()) {
                Some(word) if !repetition.is_reached_by(word) => place.copy_from_slice(&word.to_le_bytes()),
                _ => {
                    self.is_broken = true;
                    octets.zeroize();
                    return;
                }
            }
        }
        self.absorb(source, &octets, credit_bits);
        octets.zeroize();
    }

    /// Mixes in how long the same work takes, by a counter that goes as fast as the processor. It counts for nothing: who
    /// shares the machine, or emulates it, may know.
    pub fn absorb_jitter(&mut self, counter: impl FnMut() -> u64) {
        if let Some(samples) = jitter::collect(counter) {
            self.absorb(Source::Jitter, &samples, 0);
        }
    }

    /// Whether sources are wanted that take long: for the first seed all are, later those without which there is nothing new.
    pub fn wants_more(&self) -> bool {
        self.before == Sources::NONE || self.credit_bits < NEEDED_BITS
    }

    /// Makes what was mixed the key, if an attacker cannot guess it, and says what it is of.
    pub(super) fn finish(self, key: &mut [u8; KEY]) -> Result<Sources, EntropyError> {
        // With a first key that nobody can guess the sources may fail for once.
        match self.credit_bits >= NEEDED_BITS || self.before != Sources::NONE {
            true => {
                key.copy_from_slice(&self.mixed);
                Ok(Sources(self.before.0 | self.sources.0))
            }
            false if self.is_broken => Err(EntropyError::Failed),
            false => Err(EntropyError::Missing),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.mixed.zeroize();
    }
}
