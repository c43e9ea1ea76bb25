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
    assert!(
        seed_of_platform(&mut seed),
        "no entropy: the processor has neither RDSEED nor RDRAND, and the machine has no virtio-rng"
    );
    ChaCha20Rng::from_seed(seed)
}

#[cfg(target_os = "xen")]
unsafe extern "Rust" {
    /// A guest's `Platform::entropy`: defined by whoever links this crate into an image. A function
    /// of its own, so that the drivers behind it are only in images that ask for random bytes.
    fn fata_seed(seed: &mut [u8; 32]) -> bool;
}

#[cfg(target_os = "xen")]
fn seed_of_platform(seed: &mut [u8; 32]) -> bool {
    // SAFETY: the linker found exactly one, and its signature is this crate's own.
    unsafe { fata_seed(seed) }
}

#[cfg(not(target_os = "xen"))]
fn seed_of_platform(seed: &mut [u8; 32]) -> bool {
    crate::task::platform().entropy(seed)
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
