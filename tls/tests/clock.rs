//! A guest whose clock is not set.

mod common;

use common::*;
use fata_libos::platform::{Leave, MemoryStats, Platform};
use fata_libos::task::block_on;
use fata_libos::time::{Duration, Instant, SystemTime};
use std::cell::Cell;

/// A machine that was switched on in 1970, a day ago.
struct Unset(Cell<u64>);

impl Platform for Unset {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.get())
    }
    fn wall_clock(&self, _: Instant) -> SystemTime {
        SystemTime::from_unix(Duration::from_secs(86_400))
    }
    fn wait(&self, deadline: Option<Instant>) {
        let deadline = deadline.expect("every task waits for something that can never happen");
        self.0.set(self.0.get().max(deadline.as_nanos()));
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

#[test]
fn certificates_are_not_checked_by_a_clock_that_is_not_set() {
    block_on(Box::leak(Box::new(Unset(Cell::new(1)))), async {
        let (a, b) = duplex(10_000);
        let error = connector().connect("server.test", b).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the clock says 1970-01-02T00:00:00Z, which cannot be: certificates cannot be checked"
        );
        assert_eq!(a.input.borrow().total, 0, "nothing was sent");
    });
}
