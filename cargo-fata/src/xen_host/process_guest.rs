//! The appliance as a process, for tests: in the network of the [`peers`](super::peers), a tap device for each interface.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use super::guest::End;
use super::guest_spec::{GuestSpec, Image};
use super::machine_guest::Taps;
use super::qemu;
use crate::note::Note;
use crate::workspace::Workspace;

/// A running process; dropping it ends it.
pub struct ProcessGuest {
    name: String,
    child: RefCell<Child>,
    input: RefCell<ChildStdin>,
    log: PathBuf,
    // After the process, which uses them.
    _taps: Taps,
}

impl ProcessGuest {
    /// Starts what the spec's image would be; its console goes to `log`. `wrapper` is a program, and its arguments, that start
    /// it in the peers' network.
    pub fn start(name: &str, spec: &GuestSpec, wrapper: &[String], taps: Taps, log: &Path) -> Result<Self> {
        let Image::Local(image) = &spec.image else { bail!("{name}: its image is not on this machine") };
        let target = image.file_name().context("an image without a name")?.to_string_lossy().into_owned();
        let program = Workspace::current()?.find(&target, false)?.build_for_host()?;
        let note = Note::of(image)?.with_context(|| format!("{target} has no manifest"))?;
        let networks = note.manifest.networks.iter().zip(taps.names());
        let parameters = networks.map(|(network, tap)| format!("{}.tap={tap}", network.name));
        let (starter, arguments) = wrapper.split_first().context("no way into the peers' network")?;
        let said = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(starter);
        command
            .args(arguments)
            .arg(program)
            .args(spec.extra.split_ascii_whitespace())
            .args(parameters)
            .stdin(Stdio::piped())
            .stdout(said.try_clone()?)
            .stderr(said);
        qemu::end_with_this_thread(&mut command);
        let mut child = command.spawn().with_context(|| format!("cannot start {starter}"))?;
        let input = child.stdin.take().context("no standard input")?;
        Ok(Self {
            name: name.to_owned(),
            child: RefCell::new(child),
            input: RefCell::new(input),
            log: log.to_owned(),
            _taps: taps,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All it has printed so far.
    pub fn console(&self) -> Vec<u8> {
        fs::read(&self.log).unwrap_or_default()
    }

    /// Types on its standard input.
    pub fn type_bytes(&self, bytes: &[u8]) -> Result<()> {
        self.input.borrow_mut().write_all(bytes).context("its standard input")
    }

    /// Processor time that it has used, nanoseconds.
    pub fn cpu_ns(&self) -> Result<u64> {
        let said = fs::read_to_string(format!("/proc/{}/schedstat", self.child.borrow().id()))?;
        Ok(said.split(' ').next().context("an empty schedstat")?.parse()?)
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Result<Option<End>> {
        Ok(self.child.borrow_mut().try_wait()?.map(end_of))
    }

    /// What `xl COMMAND` does on Xen: `shutdown` is SIGTERM.
    pub fn command(&self, command: &str) -> Result<()> {
        if command != "shutdown" {
            bail!("there is no {command} for a process");
        }
        let mut child = self.child.borrow_mut();
        if child.try_wait()?.is_none() {
            // SAFETY: kill(2) touches no memory; the child has not been waited for, so its number is not another's.
            unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
        }
        Ok(())
    }
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(0), _) => End::PowerOff,
        (None, Some(libc::SIGKILL)) => End::Destroyed,
        _ => End::Crash,
    }
}

impl Drop for ProcessGuest {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}
