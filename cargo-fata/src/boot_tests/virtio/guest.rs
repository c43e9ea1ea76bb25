//! A guest in a QEMU of its own, without Xen below it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::interrupt;
use crate::workspace::image;
use crate::xen_host::qemu::{end_with_this_thread, free_port};

/// What a guest does it does within this.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// A guest in a QEMU of its own; dropping it ends it.
pub(crate) struct Machine {
    child: Child,
    log: PathBuf,
}

impl Machine {
    /// Starts an image with a command line, on a machine in QEMU's words; what its serial port says is the log.
    pub(crate) fn start(logs: &Path, name: &str, append: &str, machine: &str) -> Result<Self> {
        let log = logs.join(format!("virtio-{}.log", free_port()?));
        let said = File::create(&log)?;
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-m", "64", "-display", "none", "-nic", "none"]);
        if !machine.contains("-serial ") {
            qemu.args(["-serial", "stdio"]);
        }
        if !machine.contains("-cpu ") {
            qemu.args(["-cpu", "max"]);
        }
        qemu.args(machine.split_ascii_whitespace());
        qemu.arg("-kernel").arg(image(name)?).args(["-append", append]);
        qemu.stdin(Stdio::piped()).stdout(said.try_clone()?).stderr(said);
        end_with_this_thread(&mut qemu);
        let child = qemu.spawn().context("cannot start qemu-system-x86_64: is qemu-system-x86 installed?")?;
        Ok(Self { child, log })
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).replace('\r', "")
    }

    pub(crate) fn wait_log(&self, text: &str) -> Result<()> {
        self.wait_log_until(text, |log| log.contains(text))
    }

    pub(super) fn wait_log_until(&self, what: &str, is_there: impl Fn(&str) -> bool) -> Result<()> {
        let end = Instant::now() + SOON;
        while !is_there(&self.log()) {
            interrupt::check()?;
            ensure!(Instant::now() < end, "no {what:?} in {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until QEMU ends by itself: its status, and what the guest said.
    pub(crate) fn wait_end(mut self) -> Result<(i32, String)> {
        let end = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status.code().context("QEMU was killed")?, self.log()));
            }
            interrupt::check()?;
            ensure!(Instant::now() < end, "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process of its QEMU.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn type_line(&mut self, line: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("it has no input")?;
        stdin.write_all(line.as_bytes())?;
        stdin.flush()?;
        Ok(())
    }

    /// What the guest's web server answers behind a port of this host.
    pub(super) fn get(&mut self, port: u16) -> Result<String> {
        let end = Instant::now() + SOON;
        loop {
            interrupt::check()?;
            let answer = ask(port).unwrap_or_default();
            if !answer.is_empty() {
                return Ok(answer);
            }
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none() && Instant::now() < end, "no answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
