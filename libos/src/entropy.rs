//! Random bytes: one ChaCha20 generator, seeded by the platform before its first byte.

use crate::local::local;
use core::cell::RefCell;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

local! {
    static GENERATOR: RefCell<Option<ChaCha20Rng>> = RefCell::new(None);
}

/// Fills `bytes` with random bytes fit for keys.
///
/// # Panics
/// If the platform has no source that an attacker cannot guess: no byte is given out unseeded.
pub fn fill(bytes: &mut [u8]) {
    GENERATOR.with(|g| {
        g.borrow_mut().get_or_insert_with(seeded).fill_bytes(bytes);
    });
}

fn seeded() -> ChaCha20Rng {
    let mut seed = [0; 32];
    let good = crate::task::platform().entropy(&mut seed);
    assert!(good, "no entropy: the processor has neither RDSEED nor RDRAND");
    ChaCha20Rng::from_seed(seed)
}

/// A random number.
pub fn u32() -> u32 {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    u32::from_le_bytes(bytes)
}

/// A random number.
pub fn u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
