//! A guest on the Xen host: what it is made from, its console, how it ended.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fata_dom0::DomainInfo;

use super::agent::{Agent, Stream};
use crate::{command, interrupt};

/// Longer than `xl shutdown` waits for a guest to hear it.
const XL_LIMIT: Duration = Duration::from_secs(90);
const PERIOD: Duration = Duration::from_millis(50);

/// Where a guest's kernel comes from.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "for the boot tests to use")]
pub enum Image {
    /// A file on this machine, uploaded when it is not in dom0 yet.
    Local(PathBuf),
    /// A path in dom0.
    InDom0(String),
}

impl From<PathBuf> for Image {
    fn from(path: PathBuf) -> Self {
        Self::Local(path)
    }
}

/// The kind of guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Paravirtual: needs no support from the processor.
    #[default]
    Pv,
    /// Hardware-virtual without emulated devices.
    Pvh,
}

/// A network interface.
#[derive(Debug, Clone)]
pub struct Vif {
    /// The bridge in dom0: `xenbr0` leads to the forwarded ports, `xenbr1` only to dom0 (10.0.3.1).
    pub bridge: String,
    /// A MAC address; `xl` makes one up where there is none.
    pub mac: Option<String>,
    /// More of `xl`'s keys: `"mtu=9000"`.
    pub more: String,
}

impl Vif {
    /// An interface on a bridge.
    pub fn on(bridge: &str) -> Self {
        Self { bridge: bridge.to_owned(), mac: None, more: String::new() }
    }

    fn to_config(&self) -> String {
        let mut config = format!("bridge={}", self.bridge);
        if let Some(mac) = &self.mac {
            config += &format!(",mac={mac}");
        }
        if !self.more.is_empty() {
            config += &format!(",{}", self.more);
        }
        config
    }
}

/// What happens to the domain when the guest ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(dead_code, reason = "for the boot tests to use")]
pub enum AtEnd {
    /// It stays in the list, so that the reason can be read; the guest's owner destroys it.
    #[default]
    Preserve,
    /// It goes, and is started again if it asked for a reboot, as on a real host.
    Act,
}

/// What a guest is made from.
#[derive(Debug, Clone)]
pub struct GuestSpec {
    /// The name's beginning; the host appends a number, so that no two guests share a name or a log.
    pub name: String,
    /// Its kernel.
    pub image: Image,
    /// `memory=`.
    pub memory_mb: u32,
    /// The kernel's command line.
    pub extra: String,
    /// Network interfaces, in order.
    pub vifs: Vec<Vif>,
    /// PV or PVH.
    pub kind: Kind,
    /// An initial ramdisk, a path in dom0.
    pub ramdisk: Option<String>,
    /// More lines for `xl`'s configuration.
    pub extra_config: String,
    /// What happens at the end.
    pub at_end: AtEnd,
}

#[allow(dead_code, reason = "for the boot tests to use")]
impl GuestSpec {
    /// A PV guest with 16 MiB, no parameters and no devices.
    pub fn new(name: &str, image: impl Into<Image>) -> Self {
        Self {
            name: name.to_owned(),
            image: image.into(),
            memory_mb: 16,
            extra: String::new(),
            vifs: Vec::new(),
            kind: Kind::Pv,
            ramdisk: None,
            extra_config: String::new(),
            at_end: AtEnd::Preserve,
        }
    }

    /// With so much memory.
    pub fn memory(mut self, mb: u32) -> Self {
        self.memory_mb = mb;
        self
    }

    /// With this kernel command line, added to what there is.
    pub fn extra(mut self, parameters: &str) -> Self {
        self.extra = format!("{} {parameters}", self.extra).trim().to_owned();
        self
    }

    /// With one more interface on a bridge.
    pub fn vif(mut self, bridge: &str) -> Self {
        self.vifs.push(Vif::on(bridge));
        self
    }

    /// With 10.0.2.15/24 on the bridge whose ports can be forwarded.
    pub fn network(self) -> Self {
        self.vif("xenbr0").extra("ipv4=10.0.2.15/24 gateway=10.0.2.2 dns=10.0.2.3")
    }

    /// With more lines of `xl` configuration.
    pub fn config(mut self, lines: &str) -> Self {
        self.extra_config += lines;
        self.extra_config.push('\n');
        self
    }

    /// The text of `xl`'s configuration, with a kernel that is in dom0.
    pub fn to_xl_config(&self, name: &str, kernel: &str) -> String {
        let kind = match self.kind {
            Kind::Pv => "pv",
            Kind::Pvh => "pvh",
        };
        let mut lines = vec![
            format!("name = \"{name}\""),
            format!("type = \"{kind}\""),
            format!("kernel = \"{kernel}\""),
            format!("memory = {}", self.memory_mb),
            "vcpus = 1".to_owned(),
            format!("extra = \"{}\"", self.extra.replace('\\', "\\\\").replace('"', "\\\"")),
        ];
        lines.extend(self.ramdisk.iter().map(|path| format!("ramdisk = \"{path}\"")));
        let vifs: Vec<String> = self.vifs.iter().map(|vif| format!("'{}'", vif.to_config())).collect();
        lines.push(format!("vif = [{}]", vifs.join(", ")));
        let (poweroff, reboot, crash) = match self.at_end {
            AtEnd::Preserve => ("preserve", "preserve", "preserve"),
            AtEnd::Act => ("destroy", "restart", "preserve"),
        };
        lines.push(format!("on_poweroff = \"{poweroff}\"\non_reboot = \"{reboot}\"\non_crash = \"{crash}\""));
        lines.push(self.extra_config.clone());
        lines.join("\n") + "\n"
    }
}

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

/// A guest that `xl create` made. Dropping it destroys the domain.
pub struct Guest {
    pub(super) agent: Agent,
    pub(super) name: String,
    pub(super) domid: u32,
    /// How long `xl create` took.
    pub create_time: Duration,
}

#[allow(dead_code, reason = "for the boot tests to use")]
impl Guest {
    /// The name it has under `xl`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number.
    pub fn domid(&self) -> u32 {
        self.domid
    }

    /// Where xenconsoled logs its console, in dom0.
    pub fn console_path(&self) -> String {
        console_path(&self.name)
    }

    /// All it has printed so far.
    pub fn console(&self) -> String {
        let bytes = self.agent.get(&self.console_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    /// Its console as it comes.
    pub fn follow_console(&self) -> Result<Stream> {
        self.agent.follow(&self.console_path())
    }

    /// Its console itself, both ways; what it says from now on goes to one reader only.
    pub fn open_console(&self) -> Result<Stream> {
        self.agent.console(self.domid)
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
                bail!("guest {} {end} before {what} was on its console:\n{}", self.name, tail());
            }
            if started.elapsed() > limit {
                bail!(
                    "no {what} on the console of {} after {} s:\n{}",
                    self.name,
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
        let mut console = self.open_console()?;
        console.write(bytes)?;
        // The agent writes before it looks for the next frame; give it time to get there.
        std::thread::sleep(PERIOD * 2);
        Ok(())
    }

    /// Looks up its number again: a guest that was restarted has another.
    pub fn refresh_domid(&mut self) -> Result<()> {
        let said = self.agent.sh(&format!("xl domid {}", self.name), XL_LIMIT)?.ok()?;
        self.domid = said.stdout.trim().parse()?;
        Ok(())
    }

    /// What the hypervisor accounts for it; `None` when it is gone.
    pub fn info(&self) -> Result<Option<DomainInfo>> {
        Ok(self.agent.domains()?.into_iter().find(|info| info.domid == self.domid))
    }

    /// Time its vCPU has run, nanoseconds.
    pub fn cpu_ns(&self) -> Result<u64> {
        let info = self.info()?.with_context(|| format!("guest {} is gone", self.name))?;
        Ok(info.cpu_ns)
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Result<Option<End>> {
        Ok(match self.info()? {
            None => Some(End::Destroyed),
            Some(info) => info.shutdown_code().map(End::from_code),
        })
    }

    /// Waits until it has ended; an error, with the end of its console, if it has not in time.
    pub fn wait_gone(&self, limit: Duration) -> Result<End> {
        let started = Instant::now();
        loop {
            interrupt::check()?;
            if let Some(end) = self.end()? {
                return Ok(end);
            }
            if started.elapsed() > limit {
                let tail = command::last_lines(&self.console(), 15);
                bail!("guest {} still runs after {} s; its console:\n{tail}", self.name, limit.as_secs_f64());
            }
            std::thread::sleep(PERIOD);
        }
    }

    /// Runs `xl COMMAND NAME` for this guest: `guest.xl("shutdown")`, `guest.xl("pause")`.
    pub fn xl(&self, command: &str) -> Result<()> {
        self.agent.sh(&format!("xl {command} {}", self.name), XL_LIMIT)?.ok()?;
        Ok(())
    }

    /// Asks it to power off, and does not wait: `xl shutdown` waits a minute for a guest that does not listen.
    pub fn ask_to_leave(&self) -> Result<()> {
        let script = format!("xl shutdown {} </dev/null >/dev/null 2>&1 &", self.name);
        self.agent.sh(&script, XL_LIMIT)?.ok()?;
        Ok(())
    }

    /// Ends the domain at once and waits until it is gone.
    pub fn destroy(self) -> Result<()> {
        self.agent.sh(&format!("xl destroy {}", self.name), XL_LIMIT)?.ok()?;
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let script = format!("xl destroy {} 2>/dev/null", self.name);
        let _ = self.agent.sh(&script, XL_LIMIT);
    }
}

/// Where xenconsoled logs a guest's console.
pub fn console_path(name: &str) -> String {
    format!("/var/log/xen/guest-{name}.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_what_xl_reads() {
        let spec = GuestSpec::new("web", PathBuf::from("web"))
            .network()
            .extra("greeting=\"a b\"")
            .config("maxmem = 32");
        let config = spec.to_xl_config("web-1", "/images/web");
        assert!(config.contains("name = \"web-1\""));
        assert!(config.contains("vif = ['bridge=xenbr0']"));
        assert!(config.contains("dns=10.0.2.3 greeting=\\\"a b\\\"\""));
        assert!(config.ends_with("maxmem = 32\n\n"));
    }
}
