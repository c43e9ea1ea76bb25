//! The processor's vector registers of 256 bits: libraries use them, and carry-less multiplication with them, where CPUID says
//! that the system has taken them into use.
//!
//! Nothing ever saves them here, nor needs to: there is one thread (`docs/decisions/0002`), so that no other is switched
//! to; upcalls stay masked, so that Xen's events enter nowhere; the two interrupts of a machine without Xen use `rax` alone
//! (`machine::apic`); exceptions are reported and not returned from. Between guests the hypervisor saves them.

use core::arch::asm;

/// Of CPUID leaf 1, `ecx`: XSAVE and AVX.
const NEEDED: u32 = 1 << 26 | 1 << 28;

/// Takes them into use on a processor of which leaf 1 has these `features`: CR4.OSXSAVE, and the x87, SSE and AVX bits of
/// XCR0. Xen emulates both instructions for PV.
#[inline(never)]
pub(crate) fn enable(features: u32) {
    if features & NEEDED != NEEDED {
        return;
    }
    // SAFETY: the processor has both; where it has AVX it has all three bits. What they change is what AVX instructions do.
    unsafe {
        asm!("mov {cr4}, cr4", "bts {cr4:e}, 18", "mov cr4, {cr4}", "xsetbv", cr4 = out(reg) _,
            in("ecx") 0, in("eax") 7, in("edx") 0, options(nostack));
    }
}
