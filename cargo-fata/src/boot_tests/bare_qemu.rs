//! A guest without Xen, by QEMU's `-kernel` alone, started by the line that its users type.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{command, interrupt};

const PERIOD: Duration = Duration::from_millis(50);

/// QEMU with one guest; killed when dropped.
pub struct BareQemu {
    child: Child,
    console: PathBuf,
}

impl BareQemu {
    /// Starts QEMU by a line for the shell.
    pub fn start(line: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let console = std::env::temp_dir().join(format!("fata-{}-{number}.console", std::process::id()));
        let output = File::create(&console)?;
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {line}")]);
        shell.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = shell.spawn().context("cannot start a shell")?;
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
