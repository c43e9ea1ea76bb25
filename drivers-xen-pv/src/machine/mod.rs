//! A PVH guest without Xen below it (QEMU's `-kernel`, say): the few parts of a PC that a guest needs.
//!
//! [`serial`] is its console, [`clock`] fills the fields that Xen would fill, [`apic`] wakes the processor from its sleep,
//! [`power`] is the way out. Devices are another crate's (`fata-virtio`), which finds here what it needs of the machine:
//! [`map_device`], [`interrupted`], [`route`] and [`message`].

mod apic;
mod clock;
mod port;
mod power;
mod serial;

use crate::guest::{GuestHypervisor, HYPERVISOR};
use crate::hypervisor::Hypervisor;
use crate::types::PAGE_SIZE;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use fata_libos::task::WakerSet;
use fata_libos::time::{Duration, Instant};

pub(crate) use apic::WAKE_VECTOR;
pub use apic::{message, route};
pub use port::{read_u32, write_u32};
pub(crate) use power::leave;
pub use serial::SerialConsole;

pub use crate::pvh::map_device;

/// What a boot hands to the appliance's side.
pub struct MachineBoot {
    /// Memory and clock; its hypercalls are not to be used.
    pub hypervisor: &'static GuestHypervisor,
    /// The kernel command line.
    pub command_line: &'static str,
    /// What the machine appended to it: its virtio devices of MMIO, as Linux reads them.
    pub mmio_devices: &'static str,
}

static IS_BELOW: AtomicBool = AtomicBool::new(false);
static LOOKS_OFTEN: AtomicBool = AtomicBool::new(false);

struct Waiting(WakerSet);

// SAFETY: a guest has one thread, and its interrupt handler touches no wakers.
unsafe impl Sync for Waiting {}

static WAITING: Waiting = Waiting(WakerSet::new());

/// Whether it is this, not Xen.
pub(crate) fn is_below() -> bool {
    IS_BELOW.load(Ordering::Relaxed)
}

/// The first act of a boot without Xen: from here on there is a console.
pub(crate) fn found() {
    IS_BELOW.store(true, Ordering::Relaxed);
    serial::init();
}

/// When memory is mapped: clock and interrupts.
pub(crate) fn init() {
    clock::init();
    apic::init();
}

/// Zeroed pages, contiguous for devices too; `None` when the guest has no more memory.
pub fn alloc_pages(count: usize) -> Option<NonNull<u8>> {
    HYPERVISOR.alloc_pages(count)
}

/// Takes pages back.
///
/// # Safety
/// From [`alloc_pages`], used by nobody any more, no device among them.
pub unsafe fn free_pages(start: NonNull<u8>, count: usize) {
    // SAFETY: by the caller.
    unsafe { HYPERVISOR.free_pages(start, count) }
}

/// Where devices find an address of the guest's memory.
pub fn physical(at: NonNull<u8>) -> u64 {
    let va = at.addr().get();
    HYPERVISOR.frame_of(at).0 * PAGE_SIZE as u64 + (va % PAGE_SIZE) as u64
}

/// Who waits for an interrupt, whichever.
pub fn interrupted() -> &'static WakerSet {
    &WAITING.0
}

/// How often devices are looked at that cannot wake the guest.
const LOOK: Duration = Duration::from_millis(1);

/// From now on those who wait for an interrupt are woken each millisecond too: there is a device that has none.
pub fn look_often() {
    LOOKS_OFTEN.store(true, Ordering::Relaxed);
}

/// Sleeps until there was an interrupt or `deadline` has passed; a deadline of zero only looks.
pub fn wait(deadline: Option<Instant>) {
    let looks = LOOKS_OFTEN.load(Ordering::Relaxed) && !WAITING.0.is_empty();
    let next_look = looks.then(|| GuestHypervisor::system_time() + LOOK);
    let until = deadline.into_iter().chain(next_look).min();
    if apic::wait(until) || looks {
        WAITING.0.wake_all();
    }
}

/// Writes to the console.
pub(crate) fn write(bytes: &[u8]) {
    serial::write(bytes);
}
