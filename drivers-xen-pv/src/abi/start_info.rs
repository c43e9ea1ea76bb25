//! What a PV guest is told at its start (`xen.h`: `struct start_info`; its address is in rsi).

use super::layout;

/// Octets of the command line, its terminating NUL included (`MAX_GUEST_CMDLINE`).
pub const MAX_GUEST_CMDLINE: usize = 1024;

/// `struct start_info`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StartInfo {
    /// "xen-VERSION-PLATFORM", NUL-terminated.
    pub magic: [u8; 32],
    /// Pages that the domain was given.
    pub nr_pages: u64,
    /// Machine address of the shared info page.
    pub shared_info: u64,
    /// `SIF_*`.
    pub flags: u32,
    _pad0: u32,
    /// Machine frame of the XenStore page.
    pub store_mfn: u64,
    /// XenStore's event channel.
    pub store_evtchn: u32,
    _pad1: u32,
    /// Machine frame of the console page (`console.domU.mfn`).
    pub console_mfn: u64,
    /// The console's event channel (`console.domU.evtchn`).
    pub console_evtchn: u32,
    _pad2: u32,
    /// Virtual address of the top page table.
    pub pt_base: u64,
    /// Frames of the boot page tables.
    pub nr_pt_frames: u64,
    /// Virtual address of the list of machine frames by guest frame.
    pub mfn_list: u64,
    /// Virtual address of the module, or its first guest frame with `SIF_MOD_START_PFN`.
    pub mod_start: u64,
    /// Octets of the module.
    pub mod_len: u64,
    /// The command line, NUL-terminated.
    pub cmd_line: [u8; MAX_GUEST_CMDLINE],
    /// First guest frame of the list of machine frames.
    pub first_p2m_pfn: u64,
    /// Frames of the list of machine frames.
    pub nr_p2m_frames: u64,
}

layout!(StartInfo, size 1168,
    magic at 0, nr_pages at 32, shared_info at 40, flags at 48, store_mfn at 56, store_evtchn at 64,
    console_mfn at 72, console_evtchn at 80, pt_base at 88, nr_pt_frames at 96, mfn_list at 104,
    mod_start at 112, mod_len at 120, cmd_line at 128, first_p2m_pfn at 1152, nr_p2m_frames at 1160);

/// `SIF_PRIVILEGED`: the domain is privileged.
pub const SIF_PRIVILEGED: u32 = 1 << 0;
/// `SIF_INITDOMAIN`: the domain is dom0.
pub const SIF_INITDOMAIN: u32 = 1 << 1;
/// `SIF_MOD_START_PFN`: `mod_start` is a guest frame.
pub const SIF_MOD_START_PFN: u32 = 1 << 3;
/// `SIF_VIRT_P2M_4TOOLS`: the tools understand a virtually mapped list of frames.
pub const SIF_VIRT_P2M_4TOOLS: u32 = 1 << 4;
