//! Grant tables, version 1 (`grant_table.h`).

use super::layout;

/// `struct grant_entry_v1`: an octet-exact picture; entries are shared with the hypervisor and touched by atomics only.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct GrantEntryV1 {
    /// `GTF_*`. Written last by the guest; the hypervisor sets `GTF_reading` and `GTF_writing`.
    pub flags: u16,
    /// Who may use it.
    pub domid: u16,
    /// The frame.
    pub frame: u32,
}

layout!(GrantEntryV1, size 8, flags at 0, domid at 2, frame at 4);

/// `GNTTAB_NR_RESERVED_ENTRIES`: entries that the tools fill.
pub const NR_RESERVED_ENTRIES: u32 = 8;
/// `GNTTAB_RESERVED_CONSOLE`
pub const RESERVED_CONSOLE: u32 = 0;
/// `GNTTAB_RESERVED_XENSTORE`
pub const RESERVED_XENSTORE: u32 = 1;

/// `GTF_invalid`: grants nothing.
pub const GTF_INVALID: u16 = 0;
/// `GTF_permit_access`
pub const GTF_PERMIT_ACCESS: u16 = 1;
/// `GTF_type_mask`
pub const GTF_TYPE_MASK: u16 = 3;
/// `GTF_readonly`
pub const GTF_READONLY: u16 = 1 << 2;
/// `GTF_reading`: the peer has it mapped, or copies from it now.
pub const GTF_READING: u16 = 1 << 3;
/// `GTF_writing`: the peer has it mapped for writing, or copies to it now.
pub const GTF_WRITING: u16 = 1 << 4;

/// `GNTTABOP_setup_table`
pub const GNTTABOP_SETUP_TABLE: u32 = 2;
/// `GNTTABOP_query_size`
pub const GNTTABOP_QUERY_SIZE: u32 = 6;
/// `GNTTABOP_set_version`
pub const GNTTABOP_SET_VERSION: u32 = 8;

/// `GNTST_okay`
pub const GNTST_OKAY: i16 = 0;

/// `struct gnttab_setup_table`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct GnttabSetupTable {
    /// Whose: `DomId::SELF`.
    pub dom: u16,
    _pad0: u16,
    /// Frames that the table shall have.
    pub nr_frames: u32,
    /// Out: `GNTST_*`.
    pub status: i16,
    _pad1: [u16; 3],
    /// Where the frames go.
    pub frame_list: *mut u64,
}

impl GnttabSetupTable {
    /// A table of `nr_frames` frames for this domain.
    pub const fn new(frame_list: *mut u64, nr_frames: u32) -> Self {
        let dom = crate::types::DomId::SELF.0;
        Self { dom, _pad0: 0, nr_frames, status: 0, _pad1: [0; 3], frame_list }
    }
}

layout!(GnttabSetupTable, size 24, dom at 0, nr_frames at 4, status at 8, frame_list at 16);

/// `struct gnttab_query_size`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct GnttabQuerySize {
    /// Whose: `DomId::SELF`.
    pub dom: u16,
    _pad0: u16,
    /// Out: frames of the table.
    pub nr_frames: u32,
    /// Out: the limit.
    pub max_nr_frames: u32,
    /// Out: `GNTST_*`.
    pub status: i16,
    _pad1: u16,
}

impl GnttabQuerySize {
    /// A question about this domain.
    pub const fn new() -> Self {
        let dom = crate::types::DomId::SELF.0;
        Self { dom, _pad0: 0, nr_frames: 0, max_nr_frames: 0, status: 0, _pad1: 0 }
    }
}

layout!(GnttabQuerySize, size 16, dom at 0, nr_frames at 4, max_nr_frames at 8, status at 12);

/// `struct gnttab_set_version`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct GnttabSetVersion {
    /// The version wanted; out: the version in use.
    pub version: u32,
}

layout!(GnttabSetVersion, size 4, version at 0);
