//! The Xen host: a real hypervisor and a Debian dom0, in QEMU or, on a dom0, the machine itself.
//!
//! [`recipe`] says what it is made of, [`build`] makes it, [`qemu`] runs it, [`agent`] talks with dom0, [`guest`] is what runs
//! on it. [`Host`] puts them together. [`without_xen`] stands in for it where tests run the same guests elsewhere.

pub mod agent;
mod agent_program;
pub mod build;
mod cpio;
pub mod guest;
pub mod guest_spec;
pub mod linux_guest;
mod local;
pub mod qemu;
pub mod recipe;
pub mod without_xen;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub use self::agent::{Agent, Output};
pub use self::agent_program::is_asked_for as is_agent;
use self::guest::{Body, Domain, Guest, GuestSpec, Image, Kind, Place};
use self::qemu::{Options, Qemu};
use self::without_xen::Namespaces;
use self::without_xen::guest::LoneGuest;
use crate::{cache, ui};

const XL_LIMIT: Duration = Duration::from_secs(120);
/// How long the agent may take to kill a script.
const KILL_TIME: Duration = Duration::from_millis(300);

/// The machine dom0 runs on.
enum Machine {
    Qemu(Qemu),
    Local(local::LocalAgent),
    /// No Xen: namespaces of this machine.
    Namespaces(Namespaces),
}

/// A Xen host that is up.
pub struct Host {
    machine: Machine,
    options: Option<Options>,
    uploaded: HashSet<String>,
    guests_made: u32,
    /// What guests run on that are specified as PV.
    place: Place,
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
        Ok(Self::on(machine, Some(options)))
    }

    fn on(machine: Machine, options: Option<Options>) -> Self {
        Self { machine, options, uploaded: HashSet::new(), guests_made: 0, place: Place::Xen(Kind::Pv) }
    }

    /// No Xen, but the same peers: for guests on other places, in `folder`.
    pub fn without_xen(folder: &Path) -> Result<Self> {
        Ok(Self::on(Machine::Namespaces(Namespaces::start(folder)?), None))
    }

    /// The machine the tool runs on, which must be a dom0.
    pub fn local() -> Result<Self> {
        let machine = Machine::Local(local::LocalAgent::start()?);
        Ok(Self::on(machine, None))
    }

    /// Whether the tool runs on a dom0.
    pub fn is_dom0() -> bool {
        std::fs::read_to_string("/proc/xen/capabilities").is_ok_and(|text| text.contains("control_d"))
    }

    /// Whether this is the machine the tool runs on.
    pub fn is_local(&self) -> bool {
        matches!(self.machine, Machine::Local(_))
    }

    /// Ends a machine of ours at once, whatever it does.
    pub fn end(&mut self) {
        if let Machine::Qemu(qemu) = &mut self.machine {
            qemu.end();
        }
    }

    /// Destroys every guest there is, whoever made it. For a host of ours only.
    pub fn destroy_guests(&self) -> Result<()> {
        if matches!(self.machine, Machine::Qemu(_)) {
            self.sh("for id in $(xl list | awk 'NR > 2 { print $2 }'); do xl destroy $id; done", XL_LIMIT)?;
        }
        Ok(())
    }

    /// From now on guests run on this; those that are specified as PVH are that in any case.
    pub fn set_place(&mut self, place: Place) {
        self.place = place;
    }

    /// What guests run on that do not say it.
    pub fn place(&self) -> Place {
        self.place
    }

    /// How many guests have been made: the number at the end of the latest one's name.
    pub fn guests_made(&self) -> u32 {
        self.guests_made
    }

    /// Whether the machine runs and its dom0 answers.
    pub fn is_alive(&mut self) -> bool {
        let running = match &mut self.machine {
            Machine::Qemu(qemu) => qemu.is_alive(),
            Machine::Namespaces(namespaces) => namespaces.is_alive(),
            Machine::Local(_) => true,
        };
        running && self.agent().ping()
    }

    /// The agent in dom0.
    pub fn agent(&self) -> Agent {
        match &self.machine {
            Machine::Qemu(qemu) => qemu.agent,
            Machine::Local(local) => local.agent,
            Machine::Namespaces(namespaces) => namespaces.agent,
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

    /// Creates a guest: on Xen with `xl create`.
    pub fn create(&mut self, spec: &GuestSpec) -> Result<Guest> {
        if let Machine::Namespaces(namespaces) = &self.machine {
            self.guests_made += 1;
            let name = format!("{}-{}", spec.name, self.guests_made);
            let started = Instant::now();
            let lone = LoneGuest::start(namespaces, self.place, spec, &name)?;
            let body = Body::Lone(lone);
            return Ok(Guest { agent: self.agent(), name, body, create_time: started.elapsed() });
        }
        let kernel = match &spec.image {
            Image::Local(file) => self.upload(file)?,
            Image::InDom0(path) => path.clone(),
        };
        self.guests_made += 1;
        let name = self.guest_name(&spec.name);
        let config = format!("{}/{name}.cfg", self.folder());
        let mut spec = spec.clone();
        if self.place == Place::Xen(Kind::Pvh) {
            spec.kind = Kind::Pvh;
        }
        self.put(&config, spec.to_xl_config(&name, &kernel).as_bytes())?;
        // From here on, so that what a create cut short leaves is destroyed too.
        let owned = Domain { agent: self.agent(), name: name.clone() };
        let started = Instant::now();
        let paused = if spec.paused { "-p" } else { "" };
        let script = format!("xl create -q {paused} {config} && xl domid {name}");
        // The agent kills `xl` when we hang up; what is left is certain only after that.
        let created = self.sh(&script, XL_LIMIT).inspect_err(|_| std::thread::sleep(KILL_TIME))?;
        let create_time = started.elapsed();
        let created = created.ok().with_context(|| format!("cannot create guest {name}"))?;
        let domid =
            created.stdout.trim().parse().with_context(|| format!("`xl domid` said {:?}", created.stdout))?;
        let body = Body::Domain { owned, domid: Cell::new(domid), at_end: spec.at_end };
        Ok(Guest { agent: self.agent(), name, body, create_time })
    }

    /// What the hypervisor has logged.
    pub fn xl_dmesg(&self) -> Result<String> {
        Ok(self.sh("xl dmesg", XL_LIMIT)?.ok()?.stdout)
    }

    /// The serial log, where there is one.
    pub fn serial_log(&self) -> Option<PathBuf> {
        self.options.as_ref().map(|options| options.log.clone())
    }

    /// Where images and configurations go in dom0.
    fn folder(&self) -> Cow<'_, str> {
        match &self.machine {
            Machine::Qemu(_) | Machine::Namespaces(_) => "/tmp/fata".into(),
            Machine::Local(local) => local.folder().to_string_lossy(),
        }
    }

    /// Unique on a host of ours; on a dom0 that others use too, unique by process.
    fn guest_name(&self, name: &str) -> String {
        match &self.machine {
            Machine::Qemu(_) | Machine::Namespaces(_) => format!("{name}-{}", self.guests_made),
            Machine::Local(_) => format!("{name}-{}-{}", std::process::id(), self.guests_made),
        }
    }
}
