//! The page that a guest shares with the hypervisor (`xen.h`: `struct shared_info`; `arch-x86/xen.h`).
//!
//! The hypervisor writes these fields at any moment: read them by volatile copies or through atomics, never by reference.

use super::layout;

/// `XEN_LEGACY_MAX_VCPUS`.
pub const LEGACY_MAX_VCPUS: usize = 32;

/// Channels of the two-level event ABI (`EVTCHN_2L_NR_CHANNELS`).
pub const EVTCHN_2L_NR_CHANNELS: usize = 4096;

/// `struct vcpu_time_info`: how the time stamp counter turns into nanoseconds since the host's start.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct VcpuTimeInfo {
    /// Odd while an update is in progress; changes with each update.
    pub version: u32,
    /// Unused.
    pub pad0: u32,
    /// The counter at the last update.
    pub tsc_timestamp: u64,
    /// Nanoseconds at the last update.
    pub system_time: u64,
    /// Multiplier: `ns = system_time + ((((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul) >> 32)`.
    pub tsc_to_system_mul: u32,
    /// Shift to the left; to the right where negative.
    pub tsc_shift: i8,
    /// `XEN_PVCLOCK_*`.
    pub flags: u8,
    /// Unused.
    pub pad1: [u8; 2],
}

layout!(VcpuTimeInfo, size 32,
    version at 0, tsc_timestamp at 8, system_time at 16, tsc_to_system_mul at 24, tsc_shift at 28, flags at 29);

/// `XEN_PVCLOCK_TSC_STABLE_BIT`
pub const PVCLOCK_TSC_STABLE: u8 = 1 << 0;
/// `XEN_PVCLOCK_GUEST_STOPPED`
pub const PVCLOCK_GUEST_STOPPED: u8 = 1 << 1;

/// `struct arch_vcpu_info` (`arch-x86/xen-x86_64.h`).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct ArchVcpuInfo {
    /// The address of the last page fault.
    pub cr2: u64,
    /// Unused.
    pub pad: u64,
}

layout!(ArchVcpuInfo, size 16, cr2 at 0);

/// `struct vcpu_info`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct VcpuInfo {
    /// Set by Xen when an event comes; cleared by the guest before it looks for events.
    pub evtchn_upcall_pending: u8,
    /// Not zero: no upcalls.
    pub evtchn_upcall_mask: u8,
    _pad: [u8; 6],
    /// Which words of `evtchn_pending` have news.
    pub evtchn_pending_sel: u64,
    /// Of the architecture.
    pub arch: ArchVcpuInfo,
    /// The clock.
    pub time: VcpuTimeInfo,
}

layout!(VcpuInfo, size 64,
    evtchn_upcall_pending at 0, evtchn_upcall_mask at 1, evtchn_pending_sel at 8, arch at 16, time at 32);

/// `struct arch_shared_info` (`arch-x86/xen.h`): where the list of machine frames is, for save and restore.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct ArchSharedInfo {
    /// Entries of the list.
    pub max_pfn: u64,
    /// Frame of the list of frames of lists of frames; 0 not set up yet, all ones unused.
    pub pfn_to_mfn_frame_list_list: u64,
    /// Why an NMI came.
    pub nmi_reason: u64,
    /// Root of the address space in which `p2m_vaddr` is valid, in the format of cr3; 0 where unused.
    pub p2m_cr3: u64,
    /// Virtual address of the list.
    pub p2m_vaddr: u64,
    /// Incremented before and after each change of the list's mapping.
    pub p2m_generation: u64,
}

layout!(ArchSharedInfo, size 48,
    max_pfn at 0, pfn_to_mfn_frame_list_list at 8, nmi_reason at 16, p2m_cr3 at 24, p2m_vaddr at 32,
    p2m_generation at 40);

/// `struct shared_info`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SharedInfo {
    /// By vCPU.
    pub vcpu_info: [VcpuInfo; LEGACY_MAX_VCPUS],
    /// Channels that have fired, a bit each.
    pub evtchn_pending: [u64; 64],
    /// Channels that cause no upcall (and no bit in `evtchn_pending_sel`), a bit each.
    pub evtchn_mask: [u64; 64],
    /// Version of the wall clock, as in [`VcpuTimeInfo`].
    pub wc_version: u32,
    /// Wall clock at system time 0, seconds since 1970, low half.
    pub wc_sec: u32,
    /// Nanoseconds of it.
    pub wc_nsec: u32,
    /// Seconds since 1970, high half.
    pub wc_sec_hi: u32,
    /// Of the architecture.
    pub arch: ArchSharedInfo,
}

layout!(SharedInfo, size 3136,
    vcpu_info at 0, evtchn_pending at 2048, evtchn_mask at 2560, wc_version at 3072, wc_sec at 3076,
    wc_nsec at 3080, wc_sec_hi at 3084, arch at 3088);
