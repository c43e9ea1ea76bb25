//! QEMU at work: the guest's console on its standard input, which is a socket, the monitor on its standard output.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::machine::{Board, Machine};
use super::qmp::{Cause, Qmp};
use crate::command;
use crate::xen_host::guest::End;
use crate::xen_host::qemu::end_with_this_thread;

/// How long a look at the console waits for something to come.
const TICK: Duration = Duration::from_millis(50);
/// The statuses that a guest chooses at the port of `isa-debug-exit` (`drivers-xen-pv/src/machine/power.rs`).
const CRASHED: i32 = 99;
const POWERED_OFF: i32 = 33;

/// A running machine; dropping it ends it.
pub struct Process {
    child: Child,
    board: Board,
    console: UnixStream,
    qmp: Qmp,
    said: Option<JoinHandle<String>>,
    end: Option<End>,
}

impl Process {
    /// Starts a machine.
    ///
    /// To be called from a thread that lives as long as the machine: the kernel ends QEMU when that thread ends.
    pub fn start(machine: &Machine) -> Result<Self> {
        let mut command = match machine.wrapper.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg("qemu-system-x86_64");
                command
            }
            None => Command::new("qemu-system-x86_64"),
        };
        let (console, theirs) = UnixStream::pair()?;
        let (monitor, monitored) = UnixStream::pair()?;
        command
            .args(machine.arguments())
            .stdin(OwnedFd::from(theirs))
            .stdout(OwnedFd::from(monitored))
            .stderr(Stdio::piped());
        // A Ctrl-C on the terminal is for the tool, which tells the guest.
        command.process_group(0);
        end_with_this_thread(&mut command);
        let mut child =
            command.spawn().context("cannot start qemu-system-x86_64: is qemu-system-x86 installed?")?;
        // Only QEMU has its ends now, so that ours tell of its end.
        drop(command);
        console.set_read_timeout(Some(TICK))?;
        let mut stderr = child.stderr.take().context("QEMU has no stderr")?;
        let said = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let qmp = Qmp::new(monitor)?;
        Ok(Self { child, board: machine.board, console, qmp, said: Some(said), end: None })
    }

    /// What its console says next: empty when nothing came for a moment, `None` when QEMU has ended.
    pub fn read(&mut self) -> Result<Option<Vec<u8>>> {
        let mut buffer = [0; 16 << 10];
        match self.console.read(&mut buffer) {
            Ok(0) => Ok(None),
            Ok(length) => Ok(Some(buffer[..length].to_vec())),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(Some(Vec::new())),
                ErrorKind::ConnectionReset => Ok(None),
                _ => Err(error).context("cannot read the guest's console"),
            },
        }
    }

    /// Another hand on its console: for a thread that reads, or one that types.
    pub fn console(&self) -> Result<UnixStream> {
        Ok(self.console.try_clone()?)
    }

    /// Types on its console.
    pub fn type_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.console.write_all(bytes).context("cannot type on the guest's console")
    }

    /// Lets a machine that was started paused go.
    pub fn unpause(&mut self) -> Result<()> {
        self.qmp.execute("cont", json!({}))
    }

    /// Stops it where it is.
    pub fn pause(&mut self) -> Result<()> {
        self.qmp.execute("stop", json!({}))
    }

    /// Asks the guest to power off: by the power button; without one, by a break on the serial line.
    pub fn ask_to_leave(&mut self) -> Result<()> {
        match self.board {
            Board::Q35 => self.qmp.execute("system_powerdown", json!({})),
            Board::Microvm => self.qmp.execute("chardev-send-break", json!({ "id": "console" })),
        }
    }

    /// Time of this machine's processors that QEMU has used, nanoseconds.
    pub fn cpu_ns(&self) -> Result<u64> {
        let mut spent = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end meanwhile.
            let said = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            spent += said.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        }
        Ok(spent)
    }

    /// How it ended, if it has. An error where QEMU failed.
    pub fn end(&mut self) -> Result<Option<End>> {
        if self.end.is_none()
            && let Some(status) = self.child.try_wait()?
        {
            self.end = Some(self.end_of(status)?);
        }
        Ok(self.end)
    }

    fn end_of(&mut self, status: ExitStatus) -> Result<End> {
        match (status.code(), self.qmp.cause()) {
            (Some(CRASHED), _) => Ok(End::Crash),
            (Some(POWERED_OFF), _) | (Some(0), Some(Cause::Shutdown)) => Ok(End::PowerOff),
            (Some(0), Some(Cause::Reset)) => Ok(End::Reboot),
            (Some(0), _) => Ok(End::Destroyed),
            _ => {
                let said = self.said.take().and_then(|said| said.join().ok()).unwrap_or_default();
                bail!("QEMU ended with {status}:\n{}", command::last_lines(&said, 12))
            }
        }
    }

    /// Ends it at once.
    pub fn destroy(&mut self) {
        if self.end.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            self.end = Some(End::Destroyed);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.destroy();
    }
}
