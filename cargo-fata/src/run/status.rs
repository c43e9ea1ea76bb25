//! The exit statuses of `run` and `exec`. 1 is an error of the tool's own.

use std::process::ExitCode;

use crate::xen_host::guest::End;

/// The guest crashed.
const CRASHED: u8 = 99;
/// It crashed by a panic, and said so: Xen has one reason for all crashes.
const PANICKED: u8 = 101;
/// Added to the number of the signal that ended a process, as shells do.
const SIGNALLED: i32 = 128;

/// The status for how a guest ended.
pub fn of_guest(end: End, has_panicked: bool) -> ExitCode {
    match end {
        End::PowerOff => ExitCode::SUCCESS,
        End::Crash if has_panicked => PANICKED.into(),
        End::Crash => CRASHED.into(),
        _ => ExitCode::FAILURE,
    }
}

/// The status for a process: its own, or what a shell makes of its signal.
pub fn of_process(code: Option<i32>, signal: Option<i32>) -> ExitCode {
    let status = code.or_else(|| signal.map(|signal| SIGNALLED + signal));
    status.and_then(|status| u8::try_from(status).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_how_it_ended() {
        for (status, wanted) in [
            (of_guest(End::PowerOff, false), 0),
            (of_guest(End::Crash, false), 99),
            (of_guest(End::Crash, true), 101),
            (of_guest(End::Destroyed, false), 1),
            (of_process(Some(64), None), 64),
            (of_process(None, Some(libc::SIGABRT)), 134),
            (of_process(None, None), 1),
        ] {
            assert_eq!(format!("{status:?}"), format!("{:?}", ExitCode::from(wanted)));
        }
    }
}
