//! The console before there is a heap, and after everything else has failed: straight into the ring, waiting for room.

use super::hv::GuestHypervisor;
use crate::byte_ring::Producer;
use crate::console::OUT_RING;
use crate::machine;
use crate::shared::SharedMemory;
use crate::types::EvtchnPort;
use core::cell::OnceCell;

/// Looks for room before what is left is dropped: a host that reads no console must not hold a guest for ever.
const PATIENCE: u32 = 2000;

struct Ring {
    page: SharedMemory,
    port: EvtchnPort,
}

struct Place(OnceCell<Ring>);

// SAFETY: a guest has one thread and no interrupts.
unsafe impl Sync for Place {}

static PLACE: Place = Place(OnceCell::new());

/// Says where the console's ring is.
pub(super) fn init(page: SharedMemory, port: EvtchnPort) {
    // There is one, and it is told once.
    let _ = PLACE.0.set(Ring { page, port });
}

/// Writes all of `bytes` straight into the ring.
pub fn early_write(bytes: &[u8]) {
    EarlyConsole.write(bytes);
}

pub(super) struct EarlyConsole;

impl EarlyConsole {
    /// Writes all of `bytes`, and does not return before the host has them or has stopped reading.
    pub(super) fn write(&self, mut bytes: &[u8]) {
        if machine::is_below() {
            return machine::write(bytes);
        }
        GuestHypervisor::console_io(bytes);
        let Some(Ring { page, port }) = PLACE.0.get() else { return };
        let mut ring = Producer::attach(page.clone(), OUT_RING);
        let mut patience = PATIENCE;
        while patience > 0 {
            let Ok(written) = ring.push(bytes) else { return };
            bytes = bytes.get(written..).unwrap_or_default();
            if written > 0 {
                patience = PATIENCE;
                GuestHypervisor::notify(*port);
            }
            if bytes.is_empty() && ring.pending() == Ok(0) {
                return;
            }
            patience -= 1;
            GuestHypervisor::nap();
        }
    }
}
