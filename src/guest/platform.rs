//! The [`Platform`] of a guest, with Xen below it or without.

use super::HEAP;
use alloc::rc::Rc;
use fata_libos::entropy::{Pool, Source};
use fata_libos::platform::{Leave, MemoryStats, Platform};
use fata_libos::time::{Instant, SystemTime};
use fata_xen::abi::sched::{SHUTDOWN_CRASH, SHUTDOWN_POWEROFF, SHUTDOWN_REBOOT};
use fata_xen::guest::{self, GuestHypervisor};
use fata_xen::machine;
use fata_xen::xen::Xen;

pub(super) struct GuestPlatform {
    xen: Option<Rc<Xen>>,
    hypervisor: &'static GuestHypervisor,
}

impl GuestPlatform {
    pub(super) fn new(xen: Option<Rc<Xen>>, hypervisor: &'static GuestHypervisor) -> Self {
        Self { xen, hypervisor }
    }
}

/// See `fata_libos::entropy`: what the processor and the hypervisor have, and the machine.
#[unsafe(no_mangle)]
extern "Rust" fn fata_seed(pool: &mut Pool<'_>) {
    guest::gather(pool);
    let mut octets = [0; 32];
    if pool.wants_more() && machine::boot().is_some_and(|boot| fata_virtio::seed(&boot, &mut octets)) {
        // Zeros, where it gives none: they are not counted, and said.
        pool.absorb_seed(Source::Virtio, &mut octets, 256);
    }
}

/// See `fata_libos::platform::Platform::generation`.
#[unsafe(no_mangle)]
extern "Rust" fn fata_generation() -> u64 {
    guest::generation()
}

/// See `fata_libos::platform::Platform::fresh`.
#[unsafe(no_mangle)]
extern "Rust" fn fata_fresh() -> u64 {
    guest::fresh()
}

impl Platform for GuestPlatform {
    fn now(&self) -> Instant {
        GuestHypervisor::system_time()
    }

    fn resumed(&self) -> Instant {
        GuestHypervisor::resumed()
    }

    fn wall_clock(&self, at: Instant) -> SystemTime {
        self.hypervisor.wall_clock(at)
    }

    fn wait(&self, deadline: Option<Instant>) {
        match &self.xen {
            Some(xen) => xen.wait(deadline),
            None => machine::wait(deadline),
        }
    }

    fn memory(&self) -> MemoryStats {
        let mut stats = self.hypervisor.memory();
        let (mapped, used) = HEAP.usage();
        stats.heap = mapped as u64;
        stats.heap_used = used as u64;
        stats.free += stats.heap.saturating_sub(stats.heap_used);
        stats
    }

    fn leave(&self, how: Leave) -> ! {
        GuestHypervisor::shutdown(match how {
            Leave::PowerOff => SHUTDOWN_POWEROFF,
            Leave::Reboot => SHUTDOWN_REBOOT,
            Leave::Crash => SHUTDOWN_CRASH,
        })
    }
}
