//! The console before there is a heap, and after everything else has failed: straight into the ring, waiting for room.

use super::hv::PvHypervisor;
use crate::shared::SharedMemory;
use crate::types::EvtchnPort;
use core::cell::Cell;

/// Offsets in `struct xencons_interface` (`io/console.h`).
const OUT: usize = 1024;
const OUT_SIZE: u32 = 2048;
const OUT_CONS: usize = 3080;
const OUT_PROD: usize = 3084;
/// Looks for room before what is left is dropped: a host that reads no console must not hold a guest for ever.
const PATIENCE: u32 = 2000;

#[derive(Clone, Copy)]
struct Ring {
    page: SharedMemory,
    port: EvtchnPort,
}

struct Place(Cell<Option<Ring>>);

// SAFETY: a guest has one thread and no interrupts.
unsafe impl Sync for Place {}

static PLACE: Place = Place(Cell::new(None));

/// Says where the console's ring is.
pub(super) fn init(page: SharedMemory, port: EvtchnPort) {
    PLACE.0.set(Some(Ring { page, port }));
}

/// Writes all of `bytes` straight into the ring.
pub fn early_write(bytes: &[u8]) {
    EarlyConsole.write(bytes);
}

pub(super) struct EarlyConsole;

impl EarlyConsole {
    /// Writes all of `bytes`, and does not return before the host has them or has stopped reading.
    pub(super) fn write(&self, mut bytes: &[u8]) {
        PvHypervisor::console_io(bytes);
        let Some(ring) = PLACE.0.get() else { return };
        let mut patience = PATIENCE;
        while patience > 0 {
            let written = ring.put(bytes);
            bytes = &bytes[written..];
            if written > 0 {
                patience = PATIENCE;
                PvHypervisor::notify(ring.port);
            }
            if bytes.is_empty() && ring.is_drained() {
                return;
            }
            patience -= 1;
            PvHypervisor::nap();
        }
    }
}

impl Ring {
    fn put(&self, bytes: &[u8]) -> usize {
        let (cons, prod) = (self.page.load_u32(OUT_CONS), self.page.load_u32(OUT_PROD));
        let used = prod.wrapping_sub(cons).min(OUT_SIZE);
        let n = bytes.len().min((OUT_SIZE - used) as usize);
        for (i, &b) in (0u32..).zip(&bytes[..n]) {
            let at = prod.wrapping_add(i) % OUT_SIZE;
            self.page.write(OUT + at as usize, &[b]);
        }
        self.page.store_u32(OUT_PROD, prod.wrapping_add(n as u32));
        n
    }

    fn is_drained(&self) -> bool {
        self.page.load_u32(OUT_CONS) == self.page.load_u32(OUT_PROD)
    }
}
