//! Exceptions and panics: each is reported on the console, and the domain's reason is `crash`.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{BootTest, probe};
use crate::symbols;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, Kind};

const SOON: Duration = Duration::from_secs(20);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::faults::exceptions_are_reported", 240, exceptions_are_reported).on_qemu(),
    BootTest::new("boot::faults::stack_overflow_is_stopped", 60, stack_overflow_is_stopped).both().on_qemu(),
    BootTest::new("boot::faults::panic_in_a_task", 300, panic_in_a_task).on_both_boards(),
    BootTest::new("boot::faults::no_line_is_lost_before_a_crash", 60, no_line_is_lost_before_a_crash)
        .on_qemu(),
];

/// What a case does, and what must stand in its report.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("null", "page fault writing 0x0000000000000000: nothing is mapped there (a null pointer)"),
    ("write-code", "its rights forbid it (code)"),
    ("write-constant", "its rights forbid it (constants)"),
    ("execute-data", "page fault executing"),
    ("execute-heap", "page fault executing"),
    ("unmapped", "page fault reading 0x0000123456789000: nothing is mapped there"),
    ("divide", "exception 0: divide error"),
    ("invalid-opcode", "exception 6: invalid opcode"),
    ("privileged", "exception 13: general protection fault"),
];

fn exceptions_are_reported(host: &mut Host) -> Result<()> {
    // In ring 0 the fault is an unknown register's, which QEMU's software lets pass.
    let is_no_fault = |case: &str| case == "privileged" && matches!(host.kind(), Kind::Machine(_));
    let cases: Vec<_> = EXCEPTIONS.iter().filter(|(case, _)| !is_no_fault(case)).collect();
    // Some at once: xenconsoled takes a report of many small pieces in some seconds. Not as PVH: `xl` in dom0 has died of a
    // segmentation fault while other PVH guests ran, which QEMU's software for SVM is not up to.
    let at_once = if host.kind() == Kind::Pvh { 1 } else { cases.len() };
    for some in cases.chunks(at_once) {
        let guests = some.iter().map(|(case, _)| host.create(&probe(case)?)).collect::<Result<Vec<_>>>()?;
        for ((case, report), guest) in some.iter().zip(guests) {
            is_reported(case, report, &guest)?;
        }
    }
    Ok(())
}

fn is_reported(case: &str, report: &str, guest: &Guest) -> Result<()> {
    let end = guest.wait_gone(SOON)?;
    let console = guest.console();
    ensure!(end == End::Crash, "{case}: it ended with {end:?}: {console}");
    for part in [report, "  rip ffffffff80", "while running main", "  at 0xffffffff80"] {
        ensure!(console.contains(part), "{case}: no {part:?} in {console}");
    }
    Ok(())
}

/// For PV Xen cannot report an exception on a stack that is used up, and ends the domain: nothing below it is overwritten. A
/// PVH guest reports it, on a stack of its own.
fn stack_overflow_is_stopped(host: &mut Host) -> Result<()> {
    let guest = host.create(&probe("stack-overflow")?)?;
    let end = guest.wait_gone(SOON)?;
    let console = guest.console();
    ensure!(end == End::Crash, "it ended with {end:?}: {console}");
    let reported = console.contains("(the stack's guard page: stack overflow)");
    ensure!(host.kind() == Kind::Pv || reported, "it is not reported: {console}");
    Ok(())
}

fn panic_in_a_task(host: &mut Host) -> Result<()> {
    let guest = host.create(&probe("panic-in-task")?)?;
    let end = guest.wait_gone(SOON)?;
    let console = guest.console();
    ensure!(end == End::Crash, "it ended with {end:?}: {console}");
    for part in [
        "panicked at tests/guests/src/faults.rs:",
        "at the bottom",
        "while running the task spawned at tests/guests/src/main.rs:",
    ] {
        ensure!(console.contains(part), "no {part:?} in {console}");
    }
    let resolved = symbols::resolve_text(&image("probe")?, &console)?;
    ensure!(resolved.contains("probe::faults::panic_deep_inside"), "no function's name in {resolved}");
    ensure!(resolved.contains("faults.rs:"), "no place in {resolved}");
    Ok(())
}

fn no_line_is_lost_before_a_crash(host: &mut Host) -> Result<()> {
    let guest = host.create(&probe("flood")?)?;
    guest.wait_gone(SOON)?;
    let console = guest.console();
    ensure!(console.contains("after the flood"), "the panic's message is missing");
    ensure!(console.contains("line 999 of a flood"), "the last line before the crash is missing");
    let lines = (0..1000).filter(|n| console.contains(&format!("line {n} of a flood"))).count();
    ensure!(lines == 1000, "{} of 1000 lines are missing", 1000 - lines);
    Ok(())
}
