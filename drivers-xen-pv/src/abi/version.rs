//! What the hypervisor is and can (`version.h`, `features.h`).

use super::layout;

/// `XENVER_version`
pub const XENVER_VERSION: u32 = 0;
/// `XENVER_get_features`
pub const XENVER_GET_FEATURES: u32 = 6;
/// `XENVER_guest_handle`: the domain's UUID, 16 octets.
pub const XENVER_GUEST_HANDLE: u32 = 8;

/// `struct xen_feature_info`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct FeatureInfo {
    /// In: which 32 features.
    pub submap_idx: u32,
    /// Out: a bit each.
    pub submap: u32,
}

layout!(FeatureInfo, size 8, submap_idx at 0, submap at 4);

/// `XENFEAT_writable_page_tables`: a bit's number.
pub const XENFEAT_WRITABLE_PAGE_TABLES: u32 = 0;
/// `XENFEAT_auto_translated_physmap`
pub const XENFEAT_AUTO_TRANSLATED_PHYSMAP: u32 = 2;
/// `XENFEAT_pae_pgdir_above_4gb`
pub const XENFEAT_PAE_PGDIR_ABOVE_4GB: u32 = 4;
/// `XENFEAT_mmu_pt_update_preserve_ad`
pub const XENFEAT_MMU_PT_UPDATE_PRESERVE_AD: u32 = 5;
