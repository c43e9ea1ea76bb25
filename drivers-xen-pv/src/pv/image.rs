//! Where the image's parts lie: symbols of the linker script in `targets/x86_64-xen-pv.json`.

use core::ops::Range;

/// The virtual address of physical address 0.
pub(super) const VIRT_BASE: usize = 0xffff_ffff_8000_0000;

unsafe extern "C" {
    static fata_text_start: u8;
    static fata_text_end: u8;
    static fata_rodata_start: u8;
    static fata_rodata_end: u8;
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
pub(super) fn hypercall_page() -> Range<usize> {
    let start = address!(fata_hypercall_page);
    start..start + crate::types::PAGE_SIZE
}

/// Code, in whole pages, the headers of the file before it.
pub(super) fn text() -> Range<usize> {
    address!(fata_text_start)..address!(fata_text_end)
}

/// Constants, in whole pages.
pub(super) fn rodata() -> Range<usize> {
    address!(fata_rodata_start)..address!(fata_rodata_end)
}

/// The page below the stack that is not mapped.
pub(super) fn stack_guard() -> usize {
    address!(fata_stack_guard)
}

/// The stack.
pub(super) fn stack() -> Range<usize> {
    address!(fata_stack_bottom)..address!(fata_stack_top)
}

/// The first address after the image.
pub(super) fn end() -> usize {
    address!(fata_image_end)
}
