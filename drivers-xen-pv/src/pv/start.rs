//! The order of a boot, from the first instruction to the appliance.

use super::early_console::{self, EarlyConsole};
use super::hv::{HYPERVISOR, PvHypervisor};
use super::{clock, crash, mm, traps};
use crate::abi::start_info::StartInfo;
use crate::shared::SharedMemory;
use crate::types::{EvtchnPort, Mfn, PAGE_SIZE};
use core::ptr::{self, NonNull};
use fata_libos::time::Duration;

/// What a boot hands to the appliance's side.
pub struct Boot {
    /// The hypervisor.
    pub hypervisor: &'static PvHypervisor,
    /// The kernel command line (`extra=` in an xl configuration).
    pub command_line: &'static str,
    /// The console's ring and channel.
    pub console: (SharedMemory, EvtchnPort),
    /// XenStore's ring and channel.
    pub xenstore: (SharedMemory, EvtchnPort),
    /// Processor time charged before the guest's first instruction.
    pub cpu_at_entry: Duration,
}

unsafe extern "Rust" {
    /// The appliance's side: defined by whoever links this crate into an image (`fata`).
    fn fata_guest_main(boot: Boot) -> !;
}

/// Called by the entry code on the image's own stack.
pub(super) extern "C" fn pv_main(start_info: *const StartInfo) -> ! {
    // SAFETY: the builder passes the address of a `start_info` that it has mapped; nobody writes to it.
    let info = unsafe { &*start_info };
    mm::map_shared_info(info);
    unmask_channels();
    let cpu_at_entry = clock::cpu_time();
    let console = ring(info.console_mfn, info.console_evtchn);
    early_console::init(console.0.clone(), console.1);
    check(info);
    traps::init();
    mm::init(info);
    let boot = Boot {
        hypervisor: &HYPERVISOR,
        command_line: command_line(info),
        console,
        xenstore: ring(info.store_mfn, info.store_evtchn),
        cpu_at_entry,
    };
    // SAFETY: the linker found exactly one, and its signature is this crate's own.
    unsafe { fata_guest_main(boot) }
}

/// A page that the builder shared with a daemon of the host, where it mapped it.
fn ring(frame: u64, port: u32) -> (SharedMemory, EvtchnPort) {
    let address = mm::boot_address(Mfn(frame));
    let start = NonNull::new(address as *mut u8).expect("frames lie above VIRT_BASE");
    // SAFETY: the builder mapped the page, nobody else uses it, and it stays mapped for ever.
    (unsafe { SharedMemory::new(start, PAGE_SIZE) }, EvtchnPort(port))
}

/// A channel that is masked sets no bit in the selector that `take_pending` starts from.
fn unmask_channels() {
    let shared = mm::shared_info().cast_mut();
    // SAFETY: the page is mapped; the mask is the guest's to write.
    unsafe {
        let mask = (&raw mut (*shared).evtchn_mask).cast::<u64>();
        for i in 0..64 {
            mask.add(i).write_volatile(0);
        }
        ptr::write_volatile(&raw mut (*shared).vcpu_info[0].evtchn_upcall_mask, 1);
    }
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
    EarlyConsole.write(b"fata: start_info is not from a PV domain builder: ");
    EarlyConsole.write(wrong.as_bytes());
    crash::crash(format_args!("\n"))
}

fn command_line(info: &'static StartInfo) -> &'static str {
    let bytes = info.cmd_line.split(|&b| b == 0).next().unwrap_or_default();
    match core::str::from_utf8(bytes) {
        Ok(line) => line,
        Err(_) => crash::crash(format_args!("fata: the kernel command line is not UTF-8\n")),
    }
}
