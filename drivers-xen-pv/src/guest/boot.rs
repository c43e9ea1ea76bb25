//! The end of a boot: what both doors hand to the appliance's side.

use super::early_console;
use super::hv::{GuestHypervisor, HYPERVISOR};
use super::memory::Place;
use super::{clock, crash, memory};
use crate::machine::{self, MachineBoot};
use crate::shared::SharedMemory;
use crate::types::EvtchnPort;
use core::ptr;
use fata_libos::time::Duration;

/// What a boot hands to the appliance's side.
pub struct Boot {
    /// The hypervisor.
    pub hypervisor: &'static GuestHypervisor,
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
    /// The same where no Xen is below.
    fn fata_machine_main(boot: MachineBoot) -> !;
}

/// What can be done once the shared info page is mapped: hear all channels. Gives the processor time charged so far.
pub(crate) fn greet() -> Duration {
    let shared = memory::shared_info().cast_mut();
    // A channel that is masked sets no bit in the selector that `take_pending` starts from.
    // SAFETY: the page is mapped; the mask is the guest's to write.
    unsafe {
        let mask = (&raw mut (*shared).evtchn_mask).cast::<u64>();
        for i in 0..64 {
            mask.add(i).write_volatile(0);
        }
        ptr::write_volatile(&raw mut (*shared).vcpu_info[0].evtchn_upcall_mask, 1);
    }
    clock::cpu_time()
}

/// What this guest was told at its start, for [`super::entropy`]: of images that do not ask for random octets nothing is left.
static TOLD: Place<&[u8]> = Place::new(&[]);

/// Octets of it that are mixed in: behind them are zeros, or parameters that differ in less.
const TOLD_MAX: usize = 256;

/// Keeps octets of the boot's structures.
pub(crate) fn keep_told(octets: &'static [u8]) {
    TOLD.with(|told| *told = octets);
}

pub(super) fn told() -> &'static [u8] {
    TOLD.with(|told| told.get(..TOLD_MAX).unwrap_or(told))
}

/// Starts the appliance's side. `command_line` ends at its first NUL.
pub(crate) fn enter(
    command_line: &'static [u8],
    console: (SharedMemory, EvtchnPort),
    xenstore: (SharedMemory, EvtchnPort),
    cpu_at_entry: Duration,
) -> ! {
    refuse_cut(command_line);
    let command_line = text(command_line);
    let boot = Boot { hypervisor: &HYPERVISOR, command_line, console, xenstore, cpu_at_entry };
    // SAFETY: the linker found exactly one, and its signature is this crate's own.
    unsafe { fata_guest_main(boot) }
}

/// The beginning of what a machine appends to the command line.
const MMIO_DEVICES: &[u8] = b"virtio_mmio.device=";

/// Starts the appliance's side where no Xen is below.
pub(crate) fn enter_without_xen(command_line: &'static [u8]) -> ! {
    refuse_cut(command_line);
    let devices = command_line.windows(MMIO_DEVICES.len()).position(|w| w == MMIO_DEVICES);
    // As octets: a split of text that may fail brings the printing of any text into each image.
    let (line, devices) = command_line.split_at(devices.unwrap_or(command_line.len()));
    let (command_line, mmio_devices) = (text(line), text(devices));
    // Boot parameters there would be lost.
    let is_device = |word: &[u8]| word.is_empty() || word.starts_with(MMIO_DEVICES);
    if !mmio_devices.as_bytes().split(|octet| *octet <= b' ').all(is_device) {
        crash::crash(format_args!("fata: boot parameters behind virtio_mmio.device=: they go before it\n"))
    }
    keep_told(command_line.as_bytes());
    let boot = MachineBoot { hypervisor: &HYPERVISOR, command_line, mmio_devices };
    machine::keep(boot);
    // SAFETY: as in `enter`.
    unsafe { fata_machine_main(boot) }
}

/// A line that fills its place may have been longer, and what is left of it is not what was meant: Xen's tools cut it off
/// without a word.
fn refuse_cut(place: &[u8]) {
    if place.iter().rev().nth(1).is_some_and(|octet| *octet != 0) {
        crash::crash(format_args!(
            "fata: the boot parameters are too long: 1022 octets for PV, 4094 for PVH\n"
        ))
    }
}

fn text(command_line: &'static [u8]) -> &'static str {
    let bytes = command_line.split(|&b| b == 0).next().unwrap_or_default();
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => crash::crash(format_args!("fata: the kernel command line is not UTF-8\n")),
    }
}

/// Says where the console is, for what fails before the appliance has it.
pub(crate) fn console_is_at((page, port): &(SharedMemory, EvtchnPort)) {
    early_console::init(page.clone(), *port);
}
