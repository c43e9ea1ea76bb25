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
use super::health::repeats_itself;
use super::jitter;
use zeroize::Zeroize;

/// What is needed before an octet is given out, bits: the strength that RDRAND claims, and that TLS asks for.
pub const NEEDED_BITS: u32 = 128;

/// Words that are asked of a processor's generator.
const WORDS: usize = 8;
/// Tries for each word: others of the host may have drained what all its processors share.
const TRIES: u32 = 100;
/// Digests of seeds are of streams with this nonce, which none of the pool's has.
const OF_DIGESTS: u64 = 0;

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

/// What is known of the sources from one pool to the next.
pub(super) struct Health {
    /// A digest of what each gave last.
    last: [u64; 1 + Source::Jitter as usize],
    /// Those that have failed.
    broken: Sources,
    /// How often one did.
    pub(super) failures: u32,
}

impl Health {
    /// Nothing.
    pub(super) const NEW: Self =
        Self { last: [0; 1 + Source::Jitter as usize], broken: Sources::NONE, failures: 0 };
}

/// See the module.
pub struct Pool<'a> {
    mixed: [u8; KEY],
    /// Those that its first key is of.
    before: Sources,
    blocks: u64,
    credit_bits: u32,
    sources: Sources,
    health: &'a mut Health,
}

impl<'a> Pool<'a> {
    /// A pool that begins with a generator's key, which nobody can guess if it is of any sources.
    pub(super) fn new(key: &[u8; KEY], before: Sources, health: &'a mut Health) -> Self {
        Self { mixed: *key, before, blocks: 0, credit_bits: 0, sources: Sources::NONE, health }
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

    /// Mixes in words of a processor's generator, which may have none for the moment; otherwise as [`absorb_seed`](Self::absorb_seed).
    #[inline(never)]
    pub fn absorb_words(&mut self, source: Source, credit_bits: u32, word: fn() -> Option<u64>) {
        let mut octets = [0; 8 * WORDS];
        for place in octets.as_chunks_mut().0 {
            // None for long is zero, which is no word.
            *place = (0..TRIES).find_map(|_| word()).unwrap_or_default().to_le_bytes();
        }
        self.absorb_seed(source, &mut octets, credit_bits);
    }

    /// Mixes in `octets` of a generator, at least 32, and zeroes them. Where a word of 64 bits among them is the one before it, or zero, or where they begin as
    /// those did that came before, they are not counted: so are processors whose RDRAND gives all ones after a suspend, and devices over a file.
    pub fn absorb_seed(&mut self, source: Source, octets: &mut [u8], credit_bits: u32) {
        let mut digest = 0;
        if let Some(key) = octets.first_chunk()
            && let Some(first) = Stream::new(key, OF_DIGESTS).next().first_chunk()
        {
            digest = u64::from_le_bytes(*first);
        }
        let last = &mut self.health.last[source as usize];
        // What a silent one has for octets is not what it gave last.
        if *last == digest || repeats_itself(octets) {
            self.fail(source);
        } else {
            *last = digest;
            self.absorb(source, octets, credit_bits);
        }
        octets.zeroize();
    }

    /// Counts it, and says it once.
    fn fail(&mut self, source: Source) {
        let Health { broken, failures, .. } = &mut *self.health;
        *failures = failures.wrapping_add(1);
        if !broken.contains(source) {
            broken.0 |= 1 << source as u8;
            let name = match source {
                Source::Rdseed => "RDSEED",
                Source::Rdrand => "RDRAND",
                _ => "virtio-rng",
            };
            log::warn!("{name} fails: not counted");
        }
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
        self.before == Sources::NONE || !self.is_seed()
    }

    /// Whether an attacker cannot guess what was mixed in.
    pub(super) fn is_seed(&self) -> bool {
        self.credit_bits >= NEEDED_BITS
    }

    /// Makes what was mixed the key, if an attacker cannot guess it, and says what it is of.
    pub(super) fn finish(self, key: &mut [u8; KEY]) -> Result<Sources, EntropyError> {
        // A first key that nobody can guess is as good as before, however long the sources fail.
        match self.is_seed() || self.before != Sources::NONE {
            true => {
                key.copy_from_slice(&self.mixed);
                Ok(Sources(self.before.0 | self.sources.0))
            }
            false if self.health.broken != Sources::NONE => Err(EntropyError::Failed),
            false => Err(EntropyError::Missing),
        }
    }
}

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        self.mixed.zeroize();
    }
}
