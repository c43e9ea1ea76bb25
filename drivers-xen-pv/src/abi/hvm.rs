//! What a PVH guest is told at its start, and asks for (`arch-x86/hvm/start_info.h`, `hvm/hvm_op.h`, `hvm/params.h`,
//! `arch-x86/cpuid.h`).

use super::layout;

/// `XEN_HVM_START_MAGIC_VALUE`
pub const START_MAGIC_VALUE: u32 = 0x336e_c578;

/// `struct hvm_start_info`, version 1; its physical address is in ebx.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct HvmStartInfo {
    /// [`START_MAGIC_VALUE`].
    pub magic: u32,
    /// Of this structure; a newer one begins like an older one.
    pub version: u32,
    /// `SIF_*`.
    pub flags: u32,
    /// Modules.
    pub nr_modules: u32,
    /// Physical address of the list of modules.
    pub modlist_paddr: u64,
    /// Physical address of the command line, NUL-terminated; 0 for none.
    pub cmdline_paddr: u64,
    /// Physical address of ACPI's first table; 0 for none.
    pub rsdp_paddr: u64,
    /// Physical address of the memory map (from version 1 on).
    pub memmap_paddr: u64,
    /// Its entries (from version 1 on).
    pub memmap_entries: u32,
    _reserved: u32,
}

layout!(HvmStartInfo, size 56,
    magic at 0, version at 4, flags at 8, nr_modules at 12, modlist_paddr at 16, cmdline_paddr at 24, rsdp_paddr at 32,
    memmap_paddr at 40, memmap_entries at 48);

/// `struct hvm_memmap_table_entry`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct HvmMemmapTableEntry {
    /// Where it starts.
    pub addr: u64,
    /// Octets.
    pub size: u64,
    /// `MEMMAP_TYPE_*`; the keyword `type` in the header.
    pub r#type: u32,
    _reserved: u32,
}

layout!(HvmMemmapTableEntry, size 24, addr at 0, size at 8, r#type at 16);

impl HvmMemmapTableEntry {
    /// An entry.
    pub const fn new(addr: u64, size: u64, r#type: u32) -> Self {
        Self { addr, size, r#type, _reserved: 0 }
    }
}

/// `XEN_HVM_MEMMAP_TYPE_RAM`
pub const MEMMAP_TYPE_RAM: u32 = 1;

/// `HVMOP_get_param`
pub const HVMOP_GET_PARAM: u32 = 1;

/// `struct xen_hvm_param`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct XenHvmParam {
    /// Whose: `DomId::SELF`.
    pub domid: u16,
    _pad: u16,
    /// `PARAM_*`.
    pub index: u32,
    /// Its value.
    pub value: u64,
}

impl XenHvmParam {
    /// A parameter of this domain, to be read.
    pub const fn own(index: u32) -> Self {
        Self { domid: crate::types::DomId::SELF.0, _pad: 0, index, value: 0 }
    }
}

layout!(XenHvmParam, size 16, domid at 0, index at 4, value at 8);

/// `HVM_PARAM_STORE_PFN`
pub const PARAM_STORE_PFN: u32 = 1;
/// `HVM_PARAM_STORE_EVTCHN`
pub const PARAM_STORE_EVTCHN: u32 = 2;
/// `HVM_PARAM_CONSOLE_PFN`
pub const PARAM_CONSOLE_PFN: u32 = 17;
/// `HVM_PARAM_CONSOLE_EVTCHN`
pub const PARAM_CONSOLE_EVTCHN: u32 = 18;

/// `XEN_CPUID_FIRST_LEAF`; where Xen stands behind another hypervisor's leaves, at a multiple of 0x100 above.
pub const CPUID_FIRST_LEAF: u32 = 0x4000_0000;
/// `XEN_CPUID_SIGNATURE_EBX`
pub const CPUID_SIGNATURE_EBX: u32 = 0x566e_6558;
/// `XEN_CPUID_SIGNATURE_ECX`
pub const CPUID_SIGNATURE_ECX: u32 = 0x6558_4d4d;
/// `XEN_CPUID_SIGNATURE_EDX`
pub const CPUID_SIGNATURE_EDX: u32 = 0x4d4d_566e;
