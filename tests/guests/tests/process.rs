//! The cases of the boot tests that a process has too: ways to end, console, clocks.

use fata::testing::{Process, Signal};
use std::os::unix::process::ExitStatusExt;

fn probe(case: &str) -> Process {
    Process::start(env!("CARGO_BIN_EXE_probe"), [format!("case={case}"), "log=info,probe=debug".into()])
}

/// The exit status, or what a shell makes of a signal.
fn status(process: &mut Process) -> i32 {
    let status = process.wait();
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[test]
fn each_end_has_its_status() {
    let mut error = probe("error");
    error.wait_for("fata: this main ends with an error");
    assert_eq!(status(&mut error), 1);

    let mut panic = probe("panic");
    panic.wait_for("this panic is the test: 42");
    panic.wait_for("while running main");
    assert_eq!(status(&mut panic), 134);

    let mut panic = probe("panic-in-task");
    panic.wait_for("at the bottom");
    panic.wait_for("while running the task spawned at tests/guests/src/main.rs:");
    assert_eq!(status(&mut panic), 134);
}

#[test]
fn output_before_a_crash_arrives() {
    let mut flood = probe("flood");
    flood.wait_for("after the flood");
    flood.wait_for("line 999 of a flood");
    let said = flood.said();
    let lines = said.lines().filter(|line| line.ends_with("that must arrive before the crash")).count();
    assert_eq!((lines, status(&mut flood)), (1000, 134));
}

#[test]
fn a_request_to_leave_is_heard_in_order() {
    for (signal, how, code) in [
        (Signal::TERM, "PowerOff", 0),
        (Signal::INT, "PowerOff", 0),
        (Signal::HUP, "PowerOff", 0),
        (Signal::USR1, "Reboot", 75),
    ] {
        let mut process = probe("shutdown");
        process.wait_for("waiting");
        process.signal(signal);
        process.wait_for(&format!("leaving in order: {how}"));
        assert_eq!(status(&mut process), code, "{signal:?}");
    }
}

#[test]
fn who_does_not_listen_is_ended_at_once() {
    let process = probe("deaf");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn a_second_interrupt_does_not_wait() {
    let mut process = probe("shutdown");
    process.wait_for("waiting");
    process.signal(Signal::INT);
    process.wait_for("asked to leave");
    process.signal(Signal::INT);
    assert_eq!(status(&mut process), 130);
}

#[test]
fn lines_come_in_and_go_out() {
    let mut console = probe("console");
    console.wait_for("type");
    console.type_line("hello");
    console.wait_for("5 octets: hello");
    console.type_line("grüße\r");
    console.wait_for("7 octets: grüße");
    console.type_line(&"x".repeat(5000));
    console.wait_for("a line was too long: 904 octets dropped");
    console.wait_for("4096 octets: x");
    console.type_line("end");
    console.wait_for("3 octets: end");
    assert_eq!(status(&mut console), 0);
}

#[test]
fn the_end_of_input_is_no_line() {
    let mut console = probe("console");
    console.type_line("last");
    console.end_input();
    console.wait_for("4 octets: last");
    assert_eq!(status(&mut console), 0);
}

#[test]
fn time_passes_as_it_should() {
    let mut timers = probe("timers");
    timers.wait_for("timers done");
    assert_eq!(status(&mut timers), 0);
    let mut even = probe("even");
    even.wait_for("evenly");
    assert_eq!(status(&mut even), 0);
    let mut clock = probe("clock");
    assert_eq!(status(&mut clock), 0);
    let line = clock.wait_for("wall ");
    let seconds: u64 = line.split(' ').nth(1).unwrap().parse().unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now.abs_diff(seconds) <= 2, "{line}, and it is {now}");
}

#[test]
fn the_log_is_filtered() {
    let mut log = probe("log");
    log.wait_for("DEBUG probe: a detail");
    log.wait_for("INFO  other::inner: some news");
    assert_eq!(status(&mut log), 0);
    let said = log.said();
    assert!(!said.contains("DEBUG other::inner"), "{said}");
}

#[test]
fn names_are_resolved_as_the_host_does() {
    let mut resolve = Process::start(env!("CARGO_BIN_EXE_resolve"), [""; 0]);
    resolve.wait_for("type names");
    resolve.type_line("localhost 192.0.2.7 a..b");
    let invalid = resolve.wait_for("a..b in");
    assert!(invalid.ends_with(": invalid argument"), "{invalid}");
    let local = resolve.wait_for("localhost in");
    assert!(local.ends_with(": 127.0.0.1"), "{local}");
    resolve.wait_for("192.0.2.7 in");
    resolve.end_input();
    assert_eq!(status(&mut resolve), 0);
}
