//! QEMU at work: the guest's console on its standard input and output, the monitor on its standard error, which is a socket.
//!
//! The console has pipes: a socket holds a few hundred octets where they are written one by one, and QEMU's serial port drops
//! what it cannot write soon.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::machine::{Board, Machine};
use super::qmp::{Cause, Qmp};
use crate::command;
use crate::xen_host::guest::End;
use crate::xen_host::qemu::end_with_this_thread;

/// The statuses that a guest chooses at the port of `isa-debug-exit` (`drivers-xen-pv/src/machine/power.rs`).
const PANICKED: i32 = 101;
const CRASHED: i32 = 99;
const POWERED_OFF: i32 = 33;
/// What QEMU writes when its KVM cannot do what an instruction of the guest asks for.
const KVM_GAVE_UP: &str = "KVM internal error";

/// A running machine; dropping it ends it.
pub struct Process {
    child: Child,
    board: Board,
    keyboard: ChildStdin,
    reader: JoinHandle<()>,
    qmp: Qmp,
    end: Option<End>,
    has_panicked: bool,
}

impl Process {
    /// Starts a machine. `print` is given what its console says, on a thread of its own.
    ///
    /// To be called from a thread that lives as long as the machine: the kernel ends QEMU when that thread ends.
    pub fn start(machine: &Machine, mut print: impl FnMut(&[u8]) + Send + 'static) -> Result<Self> {
        let mut command = match machine.wrapper.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg("qemu-system-x86_64");
                command
            }
            None => Command::new("qemu-system-x86_64"),
        };
        let (monitor, monitored) = UnixStream::pair()?;
        command
            .args(machine.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(OwnedFd::from(monitored));
        // A Ctrl-C on the terminal is for the tool, which tells the guest.
        command.process_group(0);
        end_with_this_thread(&mut command);
        let mut child =
            command.spawn().context("cannot start qemu-system-x86_64: is qemu-system-x86 installed?")?;
        let keyboard = child.stdin.take().context("QEMU has no standard input")?;
        let mut console = child.stdout.take().context("QEMU has no standard output")?;
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 16 << 10];
            while let Ok(length @ 1..) = console.read(&mut buffer) {
                print(&buffer[..length]);
            }
        });
        Ok(Self {
            child,
            board: machine.board,
            keyboard,
            reader,
            qmp: Qmp::new(monitor)?,
            end: None,
            has_panicked: false,
        })
    }

    /// Types on its console.
    pub fn type_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.keyboard.write_all(bytes).context("cannot type on the guest's console")
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
            Board::Q35 | Board::MicrovmAcpi => self.qmp.execute("system_powerdown", json!({})),
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

    /// How it ended, if it has, and all that it said has been printed. An error where QEMU failed.
    pub fn end(&mut self) -> Result<Option<End>> {
        if self.end.is_none()
            && self.reader.is_finished()
            && let Some(status) = self.child.try_wait()?
        {
            self.end = Some(self.end_of(status)?);
        }
        Ok(self.end)
    }

    /// An error where KVM has given the guest up: QEMU says so and waits, for ever.
    pub fn check(&mut self) -> Result<()> {
        self.qmp.cause();
        let complaints = self.qmp.complaints();
        if complaints.contains(KVM_GAVE_UP) {
            bail!("QEMU has stopped the guest:\n{}", command::last_lines(complaints, 12));
        }
        Ok(())
    }

    /// Whether the crash that ended it was a panic.
    pub fn has_panicked(&self) -> bool {
        self.has_panicked
    }

    fn end_of(&mut self, status: ExitStatus) -> Result<End> {
        match (status.code(), self.qmp.cause()) {
            (Some(status @ (CRASHED | PANICKED)), _) => {
                self.has_panicked = status == PANICKED;
                Ok(End::Crash)
            }
            (Some(POWERED_OFF), _) | (Some(0), Some(Cause::Shutdown)) => Ok(End::PowerOff),
            (Some(0), Some(Cause::Reset)) => Ok(End::Reboot),
            (Some(0), _) => Ok(End::Destroyed),
            _ => {
                bail!("QEMU ended with {status}:\n{}", command::last_lines(self.qmp.complaints(), 12))
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// A shell in the place of QEMU.
    fn start(script: &str) -> Process {
        let mut machine = Machine::new(Board::Microvm, "web".into());
        machine.wrapper = ["sh", "-c", script].map(str::to_owned).to_vec();
        Process::start(&machine, |_| {}).unwrap()
    }

    #[test]
    fn a_qemu_that_fails_is_an_error_with_what_it_said() {
        let mut process = start("echo 'failed to initialize kvm: Permission denied' >&2; exit 1");
        let started = Instant::now();
        let error = loop {
            match process.end() {
                Ok(None) => assert!(started.elapsed() < SOON, "it does not end"),
                Ok(Some(end)) => panic!("it ended with {end}"),
                Err(error) => break error.to_string(),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(error.contains("exit status: 1") && error.contains("Permission denied"), "{error}");
    }

    #[test]
    fn a_guest_that_kvm_gives_up_is_an_error_while_qemu_waits() {
        let mut process = start("echo 'KVM internal error. Suberror: 1' >&2; exec sleep 60");
        let started = Instant::now();
        while process.check().is_ok() {
            assert!(started.elapsed() < SOON, "nothing is heard of it");
            std::thread::sleep(Duration::from_millis(5));
        }
        let error = process.check().unwrap_err().to_string();
        assert!(error.contains("KVM internal error. Suberror: 1"), "{error}");
        assert_eq!(process.end().unwrap(), None);
    }
}
