//! Exit statuses of an appliance's process.
//!
//! A panic ends it with `SIGABRT`, which a shell shows as 134: debuggers stop there.

use fata_libos::platform::Leave;

/// It ended in order, by itself or because it was asked to.
pub const POWER_OFF: i32 = 0;
/// Its `main` ended with an error.
pub const FAILED: i32 = 1;
/// A boot parameter makes no sense (`sysexits.h`: EX_USAGE).
pub const USAGE: i32 = 64;
/// The host refuses what every appliance needs (`sysexits.h`: EX_OSERR).
pub const HOST: i32 = 71;
/// It wants to be started again (`sysexits.h`: EX_TEMPFAIL).
pub const REBOOT: i32 = 75;
/// The user pressed Ctrl-C a second time, and did not wait.
pub const INTERRUPTED: i32 = 130;

/// The status for a way to leave.
pub const fn status(how: Leave) -> i32 {
    match how {
        Leave::PowerOff => POWER_OFF,
        Leave::Reboot => REBOOT,
        Leave::Crash => FAILED,
    }
}
