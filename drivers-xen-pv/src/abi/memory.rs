//! Memory of a domain (`memory.h`).

use super::layout;

/// `XENMEM_increase_reservation`
pub const XENMEM_INCREASE_RESERVATION: u32 = 0;
/// `XENMEM_decrease_reservation`
pub const XENMEM_DECREASE_RESERVATION: u32 = 1;
/// `XENMEM_current_reservation`
pub const XENMEM_CURRENT_RESERVATION: u32 = 3;
/// `XENMEM_maximum_reservation`
pub const XENMEM_MAXIMUM_RESERVATION: u32 = 4;
/// `XENMEM_populate_physmap`
pub const XENMEM_POPULATE_PHYSMAP: u32 = 6;
/// `XENMEM_add_to_physmap`
pub const XENMEM_ADD_TO_PHYSMAP: u32 = 7;
/// `XENMEM_memory_map`
pub const XENMEM_MEMORY_MAP: u32 = 9;
/// `XENMEM_machphys_mapping`
pub const XENMEM_MACHPHYS_MAPPING: u32 = 12;

/// `XENMAPSPACE_shared_info`
pub const XENMAPSPACE_SHARED_INFO: u32 = 0;
/// `XENMAPSPACE_grant_table`
pub const XENMAPSPACE_GRANT_TABLE: u32 = 1;

/// `struct xen_memory_reservation`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MemoryReservation {
    /// Frames, one an extent.
    pub extent_start: *mut u64,
    /// Their number.
    pub nr_extents: u64,
    /// Each has two to this power of pages.
    pub extent_order: u32,
    /// `XENMEMF_*`.
    pub mem_flags: u32,
    /// Whose: `DomId::SELF`.
    pub domid: u16,
    _pad: [u16; 3],
}

impl MemoryReservation {
    /// Single pages of this domain.
    pub const fn pages(extent_start: *mut u64, nr_extents: u64) -> Self {
        let domid = crate::types::DomId::SELF.0;
        Self { extent_start, nr_extents, extent_order: 0, mem_flags: 0, domid, _pad: [0; 3] }
    }
}

layout!(MemoryReservation, size 32,
    extent_start at 0, nr_extents at 8, extent_order at 16, mem_flags at 20, domid at 24);

/// `struct xen_add_to_physmap`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct AddToPhysmap {
    /// Whose: `DomId::SELF`.
    pub domid: u16,
    /// Unused but for ranges.
    pub size: u16,
    /// `XENMAPSPACE_*`.
    pub space: u32,
    /// Which of that space.
    pub idx: u64,
    /// The guest frame where it shall appear.
    pub gpfn: u64,
}

layout!(AddToPhysmap, size 24, domid at 0, size at 2, space at 4, idx at 8, gpfn at 16);

/// `struct xen_memory_map`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MemoryMap {
    /// In: room; out: entries.
    pub nr_entries: u32,
    _pad: u32,
    /// Entries as of the BIOS call E820: address `u64`, length `u64`, type `u32`, 20 octets each.
    pub buffer: *mut u8,
}

impl MemoryMap {
    /// A buffer for `nr_entries`.
    pub const fn new(buffer: *mut u8, nr_entries: u32) -> Self {
        Self { nr_entries, _pad: 0, buffer }
    }
}

layout!(MemoryMap, size 16, nr_entries at 0, buffer at 8);

/// `struct xen_machphys_mapping`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MachphysMapping {
    /// First address of the list of guest frames by machine frame.
    pub v_start: u64,
    /// The address after its last.
    pub v_end: u64,
    /// The highest machine frame in it.
    pub max_mfn: u64,
}

layout!(MachphysMapping, size 24, v_start at 0, v_end at 8, max_mfn at 16);
