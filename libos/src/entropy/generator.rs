//! The generator: a key of ChaCha20, which each request replaces.
//!
//! A request takes the stream of the key: its first 32 octets are the next key, what follows is given out, and the key is
//! gone (Bernstein's fast key erasure). So the state at one moment says nothing about what was given out before, and there is no
//! buffer of octets that wait to be given out. A request of 32 octets costs one block.
//!
//! The nonce of each stream is what the platform has that is [fresh](Below::fresh): a word of the processor's generator, and its
//! counter. Of two copies of a guest that nobody has told apart, such as those of one snapshot, each has another stream from its
//! first request on, where the processor has such a generator; where it has none, they differ by the counter alone, until they are seeded
//! again, which is then done each second ([`RESEED_AFTER_BY_CLOCK`]). The nonce is no part of the key's strength, and may be the same twice: its key is not.
//!
//! It is seeded again when it is next asked after [`RESEED_OCTETS`] or [`RESEED_AFTER`], and when the [generation](Below::generation)
//! is another: then there may be a second guest with the same key, and what was counted before counts no more. Where its sources fail then, the key
//! is good still, but in another generation: they are asked again after [`RETRY_AFTER`], and nothing is counted as a seed.

use super::EntropyError;
use super::chacha::{BLOCK, KEY, Stream};
use super::pool::{Health, Pool, Source, Sources};
use crate::time::{Duration, Instant};

/// Octets given out after which it is seeded again.
pub(super) const RESEED_OCTETS: u64 = 1 << 20;
/// Time after which it is.
pub(super) const RESEED_AFTER: Duration = Duration::from_secs(600);
/// The same where what is fresh is a clock alone, on a machine whose host has a generator: two copies of a guest that nobody has told apart
/// shall not go on for long by one key.
pub(super) const RESEED_AFTER_BY_CLOCK: Duration = Duration::from_secs(1);

/// After what they are asked again that have failed.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// In the nonce of each of its streams, and in none of the pool's.
pub(super) const OURS: u64 = 1 << 63;

/// What the generator needs of what is below it.
pub(super) trait Below {
    /// Feeds the pool from each source.
    fn gather(&self, pool: &mut Pool<'_>);
    /// Another number when this program may be the copy of one that has used the same generator.
    fn generation(&self) -> u64;
    /// A number that a copy of this program has not, as far as that can be had at each request.
    fn fresh(&self) -> u64;
    /// A recent moment.
    fn now(&self) -> Instant;
}

/// See the module.
pub(super) struct Generator {
    key: [u8; KEY],
    /// Of which the key is: none before the first octet.
    sources: Sources,
    generation: u64,
    /// When it is seeded next.
    due_at: Instant,
    given_octets: u64,
    seeds: u32,
    health: Health,
}

impl Generator {
    pub(super) const fn new() -> Self {
        Self {
            key: [0; KEY],
            sources: Sources::NONE,
            generation: 0,
            due_at: Instant::from_nanos(0),
            given_octets: 0,
            seeds: 0,
            health: Health::NEW,
        }
    }

    pub(super) fn sources(&self) -> Sources {
        self.sources
    }

    /// How often its key was made of sources.
    pub(super) fn seeds(&self) -> u32 {
        self.seeds
    }

    /// How often a source failed.
    pub(super) fn failures(&self) -> u32 {
        self.health.failures
    }

    #[cfg(test)]
    pub(super) fn key(&self) -> [u8; KEY] {
        self.key
    }

    fn reseed_after(&self) -> Duration {
        let is_by_clock = self.sources.contains(Source::Virtio) && !self.sources.contains(Source::Rdrand);
        if is_by_clock { RESEED_AFTER_BY_CLOCK } else { RESEED_AFTER }
    }

    pub(super) fn fill(&mut self, below: &impl Below, bytes: &mut [u8]) -> Result<(), EntropyError> {
        let (now, generation) = (below.now(), below.generation());
        if generation != self.generation {
            self.sources = Sources::NONE;
        }
        if self.sources == Sources::NONE || self.given_octets >= RESEED_OCTETS || now >= self.due_at {
            let mut pool = Pool::new(&self.key, self.sources, &mut self.health);
            below.gather(&mut pool);
            let is_seed = pool.is_seed();
            self.sources = pool.finish(&mut self.key)?;
            (self.generation, self.given_octets) = (generation, 0);
            self.seeds = self.seeds.wrapping_add(is_seed.into());
            self.due_at = now + if is_seed { self.reseed_after() } else { RETRY_AFTER };
        }
        self.given_octets = self.given_octets.saturating_add(bytes.len() as u64);
        let mut stream = Stream::new(&self.key, below.fresh() | OURS);
        let (mut block, mut at) = (stream.next(), KEY);
        self.key.copy_from_slice(&block[..KEY]);
        for octet in bytes {
            if at == BLOCK {
                (block, at) = (stream.next(), 0);
            }
            *octet = block[at];
            at += 1;
        }
        Ok(())
    }
}
