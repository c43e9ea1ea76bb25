//! Runs the boot tests, one after the other, on one host, with Xen or without; starts the host again when a test has left it
//! unusable.

use std::fs;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::report::Report;
use crate::boot_tests::{self, BootTest, free_port};
use crate::xen_host::Host;
use crate::xen_host::qemu::{Forward, Options};
use crate::{interrupt, ui};

const KEEP_LIMIT: Duration = Duration::from_secs(30);

/// The tests whose names contain `filter`; the long ones only if asked for.
pub fn select(filter: &str, long: bool) -> Vec<BootTest> {
    super::all_boot_tests()
        .into_iter()
        .filter(|test| test.full_name().contains(filter) && (long || !test.long))
        .collect()
}

/// Runs those that need no Xen host, a report line each.
pub fn run_without_xen(tests: &[&BootTest], logs: &Path, report: &Report) -> Result<()> {
    run_on(|| Host::without_xen(&logs.join("qemu")), tests, logs, report)
}

/// Runs the others, on one Xen host.
pub fn run_on_xen(tests: &[&BootTest], logs: &Path, report: &Report) -> Result<()> {
    let memory_mb = tests.iter().map(|test| test.host_memory_mb).max().unwrap_or_default();
    let log = logs.join("serial.log");
    let port = boot_tests::FORWARDED;
    let forward = Forward { host_port: free_port()?, guest: Ipv4Addr::new(10, 0, 2, 15), guest_port: port };
    let options = Options { memory_mb, forwards: vec![forward], disks: Vec::new(), log, gdb_port: None };
    run_on(|| Host::boot(options.clone()), tests, logs, report)
}

fn run_on(boot: impl Fn() -> Result<Host>, tests: &[&BootTest], logs: &Path, report: &Report) -> Result<()> {
    let mut host: Option<Host> = None;
    for test in tests {
        interrupt::check()?;
        let alive = host.as_mut().is_some_and(Host::is_alive);
        let ready = match &mut host {
            Some(_) if alive => Ok(()),
            Some(host) => host.restart(),
            None => boot().map(|booted| host = Some(booted)),
        };
        match (ready, host.as_mut()) {
            (Ok(()), Some(host)) => run_one(test, host, logs, report),
            (Err(error), _) => {
                report.failed(&test.full_name(), None, &format!("no host: {error:#}"));
                host = None;
            }
            (Ok(()), None) => {}
        }
    }
    Ok(())
}

fn run_one(test: &BootTest, host: &mut Host, logs: &Path, report: &Report) {
    let name = test.full_name();
    let guests_before = host.guests_made();
    host.set_kind(test.kind);
    let started = Instant::now();
    interrupt::set_limit(Some(test.limit));
    let outcome = catch_unwind(AssertUnwindSafe(|| (test.run)(host)))
        .unwrap_or_else(|panic| Err(panic_message(&*panic)));
    interrupt::set_limit(None);
    match outcome {
        Ok(()) => report.passed(&name, Some(started.elapsed())),
        Err(_) if interrupt::requested() => return,
        Err(error) => {
            let kept = keep_logs(test, host, guests_before, logs).unwrap_or_else(|error| {
                ui::warn(format!("not all logs could be kept: {error:#}"));
                logs.to_owned()
            });
            report.failed(&name, Some(started.elapsed()), &format!("{error:#}\n  logs: {}", kept.display()));
        }
    }
    if let Err(error) = host.destroy_guests() {
        ui::warn(format!("cannot clean up after {name}: {error:#}"));
    }
}

/// Keeps what a failed test leaves to look at: the consoles of its guests, `xl`'s and Xen's logs, the serial log.
fn keep_logs(test: &BootTest, host: &Host, guests_before: u32, logs: &Path) -> Result<PathBuf> {
    let folder = logs.join(test.full_name().replace("::", "-"));
    fs::create_dir_all(&folder)?;
    if !host.has_xen() {
        for number in guests_before + 1..=host.guests_made() {
            keep_console(number, &logs.join("qemu"), &folder)?;
        }
        return Ok(folder);
    }
    if let Some(serial) = host.serial_log() {
        fs::copy(serial, folder.join("serial.log")).context("the serial log")?;
    }
    let names = host.sh("ls /var/log/xen; xl list > /var/log/xen/xl-list.txt", KEEP_LIMIT)?.ok()?.stdout;
    for name in names.lines().filter(|name| is_of_test(name, guests_before, host.guests_made())) {
        fs::write(folder.join(name), host.get(&format!("/var/log/xen/{name}"))?)?;
    }
    fs::write(folder.join("xl-dmesg.txt"), host.xl_dmesg()?)?;
    Ok(folder)
}

/// Keeps the console of a guest without Xen.
fn keep_console(number: u32, from: &Path, to: &Path) -> Result<()> {
    let end = format!("-{number}.log");
    for entry in fs::read_dir(from)?.flatten().filter(|e| e.file_name().to_string_lossy().ends_with(&end)) {
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// `guest-web-7.log` is of the test that made guest 7.
fn is_of_test(name: &str, before: u32, after: u32) -> bool {
    let number = name.split('.').next().and_then(|stem| stem.rsplit('-').next()?.parse().ok());
    number.is_none_or(|number: u32| (before + 1..=after).contains(&number))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> anyhow::Error {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    anyhow!("panicked: {}", text.unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_told_apart_by_the_number_in_the_name() {
        assert!(is_of_test("guest-web-7.log", 6, 7));
        assert!(!is_of_test("guest-web-7.log", 7, 8));
        assert!(is_of_test("xen-hotplug.log", 7, 8));
    }
}
