//! Where the image's parts lie: symbols of the linker script in `targets/x86_64-xen-pv.json`.

use core::ops::Range;

/// The virtual address of physical address 0.
pub(crate) const VIRT_BASE: usize = 0xffff_ffff_8000_0000;

unsafe extern "C" {
    static fata_text_start: u8;
    static fata_text_end: u8;
    static fata_rodata_start: u8;
    static fata_rodata_end: u8;
    static fata_fault_stack_guard: u8;
    static fata_fault_stack_top: u8;
    static fata_stack_guard: u8;
    static fata_stack_bottom: u8;
    static fata_stack_top: u8;
    static fata_hypercall_page: u8;
    static fata_image_end: u8;
}

macro_rules! address {
    ($symbol:ident) => {
        // Only the address is taken: nothing is read.
        (&raw const $symbol).addr()
    };
}

/// Where Xen writes its code for hypercalls.
pub(crate) fn hypercall_page() -> Range<usize> {
    let start = address!(fata_hypercall_page);
    start..start + crate::types::PAGE_SIZE
}

/// Code, in whole pages, the headers of the file before it.
pub(crate) fn text() -> Range<usize> {
    address!(fata_text_start)..address!(fata_text_end)
}

/// Constants, in whole pages.
pub(crate) fn rodata() -> Range<usize> {
    address!(fata_rodata_start)..address!(fata_rodata_end)
}

/// Whether an address is in one of the pages below the stacks that are not mapped.
pub(crate) fn is_stack_guard(va: usize) -> bool {
    let page = va & !(crate::types::PAGE_SIZE - 1);
    page == address!(fata_stack_guard) || page == address!(fata_fault_stack_guard)
}

/// Where the stack begins on which the processor reports exceptions (PVH; Xen uses the guest's own for PV).
pub(crate) fn fault_stack_top() -> usize {
    address!(fata_fault_stack_top)
}

/// The stack.
pub(crate) fn stack() -> Range<usize> {
    address!(fata_stack_bottom)..address!(fata_stack_top)
}

/// The first address after the image.
pub(crate) fn end() -> usize {
    address!(fata_image_end)
}

/// What lies at an address of the image, and so which rights it has.
pub(crate) enum Part {
    /// Read and executed.
    Code,
    /// Read.
    Constants,
    /// Nothing: the pages below the stacks.
    Guard,
    /// Read and written.
    Data,
}

/// The part of the image at an address; what is not the image's is data.
pub(crate) fn part(va: usize) -> Part {
    match va {
        _ if text().contains(&va) || hypercall_page().contains(&va) => Part::Code,
        _ if rodata().contains(&va) => Part::Constants,
        _ if is_stack_guard(va) => Part::Guard,
        _ => Part::Data,
    }
}
