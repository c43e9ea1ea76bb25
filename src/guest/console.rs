//! The guest's one console, reachable from everywhere that has something last to say.

use crate::Result;
use alloc::rc::Rc;
use core::cell::OnceCell;
use fata_libos::console::Console;
use fata_libos::time::Instant;
use fata_xen::console::XenConsole;
use fata_xen::events::Channel;
use fata_xen::guest as xen_guest;
use fata_xen::shared::SharedMemory;
use fata_xen::types::EvtchnPort;
use fata_xen::xen::Xen;

struct Place(OnceCell<Rc<XenConsole>>);

// SAFETY: a guest has one thread and no interrupts.
unsafe impl Sync for Place {}

static CONSOLE: Place = Place(OnceCell::new());

/// Takes the console over from the boot.
pub(super) fn init(xen: &Rc<Xen>, (page, port): (SharedMemory, EvtchnPort)) -> Result<Rc<dyn Console>> {
    let channel = Channel::adopt(xen, port)?;
    let console = CONSOLE.0.get_or_init(|| XenConsole::connect(page, channel)).clone();
    xen_guest::set_writer(write_blocking);
    Ok(console)
}

/// Writes, and never waits.
pub(super) fn write(bytes: &[u8]) {
    match CONSOLE.0.get() {
        Some(console) => console.write(bytes),
        None => xen_guest::early_write(bytes),
    }
}

/// Writes, and waits until the host has it, or reads no more.
pub(super) fn write_blocking(bytes: &[u8]) {
    match CONSOLE.0.get() {
        Some(console) => {
            console.write_blocking(&now, bytes);
        }
        None => xen_guest::early_write(bytes),
    }
}

/// Waits until the host has what was written, or reads no more.
pub(super) fn flush() {
    if let Some(console) = CONSOLE.0.get() {
        console.flush_blocking(&now);
    }
}

fn now() -> Instant {
    xen_guest::GuestHypervisor::system_time()
}
