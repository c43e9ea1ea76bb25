//! A guest on the Xen host: its console, what it costs, how it ended.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fata_dom0::DomainInfo;

use super::agent::{Agent, Stream};
pub use super::guest_spec::{AtEnd, GuestSpec, Image, Kind, Vif};
use super::machine_guest::MachineGuest;
use super::process_guest::ProcessGuest;
use crate::{command, interrupt};

/// Longer than `xl shutdown` waits for a guest to hear it.
const XL_LIMIT: Duration = Duration::from_secs(90);
const PERIOD: Duration = Duration::from_millis(50);

/// How a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It powered off.
    PowerOff,
    /// It asked to be started again.
    Reboot,
    /// It was suspended.
    Suspend,
    /// It crashed: by its own report, or because the hypervisor ended it.
    Crash,
    /// The domain is not there any more.
    Destroyed,
    /// Another code of `xen/sched.h`.
    Other(u8),
}

impl End {
    fn from_code(code: u8) -> Self {
        match code {
            0 => Self::PowerOff,
            1 => Self::Reboot,
            2 => Self::Suspend,
            3 => Self::Crash,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => f.write_str("powered off"),
            Self::Reboot => f.write_str("asked for a reboot"),
            Self::Suspend => f.write_str("was suspended"),
            Self::Crash => f.write_str("crashed"),
            Self::Destroyed => f.write_str("is gone"),
            Self::Other(code) => write!(f, "ended with code {code}"),
        }
    }
}

/// The domain of a name, which may be there or not. Dropping it destroys the domain.
pub(super) struct Domain {
    agent: Agent,
    name: String,
    /// It has been destroyed.
    is_gone: Cell<bool>,
}

impl Domain {
    pub(super) fn new(agent: Agent, name: String) -> Self {
        Self { agent, name, is_gone: Cell::new(false) }
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        if self.is_gone.get() {
            return;
        }
        let script = format!("xl destroy {} 2>/dev/null", self.name);
        let _ = interrupt::ignored(|| self.agent.sh(&script, XL_LIMIT));
    }
}

/// What a guest is below.
pub(super) enum Life {
    Domain(Domain),
    Machine(MachineGuest),
    Process(ProcessGuest),
}

/// A guest that `xl create` made, or that QEMU runs alone. Dropping it ends it.
pub struct Guest {
    pub(super) life: Life,
    /// Another one after each restart.
    pub(super) domid: Cell<u32>,
    pub(super) at_end: AtEnd,
    /// How long `xl create` took.
    pub create_time: Duration,
}

impl Guest {
    /// The name it has under `xl`.
    pub fn name(&self) -> &str {
        match &self.life {
            Life::Domain(domain) => &domain.name,
            Life::Machine(machine) => machine.name(),
            Life::Process(process) => process.name(),
        }
    }

    /// The domain: what asks for it is for guests of Xen.
    fn domain(&self) -> Result<&Domain> {
        match &self.life {
            Life::Domain(domain) => Ok(domain),
            Life::Machine(_) | Life::Process(_) => bail!("guest {} is none of Xen's", self.name()),
        }
    }

    /// Its number now.
    pub fn domid(&self) -> u32 {
        self.domid.get()
    }

    /// Lets one that was created paused go.
    pub fn unpause(&self) -> Result<()> {
        self.xl("unpause")
    }

    /// Where xenconsoled logs its console, in dom0.
    pub fn console_path(&self) -> String {
        console_path(self.name())
    }

    /// All it has printed so far.
    pub fn console(&self) -> String {
        let bytes = match &self.life {
            Life::Domain(domain) => domain.agent.get(&self.console_path()).unwrap_or_default(),
            Life::Machine(machine) => machine.console(),
            Life::Process(process) => process.console(),
        };
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    /// Its console as it comes.
    pub fn follow_console(&self) -> Result<Stream> {
        self.domain()?.agent.follow(&self.console_path())
    }

    /// Its console itself, both ways; what it says from now on goes to one reader only.
    pub fn open_console(&self) -> Result<Stream> {
        self.domain()?.agent.console(self.domid.get())
    }

    /// Waits until it has printed `text`; gives the console up to then. An error, with the end of the console, if time is up
    /// or the guest ends first.
    pub fn wait_console(&self, text: &str, limit: Duration) -> Result<String> {
        self.wait_console_until(&format!("{text:?}"), limit, |console| console.contains(text))
    }

    /// Waits until `is_there` says so of all that it has printed; `what` is for the error.
    pub fn wait_console_until(
        &self,
        what: &str,
        limit: Duration,
        is_there: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let started = Instant::now();
        loop {
            interrupt::check()?;
            // Asked before the console is read: what an ended guest printed last is in the log by then.
            let end = self.end()?;
            if end.is_some() {
                std::thread::sleep(PERIOD * 4);
            }
            let console = self.console();
            if is_there(&console) {
                return Ok(console);
            }
            let tail = || command::last_lines(&console, 15);
            if let Some(end) = end {
                bail!("guest {} {end} before {what} was on its console:\n{}", self.name(), tail());
            }
            if started.elapsed() > limit {
                bail!(
                    "no {what} on the console of {} after {} s:\n{}",
                    self.name(),
                    limit.as_secs_f64(),
                    tail()
                );
            }
            std::thread::sleep(PERIOD);
        }
    }

    /// Types a line on its console.
    pub fn type_line(&self, line: &str) -> Result<()> {
        self.type_bytes(format!("{line}\n").as_bytes())
    }

    /// Types bytes on its console.
    pub fn type_bytes(&self, bytes: &[u8]) -> Result<()> {
        match &self.life {
            Life::Machine(machine) => return machine.type_bytes(bytes),
            Life::Process(process) => return process.type_bytes(bytes),
            Life::Domain(_) => {}
        }
        let mut console = self.open_console()?;
        console.write(bytes)?;
        // The agent writes before it looks for the next frame; give it time to get there.
        std::thread::sleep(PERIOD * 2);
        Ok(())
    }

    /// What the hypervisor accounts for it; `None` when it is gone.
    pub fn info(&self) -> Result<Option<DomainInfo>> {
        Ok(self.domain()?.agent.domains()?.into_iter().find(|info| info.domid == self.domid.get()))
    }

    /// Time its vCPU has run, nanoseconds; without Xen, time that QEMU has used for it.
    pub fn cpu_ns(&self) -> Result<u64> {
        match &self.life {
            Life::Machine(machine) => return machine.cpu_ns(),
            Life::Process(process) => return process.cpu_ns(),
            Life::Domain(_) => {}
        }
        let info = self.info()?.with_context(|| format!("guest {} is gone", self.name()))?;
        Ok(info.cpu_ns)
    }

    /// How it ended, if it has. One that is started again has not.
    pub fn end(&self) -> Result<Option<End>> {
        match &self.life {
            Life::Machine(machine) => return machine.end(),
            Life::Process(process) => return process.end(),
            Life::Domain(_) => {}
        }
        if self.at_end == AtEnd::Act {
            return self.end_without_return();
        }
        Ok(match self.info()? {
            None => Some(End::Destroyed),
            Some(info) => info.shutdown_code().map(End::from_code),
        })
    }

    /// Between two lives there is no domain, but the `xl create` that will make the next one.
    fn end_without_return(&self) -> Result<Option<End>> {
        let script = format!(
            "xl domid {0} 2>/dev/null || {{ pgrep -f '[x]l create .*/{0}[.]cfg' >/dev/null && echo between; }}",
            self.name()
        );
        let said = self.domain()?.agent.sh(&script, XL_LIMIT)?.stdout;
        match said.trim() {
            "" => return Ok(Some(End::Destroyed)),
            "between" => return Ok(None),
            domid => self.domid.set(domid.parse().with_context(|| format!("`xl domid` said {domid:?}"))?),
        }
        let code = self.info()?.and_then(|info| info.shutdown_code());
        Ok(code.map(End::from_code).filter(|end| *end == End::Crash))
    }

    /// Waits until it has ended; an error, with the end of its console, if it has not in time.
    pub fn wait_gone(&self, limit: Duration) -> Result<End> {
        let started = Instant::now();
        loop {
            interrupt::check()?;
            if let Some(end) = self.end()? {
                // What it said last goes from its ring through xenconsoled to the log.
                std::thread::sleep(PERIOD * 4);
                return Ok(end);
            }
            if started.elapsed() > limit {
                let tail = command::last_lines(&self.console(), 15);
                bail!(
                    "guest {} still runs after {} s; its console:\n{tail}",
                    self.name(),
                    limit.as_secs_f64()
                );
            }
            std::thread::sleep(PERIOD);
        }
    }

    /// Runs `xl COMMAND NAME` for this guest: `guest.xl("shutdown")`, `guest.xl("pause")`. Without Xen these and `unpause` are
    /// what QEMU does instead.
    pub fn xl(&self, command: &str) -> Result<()> {
        match &self.life {
            Life::Machine(machine) => machine.command(command)?,
            Life::Process(process) => process.command(command)?,
            Life::Domain(Domain { agent, name, .. }) => {
                agent.sh(&format!("xl {command} {name}"), XL_LIMIT)?.ok()?;
            }
        }
        Ok(())
    }

    /// Asks it to power off, and does not wait: `xl shutdown` waits a minute for a guest that does not listen.
    pub fn ask_to_leave(&self) -> Result<()> {
        match &self.life {
            Life::Machine(machine) => machine.command("shutdown")?,
            Life::Process(process) => process.command("shutdown")?,
            Life::Domain(Domain { agent, name, .. }) => {
                let script = format!("xl shutdown {name} </dev/null >/dev/null 2>&1 &");
                agent.sh(&script, XL_LIMIT)?.ok()?;
            }
        }
        Ok(())
    }

    /// Ends the domain at once and waits until it is gone.
    pub fn destroy(self) -> Result<()> {
        if let Life::Domain(Domain { agent, name, is_gone }) = &self.life {
            agent.sh(&format!("xl destroy {name}"), XL_LIMIT)?.ok()?;
            is_gone.set(true);
        }
        Ok(())
    }
}

/// Where xenconsoled logs a guest's console.
pub fn console_path(name: &str) -> String {
    format!("/var/log/xen/guest-{name}.log")
}
