//! The way out when nothing can be trusted any more: say what happened, then end the domain.

use super::early_console::EarlyConsole;
use super::hv::GuestHypervisor;
use crate::abi::sched::SHUTDOWN_CRASH;
use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

type Write = fn(&[u8]);

struct Writer(Cell<Option<Write>>);

// SAFETY: a guest has one thread and no interrupts.
unsafe impl Sync for Writer {}

static WRITER: Writer = Writer(Cell::new(None));
static CRASHING: AtomicBool = AtomicBool::new(false);
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Sets what writes a crash's report: it must not allocate, and must not return before the bytes are on their way.
pub fn set_writer(write: fn(&[u8])) {
    WRITER.0.set(Some(write));
}

/// Writes to the console, past everything that could fail.
pub(super) struct CrashConsole;

impl fmt::Write for CrashConsole {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        match WRITER.0.get() {
            Some(write) => write(s.as_bytes()),
            None => EarlyConsole.write(s.as_bytes()),
        }
        Ok(())
    }
}

/// Reports and ends the domain with the reason `crash`. A crash while reporting one ends it at once.
pub fn crash(report: fmt::Arguments<'_>) -> ! {
    if !CRASHING.swap(true, Ordering::Relaxed) {
        let _ = fmt::write(&mut CrashConsole, report);
    }
    GuestHypervisor::shutdown(SHUTDOWN_CRASH)
}

/// [`crash`] for a panic of the guest's own code, which a machine without Xen tells from other crashes by its status.
pub fn panic(report: fmt::Arguments<'_>) -> ! {
    PANICKED.store(true, Ordering::Relaxed);
    crash(report)
}

/// Whether a panic is what ends the guest.
pub(crate) fn has_panicked() -> bool {
    PANICKED.load(Ordering::Relaxed)
}
