//! The tests that run on this machine: `cargo test` of the whole workspace.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::checks::FEATURES;
use super::libtest::{self, Line, Outcome};
use super::report::Report;
use crate::{cargo, interrupt, ui};

/// What comes before the crate in a host test's name.
const PREFIX: &str = "host::";

/// How long `--long` lets each target of `fuzz/` run, seconds.
const FUZZ_SECONDS: u64 = 60;

/// All of them together, but for compiling, and with `--long`: there the fuzz targets alone take half an hour.
const LIMIT: Duration = Duration::from_secs(30 * 60);
const LONG_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Kills a process group when its time is up or the user interrupts, until it is dropped.
struct Watchdog {
    over: Arc<AtomicBool>,
    bitten: Arc<AtomicBool>,
}

impl Watchdog {
    fn over(pid: u32, limit: Duration) -> Self {
        let watchdog = Self { over: Arc::default(), bitten: Arc::default() };
        let (over, bitten) = (watchdog.over.clone(), watchdog.bitten.clone());
        let started = Instant::now();
        std::thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let late = started.elapsed() > limit;
                if late || interrupt::requested() {
                    bitten.store(late, Ordering::SeqCst);
                    // SAFETY: kill(2) touches no memory; the group's leader is waited for only after its output has ended.
                    unsafe { libc::kill(-(pid as i32), libc::SIGKILL) };
                    return;
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        watchdog
    }

    fn has_bitten(&self) -> bool {
        self.bitten.load(Ordering::SeqCst)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// Whether a filter is for these tests.
pub fn wanted(filter: &str) -> bool {
    filter.is_empty() || filter.starts_with("host")
}

/// Runs them all, a report line each; everything said is kept in a log. With `long` the fuzz targets have more time, and
/// inputs that no run before had.
pub fn run(filter: &str, long: bool, logs: &Path, report: &Report) -> Result<()> {
    let log_path = logs.join("host-tests.log");
    let mut log = File::create(&log_path)?;
    let (reader, writer) = std::io::pipe()?;
    let started = Instant::now();
    // By itself, so that compilers make room for guests, and tests need not; what does not compile is said below.
    let mut compiler = cargo::compiling();
    compiler.args(["test", "--quiet", "--no-run", "--workspace", "--features", FEATURES]);
    compiler
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot start cargo")?;
    report.spent(&format!("{PREFIX}compiling"), started.elapsed());
    let mut cargo = cargo::command();
    if long {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64;
        ui::say(format!("fuzzing for {FUZZ_SECONDS} s a target, from FATA_FUZZ_SEED={seed} on"));
        cargo.env("FATA_LONG", "1");
        cargo.env("FATA_FUZZ_SECONDS", FUZZ_SECONDS.to_string()).env("FATA_FUZZ_SEED", seed.to_string());
    }
    cargo.args(["test", "--workspace", "--features", FEATURES, "--no-fail-fast"]);
    let name_filter =
        filter.strip_prefix(PREFIX).map_or(filter, |rest| rest.split_once("::").map_or("", |(_, test)| test));
    if !name_filter.is_empty() && name_filter != "host" {
        cargo.args(["--", name_filter]);
    }
    // One pipe for both, so that "Running ..." stays before the tests that it announces.
    cargo.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    // A group of its own, so that a test that hangs can be ended with all that it has started.
    let limit = if long { LONG_LIMIT } else { LIMIT };
    let mut child = cargo.process_group(0).spawn().context("cannot start cargo")?;
    drop(cargo);
    let watchdog = Watchdog::over(child.id(), limit);
    // What comes before the first program is cargo's.
    let (mut name, mut failures, mut since) = ("cargo test".to_owned(), 0, Instant::now());
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(log, "{line}")?;
        match libtest::parse(&line) {
            Line::Crate(program) => {
                report.spent(&format!("{PREFIX}{name}"), since.elapsed());
                (name, since) = (program, Instant::now());
            }
            Line::Test(test, Outcome::Passed) => report.passed(&format!("{PREFIX}{name}::{test}"), None),
            Line::Test(test, Outcome::Failed) => {
                failures += 1;
                report.failed(
                    &format!("{PREFIX}{name}::{test}"),
                    None,
                    &format!("see {}", log_path.display()),
                );
            }
            Line::Test(_, Outcome::Ignored) | Line::Other => {}
        }
    }
    report.spent(&format!("{PREFIX}{name}"), since.elapsed());
    interrupt::check()?;
    if watchdog.has_bitten() {
        let reason = format!("no end after {} minutes; see {}", limit.as_secs() / 60, log_path.display());
        report.failed("host::time-limit", None, &reason);
    }
    // A crate that does not compile, or a test that takes the program with it, has no line of its own.
    if !child.wait()?.success() && failures == 0 {
        let said = std::fs::read_to_string(&log_path).unwrap_or_default();
        let tail = crate::command::last_lines(&said, 25);
        report.failed(
            "host::cargo-test",
            None,
            &format!("`cargo test --workspace` failed; see {}\n{tail}", log_path.display()),
        );
    }
    Ok(())
}
