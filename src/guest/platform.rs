//! The [`Platform`] of a Xen guest.

use super::HEAP;
use alloc::rc::Rc;
use fata_libos::platform::{Leave, MemoryStats, Platform};
use fata_libos::time::{Instant, SystemTime};
use fata_xen::abi::sched::{SHUTDOWN_CRASH, SHUTDOWN_POWEROFF, SHUTDOWN_REBOOT};
use fata_xen::guest::GuestHypervisor;
use fata_xen::xen::Xen;

pub(super) struct XenPlatform {
    xen: Rc<Xen>,
    hypervisor: &'static GuestHypervisor,
}

impl XenPlatform {
    pub(super) fn new(xen: Rc<Xen>, hypervisor: &'static GuestHypervisor) -> Self {
        Self { xen, hypervisor }
    }
}

impl Platform for XenPlatform {
    fn now(&self) -> Instant {
        GuestHypervisor::system_time()
    }

    fn wall_clock(&self, at: Instant) -> SystemTime {
        self.hypervisor.wall_clock(at)
    }

    fn wait(&self, deadline: Option<Instant>) {
        self.xen.wait(deadline);
    }

    fn entropy(&self, seed: &mut [u8; 32]) -> bool {
        self.hypervisor.entropy(seed)
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
