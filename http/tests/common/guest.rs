//! A guest of 8 MiB in virtual time, whose free memory a test sets.
#![allow(dead_code, reason = "each test file uses its part")]

use fata_libos::platform::MemoryStats;
use fata_libos::testing::run_with_memory;
use std::cell::Cell;
use std::future::Future;

/// 2^20 octets.
pub const MIB: u64 = 1 << 20;
/// What is kept free of 8 MiB.
pub const RESERVE: u64 = MIB / 2;
/// The same when content is sent.
pub const FOR_CONTENT: u64 = 3 * MIB;

/// What a test sets.
pub struct Guest {
    pub free: Cell<u64>,
}

/// So much of 8 MiB is free.
pub fn memory(free: u64) -> MemoryStats {
    let mut stats = MemoryStats::default();
    (stats.total, stats.free) = (8 * MIB, free);
    stats
}

/// Runs a test there.
pub fn run<F: Future<Output = ()>>(test: impl FnOnce(&'static Guest) -> F) {
    let guest: &Guest = Box::leak(Box::new(Guest { free: Cell::new(4 * MIB) }));
    run_with_memory(|| memory(guest.free.get()), test(guest));
}
