//! Seeds: RDSEED, where that has nothing to give RDRAND, mixed with the counter. A processor with neither gives no seed.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count, _rdtsc};

/// Tries for each word: RDSEED may be busy for a while.
const TRIES: u32 = 100;

/// Fills `seed`; false where the processor has no random number generator, or it failed.
pub fn seed(seed: &mut [u8; 32]) -> bool {
    let (has_rdseed, has_rdrand) = (has_rdseed(), has_rdrand());
    // What all processors of the host share may be drained by others for long.
    let word = || has_rdseed.then(|| (0..TRIES).find_map(|_| rdseed())).flatten();
    let word = || word().or_else(|| has_rdrand.then(|| (0..TRIES).find_map(|_| rdrand())).flatten());
    for chunk in seed.chunks_exact_mut(8) {
        let Some(word) = word() else { return false };
        // SAFETY: reads the counter.
        let mixed = word ^ unsafe { _rdtsc() }.rotate_left(32);
        chunk.copy_from_slice(&mixed.to_le_bytes());
    }
    true
}

fn has_rdrand() -> bool {
    __cpuid(1).ecx & (1 << 30) != 0
}

fn has_rdseed() -> bool {
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & (1 << 18) != 0
}

macro_rules! random_instruction {
    ($name:ident, $instruction:literal) => {
        fn $name() -> Option<u64> {
            let (word, good): (u64, u8);
            // SAFETY: called only where the processor has the instruction.
            unsafe {
                asm!($instruction, "setc {good}", word = out(reg) word, good = out(reg_byte) good,
                    options(nomem, nostack));
            }
            (good == 1).then_some(word)
        }
    };
}

random_instruction!(rdseed, "rdseed {word}");
random_instruction!(rdrand, "rdrand {word}");
