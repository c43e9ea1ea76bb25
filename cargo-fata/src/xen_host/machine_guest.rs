//! A guest without Xen for tests: a QEMU in the network of the [`peers`](super::peers), its console in memory and in a log.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::agent::Agent;
use super::guest::End;
use crate::interrupt;
use crate::qemu_guest::{Machine, Process};

const IP_LIMIT: Duration = Duration::from_secs(20);

/// What it has printed so far.
type Printed = Arc<Mutex<Vec<u8>>>;

/// A running guest; dropping it ends it.
pub struct MachineGuest {
    name: String,
    process: RefCell<Process>,
    printed: Printed,
    // After the process, which uses them.
    _taps: Taps,
}

/// Tap devices, which go when they are dropped.
pub struct Taps {
    agent: Agent,
    names: Vec<String>,
}

impl Taps {
    /// One for each bridge, with more of `ip tuntap`'s options.
    pub fn on(agent: Agent, bridges: &[&str], number: &str, options: &str) -> Result<Self> {
        let mut taps = Self { agent, names: Vec::new() };
        for (n, bridge) in bridges.iter().enumerate() {
            let name = format!("tap{number}.{n}");
            let script =
                format!("ip tuntap add {name} mode tap {options} && ip link set {name} master {bridge} up");
            agent.sh(&script, IP_LIMIT)?.ok()?;
            taps.names.push(name);
        }
        Ok(taps)
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl Drop for Taps {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = interrupt::ignored(|| self.agent.sh(&format!("ip link delete {name}"), IP_LIMIT));
        }
    }
}

impl MachineGuest {
    /// Starts it. Its console goes to `log` too.
    pub fn start(name: &str, machine: &Machine, taps: Taps, log: &Path) -> Result<Self> {
        let mut log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let printed = Printed::default();
        let copy = printed.clone();
        let process = Process::start(machine, move |bytes| {
            let _ = log.write_all(bytes);
            copy.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        })?;
        Ok(Self { name: name.to_owned(), process: RefCell::new(process), printed, _taps: taps })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All it has printed so far.
    pub fn console(&self) -> Vec<u8> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Types on its console.
    pub fn type_bytes(&self, bytes: &[u8]) -> Result<()> {
        self.process.borrow_mut().type_bytes(bytes)
    }

    /// Time that QEMU has used, nanoseconds.
    pub fn cpu_ns(&self) -> Result<u64> {
        self.process.borrow().cpu_ns()
    }

    /// How it ended, if it has, and all it printed has come.
    pub fn end(&self) -> Result<Option<End>> {
        self.process.borrow_mut().end()
    }

    /// What `xl COMMAND` does on Xen.
    pub fn command(&self, command: &str) -> Result<()> {
        let mut process = self.process.borrow_mut();
        match command {
            "shutdown" => process.ask_to_leave(),
            "pause" => process.pause(),
            "unpause" => process.unpause(),
            other => bail!("there is no {other} without Xen"),
        }
    }
}
