//! Exceptions and segments of a PV guest (`arch-x86/xen.h`, `arch-x86/xen-x86_64.h`).

use super::layout;

/// `struct trap_info`: one line of the table for `SET_TRAP_TABLE`, which ends with a line of zeros.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct TrapInfo {
    /// The exception.
    pub vector: u8,
    /// Bits 0-1: from which ring it may be raised by `int`; bit 2: mask events.
    pub flags: u8,
    /// Code selector.
    pub cs: u16,
    _pad: u32,
    /// The handler.
    pub address: u64,
}

impl TrapInfo {
    /// A line of the table.
    pub const fn new(vector: u8, flags: u8, cs: u16, address: u64) -> Self {
        Self { vector, flags, cs, _pad: 0, address }
    }
}

layout!(TrapInfo, size 16, vector at 0, flags at 1, cs at 2, address at 8);

/// In [`TrapInfo::flags`]: events are masked when the handler starts (`TI_SET_IF`).
pub const TI_MASK_EVENTS: u8 = 1 << 2;

/// `FLAT_KERNEL_CS`: 64-bit code, in every GDT.
pub const FLAT_KERNEL_CS: u16 = 0xe033;
/// `FLAT_KERNEL_SS`: the stack that goes with it.
pub const FLAT_KERNEL_SS: u16 = 0xe02b;
/// `FLAT_KERNEL_DS`: the null selector.
pub const FLAT_KERNEL_DS: u16 = 0;

/// `HYPERVISOR_VIRT_START`: first address that is the hypervisor's.
pub const HYPERVISOR_VIRT_START: u64 = 0xffff_8000_0000_0000;
/// `HYPERVISOR_VIRT_END`: first address after it.
pub const HYPERVISOR_VIRT_END: u64 = 0xffff_8800_0000_0000;
/// `MACH2PHYS_VIRT_START`: the list of guest frames by machine frame, read-only.
pub const MACH2PHYS_VIRT_START: u64 = 0xffff_8000_0000_0000;
/// `MACH2PHYS_VIRT_END`
pub const MACH2PHYS_VIRT_END: u64 = 0xffff_8040_0000_0000;
