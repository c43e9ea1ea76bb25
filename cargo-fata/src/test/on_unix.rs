//! `cargo fata run --on unix`: the tool itself, as its users see it, with appliances as processes.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::OwnTest;
use crate::workspace::Workspace;

/// The tests of this topic.
pub const TESTS: [OwnTest; 5] = [
    OwnTest::new("process::run::exit_status", exit_status),
    OwnTest::new("process::run::refusals", refusals),
    OwnTest::new("process::run::disk", disk),
    OwnTest::new("process::run::reboots_until_ctrl_c", reboots_until_ctrl_c),
    OwnTest::new("process::run::leaves_with_the_tool", leaves_with_the_tool),
];

/// A process hears a signal in milliseconds; others may have the processors.
const SOON: Duration = Duration::from_secs(20);

/// `cargo fata run --on unix` with these arguments.
fn run(workspace: &Workspace, arguments: &[&str]) -> Result<Command> {
    let mut tool = Command::new(std::env::current_exe()?);
    tool.args(["run", "--on", "unix"]).args(arguments).current_dir(&workspace.root);
    tool.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(tool)
}

fn ends_with(mut tool: Command, status: i32, lines: &[&str]) -> Result<()> {
    let Output { status: ended, stdout, stderr } = tool.output()?;
    let text = [&stdout[..], &stderr].map(String::from_utf8_lossy).concat();
    for line in lines {
        ensure!(text.contains(line), "no {line:?} in {text}");
    }
    ensure!(ended.code() == Some(status), "{ended}, not status {status}: {text}");
    Ok(())
}

/// The tool ends as the process did.
fn exit_status(workspace: &Workspace) -> Result<()> {
    for (arguments, status, line) in [
        (&["hello"][..], 0, "hello from Fata"),
        (&["probe", "--param", "case=error"], 1, "this main ends with an error"),
        (&["probe", "--param", "case=panic"], 134, "fata: it crashed (signal: 6"),
        (&["probe", "--param", "colour=red"], 64, "boot parameter \"colour\" is unknown"),
    ] {
        ends_with(run(workspace, arguments)?, status, &[line])?;
    }
    Ok(())
}

/// What means nothing there is not passed over.
fn refusals(workspace: &Workspace) -> Result<()> {
    let of_guests = "--forward, --host-memory, --no-net and --type are for guests";
    for (options, line) in [
        (&["--memory", "32"][..], "--memory is for guests"),
        (&["--forward", "7777:7"], of_guests),
        (&["--host-memory", "4000"], of_guests),
        (&["--no-net"], of_guests),
        (&["--type", "pvh"], of_guests),
        (&["--machine", "q35"], "--machine is for --on qemu"),
        (&["--accel", "tcg"], "--accel is for --on qemu"),
        (&["--gdb"], "--gdb and --pcap are for guests"),
        (&["--pcap", "/nowhere/hello.pcap"], "--gdb and --pcap are for guests"),
        (&["--disk", "data=/nowhere/disk.img"], "--disk data=/nowhere/disk.img: there is no such file"),
        (&["--disk", "data=Cargo.toml"], "octets are not whole sectors of 512"),
    ] {
        ends_with(run(workspace, &[&["hello"], options].concat())?, 1, &["fata: error:", line])?;
    }
    Ok(())
}

/// A file is the appliance's disk, what it wrote is there the next time, and `,ro` is kept to.
fn disk(workspace: &Workspace) -> Result<()> {
    let file = std::env::temp_dir().join(format!("fata-on-unix-{}.img", std::process::id()));
    fs::write(&file, [0; 4096])?;
    let outcome = boots_counted_in(workspace, &file);
    fs::remove_file(&file)?;
    outcome
}

fn boots_counted_in(workspace: &Workspace, file: &Path) -> Result<()> {
    let data = format!("data={}", file.display());
    for boot in [1, 2] {
        let line = format!("boot {boot} with this disk of 4096 octets");
        ends_with(run(workspace, &["disk", "--disk", &data])?, 0, &[&line])?;
    }
    let read_only = run(workspace, &["disk", "--disk", &format!("{data},ro")])?;
    ends_with(read_only, 1, &["cannot be written: the device is read-only"])?;
    ensure!(fs::read(file)?.first_chunk() == Some(&2_u64.to_le_bytes()), "what it wrote is not in the file");
    Ok(())
}

/// Status 75 starts it again, and does not once somebody wants it to end.
fn reboots_until_ctrl_c(workspace: &Workspace) -> Result<()> {
    let mut tool = Tool::start(run(workspace, &["probe", "--param", "case=reboot"])?)?;
    for _ in 0..3 {
        tool.wait_for("once more")?;
    }
    tool.signal(libc::SIGINT);
    let status = tool.wait_end()?;
    let mut said = String::new();
    tool.child.stderr.take().context("no stderr")?.read_to_string(&mut said)?;
    let again = said.matches("it asked for a reboot: starting it again").count();
    ensure!(status == Some(0) && again >= 2, "status {status:?}, started again {again} times: {said}");
    Ok(())
}

/// A signal for the tool alone asks the process to leave; of a tool that is killed nothing is left.
fn leaves_with_the_tool(workspace: &Workspace) -> Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut tool = Tool::start(run(workspace, &["probe", "--param", "case=shutdown"])?)?;
        tool.wait_for("waiting")?;
        tool.signal(signal);
        tool.wait_for("leaving in order: PowerOff")?;
        let status = tool.wait_end()?;
        ensure!(status == Some(0), "status {status:?} after signal {signal}");
    }
    let mut tool = Tool::start(run(workspace, &["probe", "--param", "case=shutdown"])?)?;
    tool.wait_for("waiting")?;
    let pid = tool.child.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let process = format!("/proc/{}/exe", children.trim());
    ensure!(fs::read_link(&process)?.ends_with("probe"), "{process} is not the appliance");
    tool.child.kill()?;
    let killed = Instant::now();
    // A process that nobody has waited for has no program any more.
    while fs::read_link(&process).is_ok() {
        ensure!(killed.elapsed() < SOON, "{process} outlives the tool");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The tool with an appliance that does not end by itself; both end when dropped.
struct Tool {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Tool {
    fn start(mut tool: Command) -> Result<Self> {
        let mut child = tool.spawn()?;
        let stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Self { child, lines })
    }

    /// Waits for a line of the appliance; cargo may have to build it before.
    fn wait_for(&self, text: &str) -> Result<()> {
        let limit = Instant::now() + Duration::from_secs(300);
        loop {
            let left = limit.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).with_context(|| format!("it did not say {text:?}"))?;
            if line.contains(text) {
                return Ok(());
            }
        }
    }

    fn signal(&self, signal: i32) {
        // SAFETY: kill(2) touches no memory; the child has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// Its status once it has ended, which it must soon.
    fn wait_end(&mut self) -> Result<Option<i32>> {
        let asked = Instant::now();
        while asked.elapsed() < SOON {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the tool still runs after {} s", SOON.as_secs())
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
