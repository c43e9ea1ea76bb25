//! Runs the boot tests, one after the other on a host, with Xen or without; starts the host again when a test has left it
//! unusable. Once the machine has nothing else to do, a second Xen host takes tests from the end of the line.

use std::collections::VecDeque;
use std::fs;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};

use super::report::Report;
use crate::boot_tests::{self, BootTest, free_port};
use crate::xen_host::Host;
use crate::xen_host::qemu::{Backward, Forward, Options};
use crate::{interrupt, ui};

const KEEP_LIMIT: Duration = Duration::from_secs(30);
/// For fewer tests than this a second host is not started: it takes as long as some of them.
const WORTH_A_HOST: usize = 8;
const KIB_OF_MIB: u64 = 1024;

/// Tests that are yet to be run; several hosts may take from it.
pub struct Line<'t>(Mutex<VecDeque<&'t BootTest>>);

impl<'t> Line<'t> {
    /// These, in their order.
    pub fn new(tests: &[&'t BootTest]) -> Self {
        Self(Mutex::new(tests.iter().copied().collect()))
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.left().is_empty()
    }

    /// Takes all that are left; how many they were.
    pub fn clear(&self) -> usize {
        std::mem::take(&mut *self.left()).len()
    }

    /// Puts one back that could not be run, to the end.
    fn put_back(&self, test: &'t BootTest) {
        self.left().push_back(test);
    }

    /// Takes the one that is first.
    fn first(&self) -> Option<&'t BootTest> {
        self.left().pop_front()
    }

    /// Takes the last one for which a host with so much memory will do.
    fn last(&self, memory_mb: u32) -> Option<&'t BootTest> {
        let mut left = self.left();
        let place = left.iter().rposition(|test| test.host_memory_mb <= memory_mb)?;
        left.remove(place)
    }

    fn left(&self) -> MutexGuard<'_, VecDeque<&'t BootTest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tests whose names contain `filter`; the long ones only if asked for.
pub fn select(filter: &str, long: bool) -> Vec<BootTest> {
    super::all_boot_tests()
        .into_iter()
        .filter(|test| test.full_name().contains(filter) && (long || !test.long))
        .collect()
}

/// Runs those that need no Xen host, a report line each. Their guests' consoles are kept in a folder of that name.
pub fn run_without_xen(tests: &[&BootTest], name: &str, logs: &Path, report: &Report) -> Result<()> {
    let line = Line::new(tests);
    let boot = || Host::without_xen(&logs.join(name));
    run_on(boot, || line.first(), |test, error| fails(test, error, report), logs, report)
}

/// Runs the others, on a Xen host, from the first on.
pub fn run_on_xen(line: &Line<'_>, logs: &Path, report: &Report) -> Result<()> {
    let memory_mb = line.left().iter().map(|test| test.host_memory_mb).max().unwrap_or_default();
    let options = options(memory_mb, logs.join("serial.log"))?;
    let boot = || Host::boot(options.clone());
    run_on(boot, || line.first(), |test, error| fails(test, error, report), logs, report)
}

/// Runs those from the last on, on a Xen host beside the one that has begun with the first.
pub fn help_on_xen(line: &Line<'_>, logs: &Path, report: &Report) -> Result<()> {
    let memory_mb = boot_tests::HOST_MEMORY_MB;
    if line.left().len() < WORTH_A_HOST {
        return Ok(());
    }
    let free = memory_free_mib(&fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?);
    if free < u64::from(memory_mb) {
        ui::warn(format!("no second Xen host: it takes {memory_mb} MiB, and {free} MiB are free"));
        return Ok(());
    }
    let options = options(memory_mb, logs.join("serial-2.log"))?;
    let boot = || Host::boot(options.clone());
    // The first host has all that is left then.
    let gives_up = |test, error: &Error| {
        line.put_back(test);
        ui::warn(format!("no second Xen host: {error:#}"));
        false
    };
    run_on(boot, || line.last(memory_mb), gives_up, logs, report)
}

/// A test without a host has failed; the next one may have one.
fn fails(test: &BootTest, error: &Error, report: &Report) -> bool {
    report.failed(&test.full_name(), None, &format!("no host: {error:#}"));
    true
}

fn options(memory_mb: u32, log: PathBuf) -> Result<Options> {
    let guest = Ipv4Addr::new(10, 0, 2, 15);
    let forwards = boot_tests::FORWARDED
        .map(|guest_port| Ok(Forward { host_port: free_port()?, guest, guest_port }))
        .into_iter()
        .collect::<Result<Vec<Forward>>>()?;
    let backward = |address| Backward { address, socket: boot_tests::temporary("socket") };
    let backwards = boot_tests::BACKWARDS.map(backward).into();
    Ok(Options { memory_mb, forwards, backwards, disks: Vec::new(), log, gdb_port: None })
}

/// What Linux says programs may still take, of `/proc/meminfo`.
fn memory_free_mib(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / KIB_OF_MIB
}

/// Runs one test after the other; where there is no host for one, `no_host` says whether to go on.
fn run_on<'t>(
    boot: impl Fn() -> Result<Host>,
    next: impl Fn() -> Option<&'t BootTest>,
    no_host: impl Fn(&'t BootTest, &Error) -> bool,
    logs: &Path,
    report: &Report,
) -> Result<()> {
    let mut host: Option<Host> = None;
    while let Some(test) = next() {
        interrupt::check()?;
        let alive = host.as_mut().is_some_and(Host::is_alive);
        let ready = match &mut host {
            Some(_) if alive => Ok(()),
            Some(host) => host.restart(),
            None => boot().map(|booted| host = Some(booted)),
        };
        match (ready, host.as_mut()) {
            (Ok(()), Some(host)) => run_one(test, host, logs, report),
            (Err(error), _) if no_host(test, &error) => host = None,
            (Err(_), _) => break,
            (Ok(()), None) => {}
        }
    }
    Ok(())
}

fn run_one(test: &BootTest, host: &mut Host, logs: &Path, report: &Report) {
    let name = test.full_name();
    let guests_before = host.guests_made();
    host.set_kind(test.kind);
    interrupt::set_limit(Some(test.limit));
    let (outcome, took) = interrupt::timed(|| catch_unwind(AssertUnwindSafe(|| (test.run)(host))));
    interrupt::set_limit(None);
    let outcome = outcome.unwrap_or_else(|panic| Err(panic_message(&*panic)));
    match outcome {
        Ok(()) => report.passed(&name, Some(took)),
        Err(_) if interrupt::requested() => return,
        Err(error) => {
            let kept = keep_logs(test, host, guests_before, logs).unwrap_or_else(|error| {
                ui::warn(format!("not all logs could be kept: {error:#}"));
                logs.to_owned()
            });
            report.failed(&name, Some(took), &format!("{error:#}\n  logs: {}", kept.display()));
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
    if let Some(consoles) = host.logs_without_xen() {
        for number in guests_before + 1..=host.guests_made() {
            keep_console(number, consoles, &folder)?;
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

    #[test]
    fn hosts_take_from_both_ends_what_they_have_memory_for() {
        const fn named(name: &'static str) -> BootTest {
            BootTest::new(name, 1, |_| Ok(()))
        }
        let (a, b, large) = (named("a"), named("b"), named("large").host_memory(10_500));
        let line = Line::new(&[&a, &b, &large]);
        assert_eq!(line.last(boot_tests::HOST_MEMORY_MB).map(|test| test.name), Some("b"));
        assert_eq!(line.first().map(|test| test.name), Some("a"));
        assert!(line.last(boot_tests::HOST_MEMORY_MB).is_none());
        assert_eq!(line.first().map(|test| test.name), Some("large"));
        assert!(line.is_empty() && line.first().is_none());
        line.put_back(&a);
        assert_eq!(line.first().map(|test| test.name), Some("a"));
    }

    #[test]
    fn memory_is_what_linux_says_is_available() {
        let text = "MemTotal:       24600000 kB\nMemFree:         1000000 kB\nMemAvailable:    8192000 kB\n";
        assert_eq!(memory_free_mib(text), 8000);
        assert_eq!(memory_free_mib("MemTotal: 5 kB\n"), 0);
    }
}
