//! A platform over the fake hypervisor, for tests with tasks.

use super::FakeHypervisor;
use crate::xen::Xen;
use fata_libos::platform::{Leave, MemoryStats, Platform};
use fata_libos::testing::WALL_START;
use fata_libos::time::{Duration, Instant, SystemTime};
use std::rc::Rc;

struct FakePlatform {
    hv: &'static FakeHypervisor,
    xen: Rc<Xen>,
}

impl Platform for FakePlatform {
    fn now(&self) -> Instant {
        self.hv.now()
    }
    fn wall_clock(&self, at: Instant) -> SystemTime {
        SystemTime::from_unix(WALL_START + Duration::from_nanos(at.as_nanos()))
    }
    fn wait(&self, deadline: Option<Instant>) {
        self.xen.wait(deadline);
    }
    fn entropy(&self, seed: &mut [u8; 32]) -> bool {
        *seed = [7; 32];
        true
    }
    fn memory(&self) -> MemoryStats {
        MemoryStats::default()
    }
    fn leave(&self, how: Leave) -> ! {
        panic!("the guest leaves: {how:?}")
    }
}

/// Runs `test` and what it spawns on a new fake hypervisor, in virtual time.
///
/// # Panics
/// If all tasks wait, no peer does anything, and no timer is set: the test hangs.
pub fn run<R>(test: impl AsyncFnOnce(&'static FakeHypervisor, Rc<Xen>) -> R) -> R {
    let hv = FakeHypervisor::new();
    let xen = Xen::new(hv);
    let platform = Box::leak(Box::new(FakePlatform { hv, xen: xen.clone() }));
    fata_libos::task::block_on(platform, test(hv, xen))
}
