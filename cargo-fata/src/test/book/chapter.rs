//! Runs the commands of a chapter in order, in a fresh empty folder, as a reader would type them.
//!
//! `cargo fata` is there as it is after `cargo install --path cargo-fata`. As root they have a network of their own (a
//! namespace with nothing but its loopback), so that ports which the book names are free; else they have this machine's.
//! What cargo builds is kept from one run to the next, behind a link in the place of the folder `target`. Commands for dom0
//! run in a Xen host of the chapter's own.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::page::{Deed, Step};
use crate::workspace::{BUILD_DIR, Workspace};
use crate::xen_host::Host;
use crate::xen_host::qemu::Options;
use crate::{command, interrupt};

/// How long a block may take, or what runs in a terminal until it has said what it should.
const LIMIT: Duration = Duration::from_secs(600);
/// How long it may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_millis(50);
/// The machine with Xen and dom0, and room for small guests.
const HOST_MEMORY_MB: u32 = 2200;
/// Lines of output in an error.
const LINES: usize = 30;

/// A chapter under way.
pub struct Chapter {
    folder: Folder,
    /// Where the next block begins.
    current: PathBuf,
    /// The repository.
    clone: PathBuf,
    /// Where cargo's output is kept.
    target: PathBuf,
    /// Where it keeps what it builds from: with the clone's.
    build: PathBuf,
    network: Option<Running>,
    host: Option<Host>,
    terminals: Vec<Running>,
    blocks: usize,
}

impl Chapter {
    /// A fresh folder for the chapter of that name, in the book of this repository.
    pub fn new(name: &str, workspace: &Workspace) -> Result<Self> {
        // The boot tests of new appliances build the same.
        Self::in_clone(name, &workspace.root, &workspace.target_dir.join("fata-new"), &workspace.build_dir)
    }

    fn in_clone(name: &str, clone: &Path, target: &Path, build: &Path) -> Result<Self> {
        let folder = Folder(std::env::temp_dir().join(format!("fata-book-{}-{name}", std::process::id())));
        let current = folder.0.join("work");
        fs::create_dir_all(&current)?;
        fs::create_dir_all(target)?;
        let bin = folder.0.join("bin");
        fs::create_dir(&bin)?;
        fs::copy(std::env::current_exe()?, bin.join("cargo-fata")).context("cannot copy the tool")?;
        let network = network(&folder.0)?;
        let [clone, target, build] = [clone, target, build].map(Path::to_owned);
        Ok(Self {
            folder,
            current,
            clone,
            target,
            build,
            network,
            host: None,
            terminals: Vec::new(),
            blocks: 0,
        })
    }

    /// Does one step.
    pub fn step(&mut self, step: &Step) -> Result<()> {
        self.blocks += 1;
        match step.deed {
            Deed::Run => self.run(step),
            Deed::Start => self.start(step),
            Deed::Stop => self.stop(step),
            Deed::Dom0 => self.run_in_dom0(step),
            Deed::Copy => self.copy_to_dom0(step),
            Deed::Clone => {
                self.current.clone_from(&self.clone);
                Ok(())
            }
        }
        .with_context(|| format!("line {}", step.line))
    }

    fn run(&mut self, step: &Step) -> Result<()> {
        let place = self.folder.0.join("place");
        let script = format!("{}\npwd > '{}'", step.commands, place.display());
        let mut block = self.spawn(&script)?;
        let status = block.wait(LIMIT)?;
        ensure!(status.success(), "failed ({status}):\n{}", block.said()?);
        self.current = fs::read_to_string(&place)?.trim_end().into();
        self.keep_what_cargo_builds()?;
        block.must_say(&step.expected)
    }

    fn run_in_dom0(&mut self, step: &Step) -> Result<()> {
        let script = format!("set -euo pipefail; cd /root\n{}", step.commands);
        let output = self.host()?.sh(&script, LIMIT)?;
        let text = output.stdout + &output.stderr;
        ensure!(
            output.status == 0,
            "status {} in dom0:\n{}",
            output.status,
            command::last_lines(&text, LINES)
        );
        must_say(&text, &step.expected)
    }

    fn copy_to_dom0(&mut self, step: &Step) -> Result<()> {
        let folder = self.current.clone();
        let host = self.host()?;
        host.sh("mkdir -p /root", GRACE)?.ok()?;
        for file in step.commands.split_ascii_whitespace().map(Path::new) {
            let bytes =
                fs::read(folder.join(file)).with_context(|| format!("cannot read {}", file.display()))?;
            let name = file.file_name().context("a file has a name")?.to_string_lossy();
            host.put(&format!("/root/{name}"), &bytes)?;
        }
        Ok(())
    }

    /// The Xen host, booted when it is first needed.
    fn host(&mut self) -> Result<&mut Host> {
        if self.host.is_none() {
            let log = self.folder.0.join("serial.log");
            let options = Options {
                memory_mb: HOST_MEMORY_MB,
                forwards: Vec::new(),
                backwards: Vec::new(),
                disks: Vec::new(),
                log,
                gdb_port: None,
            };
            self.host = Some(Host::boot(options)?);
        }
        self.host.as_mut().context("no Xen host")
    }

    fn start(&mut self, step: &Step) -> Result<()> {
        let mut terminal = self.spawn(&step.commands)?;
        let started = Instant::now();
        while let Err(missing) = terminal.must_say(&step.expected) {
            interrupt::check()?;
            if let Some(status) = terminal.child.try_wait()? {
                terminal.must_say(&step.expected)?;
                bail!("it ended early ({status}):\n{}", terminal.said()?);
            }
            if started.elapsed() > LIMIT {
                return Err(missing);
            }
            std::thread::sleep(PERIOD);
        }
        self.terminals.push(terminal);
        Ok(())
    }

    fn stop(&mut self, step: &Step) -> Result<()> {
        let mut terminal = self.terminals.pop().context("nothing is running")?;
        terminal.signal(libc::SIGINT);
        let status = terminal.wait(GRACE)?;
        ensure!(status.success(), "Ctrl-C did not end it in order ({status}):\n{}", terminal.said()?);
        terminal.must_say(&step.expected)
    }

    fn spawn(&self, script: &str) -> Result<Running> {
        let mut command = match &self.network {
            Some(keeper) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/proc/{}/ns/net", keeper.child.id())).arg("bash");
                command
            }
            None => Command::new("bash"),
        };
        command.args(["-euo", "pipefail", "-c", script]).current_dir(&self.current);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut all = vec![self.folder.0.join("bin")];
        all.extend(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(all)?);
        // A reader's shell has none of what cargo says to us.
        for name in [
            "CARGO_TARGET_DIR",
            "CARGO_MANIFEST_DIR",
            "CARGO_MANIFEST_PATH",
            "CARGO_PROFILE_DEV_DEBUG",
            "RUSTC_BOOTSTRAP",
            "CARGO",
        ] {
            command.env_remove(name);
        }
        if self.current.starts_with(&self.folder.0) {
            command.env(BUILD_DIR, &self.build);
        } else {
            // The clone's.
            command.envs(std::env::var_os("CARGO_TARGET_DIR").map(|folder| ("CARGO_TARGET_DIR", folder)));
        }
        Running::spawn(&mut command, self.folder.0.join(format!("block-{}", self.blocks)))
    }

    fn keep_what_cargo_builds(&self) -> Result<()> {
        let here = self.current.join("target");
        if self.current.starts_with(&self.folder.0)
            && self.current.join("Cargo.toml").exists()
            && !here.exists()
        {
            symlink(&self.target, here)?;
        }
        Ok(())
    }
}

impl Drop for Chapter {
    fn drop(&mut self) {
        // Before their network.
        self.terminals.clear();
    }
}

/// A network with a loopback interface alone, where we may make one.
fn network(folder: &Path) -> Result<Option<Running>> {
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(None);
    }
    let mut keeper = Command::new("unshare");
    keeper.args(["--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep 7200"]);
    let mut keeper = Running::spawn(&mut keeper, folder.join("network"))?;
    let started = Instant::now();
    while keeper.must_say(&["ready".to_owned()]).is_err() {
        let ended = keeper.child.try_wait()?.is_some();
        ensure!(!ended && started.elapsed() < GRACE, "no network namespace: {}", keeper.said()?);
        std::thread::sleep(PERIOD);
    }
    Ok(Some(keeper))
}

/// A process group under way, killed when dropped. What it says is in a file.
struct Running {
    child: Child,
    output: PathBuf,
}

impl Running {
    fn spawn(command: &mut Command, output: PathBuf) -> Result<Self> {
        let file = File::create(&output)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        Ok(Self { child: command.spawn().context("cannot start a shell")?, output })
    }

    fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            interrupt::check()?;
            ensure!(started.elapsed() < limit, "not ended after {} s:\n{}", limit.as_secs(), self.said()?);
            std::thread::sleep(PERIOD);
        }
    }

    /// An error if one of the lines is missing.
    fn must_say(&self, lines: &[String]) -> Result<()> {
        must_say(&self.text()?, lines)
    }

    fn text(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.output)?).into_owned())
    }

    fn said(&self) -> Result<String> {
        Ok(command::last_lines(&self.text()?, LINES))
    }

    fn signal(&self, signal: i32) {
        // SAFETY: kill(2) touches no memory; the group is ours, and its first process has not been waited for.
        unsafe { libc::kill(-(self.child.id() as i32), signal) };
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After its end, what it has left in its group: no other process has the number while one of them lives.
        self.signal(libc::SIGKILL);
        let _ = self.child.wait();
    }
}

/// An error if one of the lines is missing in a text.
fn must_say(text: &str, lines: &[String]) -> Result<()> {
    match lines.iter().find(|line| !says(text, line)) {
        Some(line) => bail!("{line:?} is not in what it said:\n{}", command::last_lines(text, LINES)),
        None => Ok(()),
    }
}

/// Whether a line of a text has all the parts between `...`, in their order.
fn says(text: &str, wanted: &str) -> bool {
    text.lines().any(|line| {
        let mut rest = line;
        wanted.split("...").map(str::trim).all(|part| match rest.split_once(part) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    })
}

/// Removed when dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::book::page;

    fn outcome(text: &str) -> Result<()> {
        let name = format!("test-{}", crate::cache::digest(&[text]));
        let here = Path::new(".");
        let mut chapter = Chapter::in_clone(&name, here, &std::env::temp_dir(), here)?;
        page::parse(text)?.steps.iter().try_for_each(|step| chapter.step(step))
    }

    #[test]
    fn lines_are_found_with_anything_between() {
        let text = "one\nfata: guest web-1 created in 2.6 s; Ctrl-C ends it\n";
        assert!(says(text, "fata: guest ... created in ... s"));
        assert!(says(text, "..."));
        assert!(!says(text, "created ... guest"));
        assert!(!says(text, "two"));
    }

    #[test]
    fn blocks_share_their_folder_and_fail_with_their_commands() {
        outcome("```sh,run\nmkdir a; cd a\n```\n\n```sh,run\npwd\n```\n```text\n.../work/a\n```\n").unwrap();
        assert!(outcome("```sh,run\nfalse; true\n```\n").is_err());
        assert!(outcome("```sh,run\necho one\n```\n```text\ntwo\n```\n").is_err());
    }

    #[test]
    fn terminals_go_on_until_ctrl_c() {
        let script = "trap 'echo left; exit 0' INT; echo up; while :; do sleep 0.1; done";
        let text = format!(
            "```sh,run,terminal\n{script}\n```\n```text\nup\n```\n\n<!-- Ctrl-C -->\n\n```text\nleft\n```\n"
        );
        outcome(&text).unwrap();
        let early = "```sh,run,terminal\necho down\n```\n```text\nup\n```\n\n<!-- Ctrl-C -->\n";
        assert!(format!("{:#}", outcome(early).unwrap_err()).contains("is not in what it said"));
    }
}
