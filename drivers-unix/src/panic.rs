//! A panic ends the process: what it says, what the loop was doing, and the calls that led there go to stderr first.

use crate::console;
use fata_libos::task::Doing;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic;

/// From now on a panic of any thread ends the process with `SIGABRT`, for a debugger to stop at.
pub fn install() {
    panic::set_hook(Box::new(|info| {
        console::flush();
        let calls = Backtrace::capture();
        eprintln!("\nfata: {info}\n{Doing}");
        match calls.status() {
            BacktraceStatus::Captured => eprintln!("{calls}"),
            _ => eprintln!("  RUST_BACKTRACE=1 in the environment shows the calls that led there"),
        }
        std::process::abort();
    }));
}
