//! The order of a boot, from the first instruction to the appliance.

use super::{mm, traps};
use crate::abi::start_info::StartInfo;
use crate::guest;
use crate::shared::SharedMemory;
use crate::types::{EvtchnPort, Mfn, PAGE_SIZE};
use core::mem::offset_of;
use core::ptr::NonNull;
use core::slice;

/// Called by the entry code on the image's own stack.
pub(super) extern "C" fn pv_main(start_info: *const StartInfo) -> ! {
    // SAFETY: the builder passes the address of a `start_info` that it has mapped; nobody writes to it.
    let info = unsafe { &*start_info };
    mm::map_shared_info(info);
    let cpu_at_entry = guest::greet();
    let console = ring(info.console_mfn, info.console_evtchn);
    guest::console_is_at(&console);
    check(info);
    traps::init();
    guest::force_cpuid();
    guest::enable_vectors(guest::cpuid(1, 0).ecx);
    mm::init(info);
    guest::note_runs();
    // SAFETY: its first 128 octets are plain numbers, mapped for ever, which nobody writes.
    guest::keep_told(unsafe { slice::from_raw_parts(start_info.cast(), offset_of!(StartInfo, cmd_line)) });
    guest::enter(&info.cmd_line, console, ring(info.store_mfn, info.store_evtchn), cpu_at_entry)
}

/// A page that the builder shared with a daemon of the host, where it mapped it.
fn ring(frame: u64, port: u32) -> (SharedMemory, EvtchnPort) {
    let address = mm::boot_address(Mfn(frame));
    let start = NonNull::new(address as *mut u8).expect("frames lie above VIRT_BASE");
    // SAFETY: the builder mapped the page, nobody else uses it, and it stays mapped for ever.
    (unsafe { SharedMemory::new(start, PAGE_SIZE) }, EvtchnPort(port))
}

/// Refuses what no PV builder writes.
fn check(info: &StartInfo) {
    let wrong = if !info.magic.starts_with(b"xen-3.") {
        "its magic is not xen-3.x"
    } else if info.nr_pages < 256 || info.nr_pages > 1 << 27 {
        "its nr_pages makes no sense"
    } else if info.nr_pt_frames == 0 || info.pt_base == 0 || info.mfn_list == 0 {
        "it names no page tables or no frame list"
    } else {
        return;
    };
    guest::early_write(b"fata: start_info is not from a PV domain builder: ");
    guest::early_write(wrong.as_bytes());
    guest::crash(format_args!("\n"))
}
