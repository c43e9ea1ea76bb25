//! A guest of 8 MiB in virtual time, whose free memory a test sets.
#![allow(dead_code, reason = "each test file uses its part")]

use fata_libos::platform::{Leave, MemoryStats, Platform};
use fata_libos::task::block_on;
use fata_libos::time::{Duration, Instant, SystemTime};
use std::cell::Cell;
use std::future::Future;

/// 2^20 octets.
pub const MIB: u64 = 1 << 20;
/// What is kept free of 8 MiB.
pub const RESERVE: u64 = MIB / 2;
/// The same when content is sent.
pub const FOR_CONTENT: u64 = 3 * MIB;

/// Virtual time in a guest of 8 MiB.
pub struct Guest {
    now: Cell<u64>,
    pub free: Cell<u64>,
}

impl Platform for Guest {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.now.get())
    }
    fn wall_clock(&self, _: Instant) -> SystemTime {
        SystemTime::from_unix(Duration::ZERO)
    }
    fn wait(&self, deadline: Option<Instant>) {
        let deadline = deadline.expect("every task waits for something that can never happen");
        self.now.set(self.now.get().max(deadline.as_nanos()));
    }
    fn entropy(&self, seed: &mut [u8; 32]) -> bool {
        *seed = [7; 32];
        true
    }
    fn memory(&self) -> MemoryStats {
        let mut stats = MemoryStats::default();
        (stats.total, stats.free) = (8 * MIB, self.free.get());
        stats
    }
    fn leave(&self, how: Leave) -> ! {
        panic!("the guest leaves: {how:?}")
    }
}

/// Runs a test there.
pub fn run<F: Future<Output = ()>>(test: impl FnOnce(&'static Guest) -> F) {
    let guest: &Guest = Box::leak(Box::new(Guest { now: Cell::new(1), free: Cell::new(4 * MIB) }));
    block_on(guest, test(guest));
}
