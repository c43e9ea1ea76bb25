//! The Xen host: a real hypervisor and a Debian dom0, in QEMU or, on a dom0, the machine itself. For guests without Xen it is
//! dom0's programs alone, in a network of their own ([`peers`]).
//!
//! [`recipe`] says what it is made of, [`build`] makes it, [`qemu`] runs it, [`agent`] talks with dom0, [`guest`] is what runs
//! on it. [`Host`] puts them together.

pub mod agent;
mod agent_program;
pub mod build;
mod cpio;
pub mod guest;
mod guest_spec;
pub mod linux_guest;
mod local;
mod machine_guest;
mod peers;
mod process_guest;
pub mod qemu;
pub mod recipe;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub use self::agent::{Agent, Output};
pub use self::agent_program::{build as build_agent, is_asked_for as is_agent};
use self::guest::{AtEnd, Domain, Guest, GuestSpec, Image, Kind, Life};
use self::qemu::{Options, Qemu};
use crate::qemu_guest::Board;
use crate::{cache, ui};

const XL_LIMIT: Duration = Duration::from_secs(120);
/// How long the agent may take to kill a script.
const KILL_TIME: Duration = Duration::from_millis(300);

/// The machine dom0 runs on.
enum Machine {
    Qemu(Qemu),
    Local(local::LocalAgent),
    Peers(peers::Peers),
}

/// A Xen host that is up.
pub struct Host {
    machine: Machine,
    options: Option<Options>,
    uploaded: HashSet<String>,
    guests_made: u32,
    /// The type of guests that are specified as PV.
    kind: Kind,
}

impl Host {
    /// Boots a Xen host in QEMU.
    pub fn boot(options: Options) -> Result<Self> {
        let parts = build::parts()?;
        let overlay = agent_program::initramfs_with_agent(&parts, &options.log)?;
        let step = ui::step("booting Xen and dom0 in QEMU");
        let booted = Qemu::boot(&parts, &overlay, &options);
        let _ = std::fs::remove_file(&overlay);
        let machine = Machine::Qemu(booted?);
        step.done();
        Ok(Self { machine, options: Some(options), uploaded: HashSet::new(), guests_made: 0, kind: Kind::Pv })
    }

    /// The machine the tool runs on, which must be a dom0.
    pub fn local() -> Result<Self> {
        let machine = Machine::Local(local::LocalAgent::start()?);
        Ok(Self { machine, options: None, uploaded: HashSet::new(), guests_made: 0, kind: Kind::Pv })
    }

    /// No Xen, but what stands beside its guests in tests; guests are QEMU's alone. Their consoles are kept in `logs`.
    pub fn without_xen(logs: &Path) -> Result<Self> {
        let machine = Machine::Peers(peers::Peers::start(logs)?);
        let kind = Kind::Machine(Board::Microvm);
        Ok(Self { machine, options: None, uploaded: HashSet::new(), guests_made: 0, kind })
    }

    /// Whether the tool runs on a dom0.
    pub fn is_dom0() -> bool {
        std::fs::read_to_string("/proc/xen/capabilities").is_ok_and(|text| text.contains("control_d"))
    }

    /// Whether this is the machine the tool runs on.
    pub fn is_local(&self) -> bool {
        matches!(self.machine, Machine::Local(_))
    }

    /// Starts again from nothing: all guests and files are gone.
    pub fn restart(&mut self) -> Result<()> {
        if let Machine::Peers(peers) = &self.machine {
            let logs = peers.logs().to_owned();
            let guests_made = self.guests_made;
            *self = Self::without_xen(&logs)?;
            self.guests_made = guests_made;
            return Ok(());
        }
        let Some(options) = self.options.clone() else {
            bail!("this machine's own Xen is not ours to restart")
        };
        // The old machine ends first: its forwarded ports are needed.
        if let Machine::Qemu(qemu) = &mut self.machine {
            qemu.end();
        }
        let (guests_made, kind) = (self.guests_made, self.kind);
        *self = Self::boot(options)?;
        (self.guests_made, self.kind) = (guests_made, kind);
        Ok(())
    }

    /// Ends a machine of ours at once, whatever it does.
    pub fn end(&mut self) {
        if let Machine::Qemu(qemu) = &mut self.machine {
            qemu.end();
        }
    }

    /// Destroys every guest there is, whoever made it. For a host of ours only.
    pub fn destroy_guests(&self) -> Result<()> {
        // Most often there is none, which costs no program in dom0.
        if matches!(self.machine, Machine::Qemu(_)) && self.agent().domains()?.len() > 1 {
            self.sh("for id in $(xl list | awk 'NR > 2 { print $2 }'); do xl destroy $id; done", XL_LIMIT)?;
        }
        Ok(())
    }

    /// The port on 127.0.0.1 that leads to one of the guests' ports.
    pub fn forwarded(&self, guest_port: u16) -> Option<u16> {
        let forwards = &self.options.as_ref()?.forwards;
        Some(forwards.iter().find(|forward| forward.guest_port == guest_port)?.host_port)
    }

    /// The socket of this machine that a port of the guests' network leads to.
    pub fn backward(&self, address: SocketAddrV4) -> Option<&Path> {
        let backwards = &self.options.as_ref()?.backwards;
        Some(&backwards.iter().find(|backward| backward.address == address)?.socket)
    }

    /// From now on guests are of this kind, but those that are specified as PVH.
    pub fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// The type of guests that do not say theirs.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many guests have been made: the number at the end of the latest one's name.
    pub fn guests_made(&self) -> u32 {
        self.guests_made
    }

    /// Whether the machine runs and its dom0 answers.
    pub fn is_alive(&mut self) -> bool {
        let running = match &mut self.machine {
            Machine::Qemu(qemu) => qemu.is_alive(),
            Machine::Local(_) => true,
            Machine::Peers(peers) => peers.is_alive(),
        };
        running && self.agent().ping()
    }

    /// The process of a machine of ours.
    pub fn process_id(&self) -> Option<u32> {
        match &self.machine {
            Machine::Qemu(qemu) => Some(qemu.id()),
            Machine::Local(_) | Machine::Peers(_) => None,
        }
    }

    /// The agent in dom0.
    pub fn agent(&self) -> Agent {
        match &self.machine {
            Machine::Qemu(qemu) => qemu.agent,
            Machine::Local(local) => local.agent,
            Machine::Peers(peers) => peers.agent,
        }
    }

    /// Runs a bash script in dom0; an error if it takes longer than `limit`. What it leaves in the background lives on.
    pub fn sh(&self, script: &str, limit: Duration) -> Result<Output> {
        self.agent().sh(script, limit)
    }

    /// Writes a file in dom0, executable, with its folders.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.agent().put(path, bytes)
    }

    /// Reads a file in dom0.
    pub fn get(&self, path: &str) -> Result<Vec<u8>> {
        self.agent().get(path)
    }

    /// Uploads a file of this machine unless it is there already; gives its path in dom0.
    pub fn upload(&mut self, file: &Path) -> Result<String> {
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = format!("{}/{name}-{}", self.folder(), cache::digest_bytes(&bytes));
        if !self.uploaded.contains(&path) {
            self.put(&path, &bytes)?;
            self.uploaded.insert(path.clone());
        }
        Ok(path)
    }

    /// Creates a guest, with `xl create` or, without Xen, as a QEMU of its own.
    pub fn create(&mut self, spec: &GuestSpec) -> Result<Guest> {
        if let Machine::Peers(peers) = &self.machine {
            self.guests_made += 1;
            return peers.create(spec, self.kind, &format!("{}-{}", spec.name, self.guests_made));
        }
        let kernel = match &spec.image {
            Image::Local(file) => self.upload(file)?,
            Image::InDom0(path) => path.clone(),
        };
        self.guests_made += 1;
        let name = self.guest_name(&spec.name);
        let config = format!("{}/{name}.cfg", self.folder());
        let mut spec = spec.clone();
        if self.kind != Kind::Pv {
            spec.kind = self.kind;
        }
        self.put(&config, spec.to_xl_config(&name, &kernel).as_bytes())?;
        // From here on, so that what a create cut short leaves is destroyed too.
        let domain = Domain::new(self.agent(), name.clone());
        let started = Instant::now();
        let paused = if spec.paused { "-p" } else { "" };
        // Where nothing is done at its end nobody needs to wait for it.
        let alone = if spec.at_end == AtEnd::Preserve { "-e" } else { "" };
        // On a host of ours a guest that stays is the newest domain: its number is the highest.
        let is_newest = matches!(self.machine, Machine::Qemu(_)) && spec.at_end == AtEnd::Preserve;
        let ask = if is_newest { "" } else { &format!(" && xl domid {name}") };
        let script = format!("xl create -q {paused} {alone} {config}{ask}");
        // The agent kills `xl` when we hang up; what is left is certain only after that.
        let created = self.sh(&script, XL_LIMIT).inspect_err(|_| std::thread::sleep(KILL_TIME))?;
        let create_time = started.elapsed();
        let created = created.ok().with_context(|| format!("cannot create guest {name}"))?;
        let domid = if is_newest {
            let domids = self.agent().domains()?.into_iter().map(|info| info.domid);
            domids.max().filter(|domid| *domid > 0).with_context(|| format!("guest {name} is gone"))?
        } else {
            created.stdout.trim().parse().with_context(|| format!("`xl domid` said {:?}", created.stdout))?
        };
        Ok(Guest { life: Life::Domain(domain), domid: Cell::new(domid), at_end: spec.at_end, create_time })
    }

    /// What the hypervisor has logged.
    pub fn xl_dmesg(&self) -> Result<String> {
        Ok(self.sh("xl dmesg", XL_LIMIT)?.ok()?.stdout)
    }

    /// Where the consoles of guests are kept, where there is no Xen.
    pub fn logs_without_xen(&self) -> Option<&Path> {
        match &self.machine {
            Machine::Peers(peers) => Some(peers.logs()),
            Machine::Qemu(_) | Machine::Local(_) => None,
        }
    }

    /// The serial log, where there is one.
    pub fn serial_log(&self) -> Option<PathBuf> {
        self.options.as_ref().map(|options| options.log.clone())
    }

    /// Where images and configurations go in dom0.
    fn folder(&self) -> Cow<'_, str> {
        match &self.machine {
            Machine::Qemu(_) | Machine::Peers(_) => "/tmp/fata".into(),
            Machine::Local(local) => local.folder().to_string_lossy(),
        }
    }

    /// Unique on a host of ours; on a dom0 that others use too, unique by process.
    fn guest_name(&self, name: &str) -> String {
        match &self.machine {
            Machine::Qemu(_) | Machine::Peers(_) => format!("{name}-{}", self.guests_made),
            Machine::Local(_) => format!("{name}-{}-{}", std::process::id(), self.guests_made),
        }
    }
}
