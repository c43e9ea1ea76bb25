//! Random octets: one ChaCha20 generator, seeded by several sources before its first octet, and again when that is due.
//!
//! [`fill`] and [`try_fill`] are what appliances call. The platform below feeds a [`Pool`], source by source ([`Source`]), and
//! says how many bits of each an attacker cannot guess; below [`NEEDED_BITS`] nothing is given out. `generator` says when it
//! is seeded again, and why old octets cannot be computed from its state; `pool` why mixing is sound; `health` looks at what
//! processors, devices and clocks give: whether it stands still, not whether it is noise.

mod chacha;
mod generator;
mod health;
mod jitter;
mod known;
mod pool;
#[cfg(test)]
mod tests;

use crate::local::local;
use crate::time::Instant;
use core::cell::RefCell;
use generator::{Below, Generator};
pub use known::gives_known_answer;
pub use pool::{NEEDED_BITS, Pool, Source, Sources};
use thiserror::Error;
#[cfg(not(target_os = "xen"))]
use zeroize::Zeroize;

local! {
    static GENERATOR: RefCell<Generator> = RefCell::new(Generator::new());
}

/// Why there are no random octets.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum EntropyError {
    /// There is no source that an attacker cannot guess.
    #[error("{}", self.text())]
    Missing,
    /// What sources there are give nothing, or the same again and again.
    #[error("{}", self.text())]
    Failed,
}

impl EntropyError {
    const fn text(self) -> &'static str {
        match self {
            Self::Missing => {
                "no entropy: the processor has neither RDSEED nor RDRAND, and the machine has no virtio-rng"
            }
            Self::Failed => "no entropy: its sources give nothing or repeat themselves",
        }
    }
}

/// Fills `bytes` with random octets fit for keys, or says why it cannot: no octet is given out unseeded.
pub fn try_fill(bytes: &mut [u8]) -> Result<(), EntropyError> {
    GENERATOR.with(|generator| generator.borrow_mut().fill(&Platform, bytes))
}

/// [`try_fill`] for those who cannot do without.
///
/// # Panics
/// If the platform has no source that an attacker cannot guess.
pub fn fill(bytes: &mut [u8]) {
    if let Err(error) = try_fill(bytes) {
        panic!("{}", error.text())
    }
}

/// The sources that the generator's key is of: none before its first octet.
pub fn sources() -> Sources {
    GENERATOR.with(|generator| generator.borrow().sources())
}

/// How often the generator's key was made of sources: at its first octet, and each time that was due again.
pub fn seeds() -> u32 {
    GENERATOR.with(|generator| generator.borrow().seeds())
}

/// How often a source gave nothing or repeated itself. It counted for nothing then, and each that did so for the first time is in the log.
pub fn failures() -> u32 {
    GENERATOR.with(|generator| generator.borrow().failures())
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

/// The platform of this program.
struct Platform;

#[cfg(target_os = "xen")]
unsafe extern "Rust" {
    /// A guest's sources: defined by whoever links this crate into an image. A function of its own, so that the drivers
    /// behind it are only in images that ask for random octets.
    fn fata_seed(pool: &mut Pool<'_>);

    /// See `Platform::generation`.
    fn fata_generation() -> u64;

    /// See `Platform::fresh`.
    fn fata_fresh() -> u64;
}

#[cfg(target_os = "xen")]
impl Below for Platform {
    fn gather(&self, pool: &mut Pool<'_>) {
        // SAFETY: the linker found exactly one, and its signature is this crate's own.
        unsafe { fata_seed(pool) }
    }

    fn generation(&self) -> u64 {
        // SAFETY: as above.
        unsafe { fata_generation() }
    }

    fn fresh(&self) -> u64 {
        // SAFETY: as above.
        unsafe { fata_fresh() }
    }

    fn now(&self) -> Instant {
        crate::task::recent()
    }
}

#[cfg(not(target_os = "xen"))]
impl Below for Platform {
    fn gather(&self, pool: &mut Pool<'_>) {
        let mut seed = [0; 32];
        if crate::task::platform().entropy(&mut seed) {
            pool.absorb(Source::Kernel, &seed, 256);
        }
        seed.zeroize();
    }

    fn generation(&self) -> u64 {
        crate::task::platform().generation()
    }

    fn fresh(&self) -> u64 {
        crate::task::platform().fresh()
    }

    fn now(&self) -> Instant {
        crate::task::recent()
    }
}
