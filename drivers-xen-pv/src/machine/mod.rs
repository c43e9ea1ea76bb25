//! A PVH guest without Xen below it (QEMU's `-kernel`, say): the few parts of a PC that a guest needs.
//!
//! [`serial`] is its console, [`clock`] fills the fields that Xen would fill, [`apic`] wakes the processor from its sleep,
//! [`power`] is the way out and the button. Devices are another crate's (`fata-virtio`), which finds here what it needs of the machine:
//! [`map_device`], [`interrupted`], [`route`] and [`message`].

mod apic;
mod clock;
mod port;
mod power;
mod serial;

use crate::fw_cfg::FwCfg;
use crate::guest::memory::{self, Place, Purpose};
use crate::guest::{GuestHypervisor, HYPERVISOR};
use crate::hypervisor::Hypervisor;
use crate::types::PAGE_SIZE;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use fata_libos::platform::Leave;
use fata_libos::shutdown;
use fata_libos::task::WakerSet;
use fata_libos::time::{Duration, Instant};

pub(crate) use apic::{LINE_VECTOR, WAKE_VECTOR};
pub use apic::{message, route};
pub use port::{read_u32, write_u32};
pub(crate) use power::leave;
pub use serial::{SerialConsole, has_serial};

/// Registers of a device are mapped by so many octets.
const BLOCK: u64 = 2 << 20;

/// Where `len` octets of a device's registers at a physical address are; they stay mapped for ever. `None` when there is no
/// room for more (128 MiB in all), they are more than 2 MiB, the processor has no such address, or memory is near it.
pub fn map_device(physical: u64, len: usize) -> Option<NonNull<u8>> {
    let last = physical.checked_add((len as u64).clamp(1, BLOCK) - 1)?;
    if len as u64 > BLOCK {
        return None;
    }
    let map = |physical| memory::map_device(physical, Purpose::Registers);
    let (start, end) = (map(physical)?, map(last)?);
    // The end may be in a block that was mapped before, at another place.
    (end.addr().get().wrapping_sub(start.addr().get()) == (last - physical) as usize).then_some(start)
}

/// What a boot hands to the appliance's side.
#[derive(Clone, Copy)]
pub struct MachineBoot {
    /// Memory and clock; its hypercalls are not to be used.
    pub hypervisor: &'static GuestHypervisor,
    /// The kernel command line.
    pub command_line: &'static str,
    /// What the machine appended to it: its virtio devices of MMIO, as Linux reads them.
    pub mmio_devices: &'static str,
}

type Write = fn(&[u8]);

static BOOT: Place<Option<MachineBoot>> = Place::new(None);
static OUTPUT: Place<Option<Write>> = Place::new(None);
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

/// Keeps where ACPI's root pointer is; 0 for nowhere.
pub(crate) fn has_tables_at(rsdp: u64) {
    power::RSDP.store(rsdp, Ordering::Relaxed);
}

/// Keeps what a boot handed over, for those to whom nobody hands it.
pub(crate) fn keep(boot: MachineBoot) {
    BOOT.with(|kept| *kept = Some(boot));
}

/// What the boot handed over; `None` where Xen is below.
pub fn boot() -> Option<MachineBoot> {
    BOOT.with(|kept| *kept)
}

/// When memory is mapped: clock and interrupts.
pub(crate) fn init() {
    clock::init();
    apic::init();
    power::init();
}

/// QEMU's `fw_cfg` on a PC.
const FW_CFG: FwCfg = FwCfg { select: |key| port::write_u16(0x510, key), read: || port::read(0x511) };

/// A generation ID: a number that the host replaces when the machine goes on from what was saved of it.
type GenerationId = [u64; 2];

/// The machine's generation ID as it is now; zero where it has none (QEMU's `-device vmgenid` is one).
pub(crate) fn generation_id() -> GenerationId {
    static NONE: GenerationId = [0; 2];
    static PLACE: AtomicPtr<GenerationId> = AtomicPtr::new(core::ptr::null_mut());
    let mut place = PLACE.load(Ordering::Relaxed);
    if place.is_null() {
        let found = FW_CFG.generation_id().and_then(|at| memory::map_device(at, Purpose::Tables));
        place = found.map_or((&raw const NONE).cast_mut(), |found| found.as_ptr().cast());
        PLACE.store(place, Ordering::Relaxed);
    }
    // SAFETY: it stays mapped, and lies within a page, at a place for words. The host writes to it while the guest stands still.
    unsafe { place.read_volatile() }
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
    let woken = apic::wait(deadline.into_iter().chain(next_look).min());
    // What `xl shutdown` is on Xen: the power button, or a break on the serial line.
    if woken.by_line && (serial::take_input() | power::is_button_pressed()) {
        shutdown::request(Leave::PowerOff);
    }
    if woken.by_interrupt || looks {
        WAITING.0.wake_all();
    }
}

/// Looks at something that is waited for at most: the limit while the clock does not go.
const LOOKS: u32 = 20_000_000;

/// Waits until `is_so`, so many nanoseconds at most; false if it was not.
#[inline(never)]
fn wait_for(limit_ns: u64, is_so: fn() -> bool) -> bool {
    let end = apic::now() + limit_ns;
    for _ in 0..LOOKS {
        if is_so() {
            return true;
        }
        if apic::now() >= end {
            break;
        }
    }
    false
}

/// Writes to the console.
pub(crate) fn write(bytes: &[u8]) {
    OUTPUT.with(|output| *output).unwrap_or(serial::write)(bytes);
}

/// Lets another take all that is written to the console: it must not allocate, and must not return before the bytes are on
/// their way.
pub fn set_output(write: Write) {
    OUTPUT.with(|output| *output = Some(write));
}
