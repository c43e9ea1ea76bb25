//! What cryptography needs: random octets, and the processor's vector registers.
#![allow(unsafe_code, reason = "registers are looked at by instructions that Rust has no name for")]

use core::arch::asm;
use core::arch::x86_64::__cpuid;
use fata::entropy::{self, Source};
use fata::prelude::*;

/// 32 random octets, and the sources of them; or why there are none.
pub fn random(env: &Env) {
    let mut octets = [0; 32];
    match entropy::try_fill(&mut octets) {
        Ok(()) => {
            let [a, b, c, d] = octets.as_chunks().0 else { return };
            let [a, b, c, d] = [a, b, c, d].map(|part| u64::from_be_bytes(*part));
            println!(env, "random {a:016x}{b:016x}{c:016x}{d:016x}");
        }
        Err(error) => println!(env, "refused: {error}"),
    }
    for source in
        [Source::Rdseed, Source::Rdrand, Source::Virtio, Source::Kernel, Source::Boot, Source::Jitter]
    {
        if entropy::sources().contains(source) {
            println!(env, "source {source:?}");
        }
    }
}

/// The same for each line that is typed, and how often the generator has been seeded.
pub async fn randoms(env: &Env) {
    println!(env, "type");
    while env.read_line().await.is_some() {
        random(env);
        println!(env, "seeds {}", entropy::seeds());
    }
}

/// What CPUID says of vector registers; where they are in use, they keep their values while the guest sleeps.
pub async fn vectors(env: &Env) {
    let features = __cpuid(1).ecx;
    let has = |bit: u32| features >> bit & 1;
    let (avx, osxsave, aes, pclmulqdq) = (has(28), has(27), has(25), has(1));
    println!(env, "avx {avx} osxsave {osxsave} aes {aes} pclmulqdq {pclmulqdq}");
    if osxsave == 0 {
        return;
    }
    println!(env, "xcr0 {}", xcr0());
    if avx == 0 || xcr0() & 6 != 6 {
        return;
    }
    // Code of this target touches the lower halves only.
    for round in 1..=20 {
        set_upper_halves(round);
        sleep(Duration::from_millis(5)).await;
        let sum = sum_of_upper_halves();
        assert_eq!(sum, 4 * round + 6, "in round {round} the registers were not kept");
    }
    println!(env, "vectors kept");
}

fn xcr0() -> u32 {
    let xcr0;
    // SAFETY: called only where CPUID says OSXSAVE.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") xcr0, out("edx") _, options(nomem, nostack)) };
    xcr0
}

/// `value`, and one, two and three more, in each word of the upper halves of ymm0, ymm5, ymm10 and ymm15.
fn set_upper_halves(value: u32) {
    // SAFETY: called only where AVX is in use. The lower halves are said to be lost; nobody else has the upper ones.
    unsafe {
        asm!(
            "vmovd xmm0, {0:e}", "vpshufd xmm0, xmm0, 0", "vinsertf128 ymm0, ymm0, xmm0, 1",
            "inc {0:e}", "vmovd xmm5, {0:e}", "vpshufd xmm5, xmm5, 0", "vinsertf128 ymm5, ymm5, xmm5, 1",
            "inc {0:e}", "vmovd xmm10, {0:e}", "vpshufd xmm10, xmm10, 0", "vinsertf128 ymm10, ymm10, xmm10, 1",
            "inc {0:e}", "vmovd xmm15, {0:e}", "vpshufd xmm15, xmm15, 0", "vinsertf128 ymm15, ymm15, xmm15, 1",
            inout(reg) value => _, out("xmm0") _, out("xmm5") _, out("xmm10") _, out("xmm15") _,
            options(nomem, nostack)
        );
    }
}

/// The first words of those upper halves, together.
fn sum_of_upper_halves() -> u32 {
    let sum;
    // SAFETY: as above.
    unsafe {
        asm!(
            "vextractf128 xmm1, ymm0, 1", "vextractf128 xmm2, ymm5, 1", "vpaddd xmm1, xmm1, xmm2",
            "vextractf128 xmm2, ymm10, 1", "vpaddd xmm1, xmm1, xmm2",
            "vextractf128 xmm2, ymm15, 1", "vpaddd xmm1, xmm1, xmm2", "vmovd {0:e}, xmm1",
            out(reg) sum, out("xmm1") _, out("xmm2") _, options(nomem, nostack)
        );
    }
    sum
}
