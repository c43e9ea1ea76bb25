//! The usual tools on an appliance that runs as a process: gdb, perf, a sanitizer. That plain `#[test]` works is shown by the
//! tests in `tests/`, which are such.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::OwnTest;
use crate::boot_tests::free_port;
use crate::command;
use crate::setup::packages;
use crate::workspace::Workspace;

/// The tests of this topic.
pub const TESTS: [OwnTest; 3] = [
    OwnTest::new("process::gdb_stops_in_an_appliance", gdb),
    OwnTest::new("process::perf_names_its_functions", perf).long(),
    OwnTest::new("process::address_sanitizer_finds_a_fault", address_sanitizer).long(),
];

/// A breakpoint in a function of the appliance, by its name, is reached when a client connects.
fn gdb(workspace: &Workspace) -> Result<()> {
    let echo = workspace.find("echo", true)?.build_for_debuggers()?;
    let port = free_port()?;
    let mut gdb = Command::new("gdb");
    gdb.args(["-batch", "-iex", "set debuginfod enabled off", "-ex", "set breakpoint pending off"]);
    for line in ["break echo::echo", "run", "backtrace", "info args", "kill"] {
        gdb.args(["-ex", line]);
    }
    gdb.arg("--args").arg(echo).arg(format!("port={port}"));
    let mut gdb = Running(start(&mut gdb)?);
    let mut lines = BufReader::new(gdb.0.stdout.take().context("no output")?).lines();
    let mut said = String::new();
    let mut client = None;
    while let Some(line) = lines.next().transpose()? {
        said += &format!("{line}\n");
        if line.contains(&format!("echo on port {port}")) {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            client = Some(TcpStream::connect_timeout(&address, Duration::from_secs(10))?);
        }
    }
    ensure!(client.is_some(), "echo did not listen:\n{said}");
    for wanted in ["Breakpoint 1, echo::echo", "examples/echo.rs:", "#1 ", "fata_process_main", "stream = "] {
        ensure!(said.contains(wanted), "no {wanted:?} in what gdb says:\n{said}");
    }
    Ok(())
}

/// A profile of the web server under load has functions of the HTTP library.
fn perf(workspace: &Workspace) -> Result<()> {
    // For this test alone, which few run: other distributions call it otherwise.
    packages::ensure(&["linux-perf"])?;
    let web = workspace.find("web", false)?.build_for_profiles()?;
    let port = free_port()?;
    let data = std::env::temp_dir().join(format!("fata-{}.perf", std::process::id()));
    let mut perf = Command::new("perf");
    perf.args(["record", "--quiet", "-F", "2000", "-e", "cpu-clock", "-o"]).arg(&data);
    perf.arg("--").arg(web).arg(format!("port={port}"));
    let mut perf = Running(start(&mut perf)?);
    let mut lines = BufReader::new(perf.0.stdout.take().context("no output")?).lines();
    let serves = lines.any(|line| line.is_ok_and(|line| line.contains(&format!("on port {port}"))));
    ensure!(
        serves,
        "under perf the web server does not start: is the sysctl kernel.perf_event_paranoid too strict?"
    );
    let url = format!("http://127.0.0.1:{port}/4k.html?[1-2000]");
    command::run(Command::new("curl").args(["-sf", "-m", "60", "-o", "/dev/null", &url]))?;
    // perf passes no signal on, but ends the recording when its child has ended.
    let pid = perf.0.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let web = children.trim().parse().with_context(|| format!("the children of perf: {children:?}"))?;
    // SAFETY: kill(2) touches no memory; perf has not ended, so that its child is there at least as a number.
    unsafe { libc::kill(web, libc::SIGTERM) };
    ensure!(perf.0.wait()?.success(), "perf failed");
    let report = command::run(Command::new("perf").args(["report", "--stdio", "-i"]).arg(&data));
    let _ = fs::remove_file(&data);
    let report = report?.stdout;
    ensure!(
        report.contains("fata_http"),
        "no function of fata_http in the profile:\n{}",
        command::last_lines(&report, 40)
    );
    Ok(())
}

/// Built with the sanitizer, the appliance that reads behind a block of its heap ends with a report that names the line; one
/// that does nothing wrong ends in order.
fn address_sanitizer(workspace: &Workspace) -> Result<()> {
    const HOST: &str = "x86_64-unknown-linux-gnu";
    let mut build = crate::cargo::command();
    build.args(["build", "--quiet", "--package", "guests", "--bin", "probe", "--target", HOST]);
    build.env("RUSTFLAGS", "-Zsanitizer=address").env("RUSTC_BOOTSTRAP", "1");
    // As the check of the host tests, which has the same flags.
    command::run(build.current_dir(&workspace.root))?;
    let probe = workspace.target_dir.join(HOST).join("debug/probe");
    let run = |case: &str| {
        let mut probe = Command::new(&probe);
        probe.arg(format!("case={case}")).env("ASAN_OPTIONS", "detect_leaks=0").stdin(Stdio::null()).output()
    };
    let good = run("clock")?;
    let said = String::from_utf8_lossy(&good.stderr).into_owned();
    ensure!(good.status.success() && !said.contains("AddressSanitizer"), "where nothing is wrong:\n{said}");
    let bad = run("read-behind-heap")?;
    let said = String::from_utf8_lossy(&bad.stderr).into_owned();
    ensure!(!bad.status.success(), "it ended in order:\n{said}");
    for wanted in
        ["AddressSanitizer: heap-buffer-overflow", "read_behind_heap", "tests/guests/src/faults.rs:"]
    {
        ensure!(said.contains(wanted), "no {wanted:?} in what it says:\n{said}");
    }
    Ok(())
}

fn start(command: &mut Command) -> Result<Child> {
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
    started.with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))
}

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
