//! CPUID, as whoever is below lets the guest have it.
//!
//! Of a PV guest the instruction itself may answer for the processor: Xen can trap it only where that has CPUID faulting. What the
//! domain may use Xen says to the instruction behind a prefix of its own (`XEN_EMULATE_PREFIX` in `xen/arch-x86/xen.h`), which
//! other guests cannot use: theirs is trapped by the virtual machine.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, CpuidResult};
use core::sync::atomic::{AtomicBool, Ordering};

static IS_FORCED: AtomicBool = AtomicBool::new(false);

/// From now on Xen is asked by its prefix: this is a PV guest.
pub(crate) fn force() {
    IS_FORCED.store(true, Ordering::Relaxed);
}

/// What the guest may use.
pub(crate) fn cpuid(leaf: u32, sub_leaf: u32) -> CpuidResult {
    if !IS_FORCED.load(Ordering::Relaxed) {
        return __cpuid_count(leaf, sub_leaf);
    }
    let (eax, ebx, ecx, edx);
    // SAFETY: Xen takes the invalid instruction and the letters behind it for its own form of the one that follows; rbx is the
    // compiler's.
    unsafe {
        asm!("mov {kept}, rbx", "ud2", ".ascii \"xen\"", "cpuid", "xchg {kept}, rbx", kept = out(reg) ebx,
            inout("eax") leaf => eax, inout("ecx") sub_leaf => ecx, out("edx") edx, options(nostack));
    }
    let ebx: u64 = ebx;
    CpuidResult { eax, ebx: ebx as u32, ecx, edx }
}
