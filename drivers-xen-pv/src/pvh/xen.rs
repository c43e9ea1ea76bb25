//! Xen below a PVH guest: found by CPUID, called through a page that it fills, asked for the domain's parameters.

use super::paging;
use crate::abi::hvm::{
    CPUID_FIRST_LEAF, CPUID_SIGNATURE_EBX, CPUID_SIGNATURE_ECX, CPUID_SIGNATURE_EDX, HVMOP_GET_PARAM,
    XenHvmParam,
};
use crate::abi::memory::{AddToPhysmap, XENMEM_ADD_TO_PHYSMAP, XENMEM_CURRENT_RESERVATION};
use crate::guest::memory::PageOfAddresses;
use crate::guest::{crash, hypercall, image};
use crate::shared::SharedMemory;
use crate::types::{DomId, EvtchnPort, PAGE_SIZE};
use core::arch::asm;
use core::arch::x86_64::__cpuid;

/// The first of Xen's CPUID leaves; `None` where something else is below.
fn first_leaf() -> Option<u32> {
    // No hypervisor at all: the leaves are another's.
    if __cpuid(1).ecx >> 31 == 0 {
        return None;
    }
    let signature = [CPUID_SIGNATURE_EBX, CPUID_SIGNATURE_ECX, CPUID_SIGNATURE_EDX];
    (CPUID_FIRST_LEAF..CPUID_FIRST_LEAF + 0x1_0000).step_by(0x100).find(|&leaf| {
        let said = __cpuid(leaf);
        [said.ebx, said.ecx, said.edx] == signature
    })
}

/// Asks Xen for its hypercall page; false where no Xen is below.
pub(super) fn find() -> bool {
    let Some(leaf) = first_leaf() else { return false };
    let msr = __cpuid(leaf + 2).ebx;
    let page = (image::hypercall_page().start - image::VIRT_BASE) as u64;
    // SAFETY: Xen names the register, and writes its code to the page, which is kept for that.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") page as u32, in("edx") (page >> 32) as u32,
            options(nostack, preserves_flags));
    }
    true
}

/// Lets a page of Xen's appear at a frame of ours, whose memory is given up. An errno where it cannot.
///
/// # Safety
/// The frame is nobody's.
pub(super) unsafe fn add_to_physmap(space: u32, idx: u64, frame: u64) -> Result<(), i32> {
    let mut argument = AddToPhysmap { domid: DomId::SELF.0, size: 0, space, idx, gpfn: frame };
    // SAFETY: the hypervisor reads one `AddToPhysmap`; the frame is nobody's by the caller.
    let result = unsafe { hypercall::memory_op(XENMEM_ADD_TO_PHYSMAP as usize, (&raw mut argument).cast()) };
    if result < 0 { Err(-result as i32) } else { Ok(()) }
}

/// Pages that the builder has beside those of the memory map: rings, ACPI's tables and the like; a few, and some to spare.
pub(super) const SPECIAL_PAGES: usize = 32;

/// Pages that the domain has.
pub(super) fn pages_there() -> usize {
    let mut domain = DomId::SELF.0;
    // SAFETY: the hypervisor reads a domain's number.
    let pages =
        unsafe { hypercall::memory_op(XENMEM_CURRENT_RESERVATION as usize, (&raw mut domain).cast()) };
    // An errno is more than any.
    pages as usize
}

fn param(index: u32) -> u64 {
    let mut argument = XenHvmParam::own(index);
    // SAFETY: the hypervisor reads and writes one `XenHvmParam`.
    let result = unsafe { hypercall::hvm_op(HVMOP_GET_PARAM as usize, (&raw mut argument).cast()) };
    if result < 0 {
        crash(format_args!("fata: Xen does not tell parameter {index}: {result}\n"))
    }
    argument.value
}

/// A page that the builder shared with a daemon of the host, named by two parameters; mapped at `place`.
#[inline(never)]
pub(super) fn ring(pfn: u32, port: u32, place: &'static PageOfAddresses) -> (SharedMemory, EvtchnPort) {
    let (frame, port) = (param(pfn), param(port));
    // SAFETY: the page of the image that lies there is used for nothing but its address.
    unsafe { paging::map_page(place, frame) };
    // SAFETY: just mapped, nobody else uses it, and it stays mapped for ever.
    (unsafe { SharedMemory::new(place.start(), PAGE_SIZE) }, EvtchnPort(port as u32))
}
