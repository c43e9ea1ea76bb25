//! A guest whose clock is not set.

mod common;

use common::*;
use fata_libos::testing::{VirtualPlatform, run_on};
use fata_libos::time::Duration;

#[test]
fn certificates_are_not_checked_by_a_clock_that_is_not_set() {
    // Switched on in 1970, a day ago.
    let platform = VirtualPlatform::new();
    platform.wall_start.set(Duration::from_secs(86_400));
    run_on(platform, async {
        let (a, b) = duplex(10_000);
        let error = connector().connect("server.test", b).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the clock says 1970-01-02T00:00:00Z, which cannot be: certificates cannot be checked"
        );
        assert_eq!(a.input.borrow().total, 0, "nothing was sent");
    });
}
