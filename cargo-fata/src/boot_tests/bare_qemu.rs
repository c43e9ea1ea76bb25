//! A guest without Xen, by QEMU's `-kernel` alone: what its users type.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{command, interrupt};

const PERIOD: Duration = Duration::from_millis(50);

/// The boards that QEMU boots an image on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// A PC of 2007, with PCI.
    Q35,
    /// No PCI: virtio over MMIO, named on the command line.
    Microvm,
}

impl Board {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Q35, Self::Microvm];

    fn machine(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Microvm => "microvm,acpi=off",
        }
    }

    fn network_card(self) -> &'static str {
        match self {
            Self::Q35 => "virtio-net-pci,netdev=net,romfile=",
            Self::Microvm => "virtio-net-device,netdev=net",
        }
    }
}

/// QEMU with one guest; killed when dropped.
pub struct BareQemu {
    child: Child,
    console: PathBuf,
}

impl BareQemu {
    /// Starts an image with its boot parameters; a port of this machine, if any, leads to one of the guest.
    pub fn start(board: Board, image: &Path, parameters: &str, forward: Option<(u16, u16)>) -> Result<Self> {
        let console =
            std::env::temp_dir().join(format!("fata-{}-{}.console", std::process::id(), board.machine()));
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args([
            "-M",
            board.machine(),
            "-accel",
            "tcg",
            "-cpu",
            "max",
            "-m",
            "64",
            "-nodefaults",
            "-no-user-config",
        ]);
        qemu.args(["-display", "none", "-no-reboot", "-serial", "stdio"]);
        if let Some((here, there)) = forward {
            let network = format!("user,id=net,hostfwd=tcp:127.0.0.1:{here}-:{there}");
            qemu.args(["-netdev", &network, "-device", board.network_card()]);
        }
        qemu.arg("-kernel").arg(image).args(["-append", parameters]);
        let output = File::create(&console)?;
        qemu.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = qemu.spawn().context("cannot start qemu-system-x86_64")?;
        Ok(Self { child, console })
    }

    /// All that it has printed.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).replace('\r', "")
    }

    /// Waits until it has printed `text`.
    pub fn wait_console(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.wait(limit, &format!("{text:?} on its console"), |qemu, _| qemu.console().contains(text))
    }

    /// Waits until QEMU has ended by itself, in order.
    pub fn wait_end(&mut self, limit: Duration) -> Result<()> {
        self.wait(limit, "end", |_, ended| ended)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("QEMU ended with {status}:\n{}", command::last_lines(&self.console(), 15));
        }
        Ok(())
    }

    fn wait(&mut self, limit: Duration, what: &str, is_so: impl Fn(&Self, bool) -> bool) -> Result<()> {
        let started = Instant::now();
        loop {
            interrupt::check()?;
            let ended = self.child.try_wait()?.is_some();
            if is_so(self, ended) {
                return Ok(());
            }
            if ended || started.elapsed() > limit {
                let when =
                    if ended { "before its end".into() } else { format!("after {} s", limit.as_secs()) };
                bail!(
                    "no {what} {when}; QEMU and its guest said:\n{}",
                    command::last_lines(&self.console(), 15)
                );
            }
            std::thread::sleep(PERIOD);
        }
    }
}

impl Drop for BareQemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.console);
    }
}

/// A TCP port of this machine that nobody has.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
