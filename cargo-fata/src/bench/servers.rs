//! Our guest and the Linux guest beside each other on one host, and what a run of a load costs one of them.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::contest::Run;
use super::quiet::Watch;
use crate::ui;
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec};
use crate::xen_host::linux_guest::LinuxGuest;
use crate::xen_host::qemu::Options;

const HOST_MEMORY_MB: u32 = 3000;
const LINUX_MEMORY_MB: u32 = 256;
const BOOT_LIMIT: Duration = Duration::from_secs(180);
/// Our guest's address.
pub const FATA: &str = "10.0.2.15";
const LINUX: &str = "10.0.2.16";

/// A host to measure on; its log goes to `folder`.
pub fn host(folder: &Path) -> Result<Host> {
    Host::boot(Options {
        memory_mb: HOST_MEMORY_MB,
        forwards: Vec::new(),
        backwards: Vec::new(),
        disks: Vec::new(),
        log: folder.join("serial.log"),
        gdb_port: None,
    })
}

/// A server under measurement. It is paused while it is not measured.
pub struct Server {
    name: &'static str,
    /// The guest.
    pub guest: Guest,
    /// Where it is.
    pub address: &'static str,
    image_bytes: u64,
    memory_mb: u32,
    first_answer_cpu_ns: u64,
}

impl Server {
    /// Ours, from an image. `answers` is what its first answer is asked for with: a command for bash, with the address in
    /// place of `ADDRESS`, that succeeds.
    pub fn fata(host: &mut Host, image: &Path, spec: GuestSpec, answers: &str) -> Result<Self> {
        let (image_bytes, memory_mb) = (fs::metadata(image)?.len(), spec.memory_mb);
        let guest = host.create(&spec.network())?;
        Self::started(host, "fata", guest, FATA, image_bytes, memory_mb, answers)
    }

    /// Linux.
    pub fn linux(host: &mut Host, linux: &LinuxGuest, answers: &str) -> Result<Self> {
        let spec = linux.spec(host, &format!("{LINUX}/24"), LINUX_MEMORY_MB)?;
        let guest = host.create(&spec)?;
        let image_bytes = fs::metadata(&linux.kernel)?.len() + fs::metadata(&linux.initramfs)?.len();
        Self::started(host, "linux", guest, LINUX, image_bytes, LINUX_MEMORY_MB, answers)
    }

    fn started(
        host: &Host,
        name: &'static str,
        guest: Guest,
        address: &'static str,
        image_bytes: u64,
        memory_mb: u32,
        answers: &str,
    ) -> Result<Self> {
        let started = Instant::now();
        let script = format!("until {}; do sleep 0.05; done", answers.replace("ADDRESS", address));
        host.sh(&script, BOOT_LIMIT)
            .with_context(|| format!("{name} does not answer; its console:\n{}", guest.console()))?;
        let first_answer_cpu_ns = guest.cpu_ns()?;
        ui::say(format!("{} answers after {:.1} s", guest.name(), started.elapsed().as_secs_f64()));
        guest.xl("pause")?;
        let server = Self { name, guest, address, image_bytes, memory_mb, first_answer_cpu_ns };
        server.print();
        Ok(server)
    }

    /// Guest CPU from its first instruction to the first answer, nanoseconds.
    pub fn first_answer_cpu_ns(&self) -> u64 {
        self.first_answer_cpu_ns
    }

    /// Measures one load: `load` does it and says how many units of work and how many seconds it was; `unit_ns` is what the
    /// cost is told in, nanoseconds.
    pub fn measure(
        &self,
        host: &Host,
        unit_ns: f64,
        warm_up: impl FnOnce() -> Result<()>,
        load: impl FnOnce() -> Result<(f64, f64)>,
    ) -> Result<Run> {
        self.guest.xl("unpause")?;
        let measured = self.measure_unpaused(host, unit_ns, warm_up, load);
        // Whatever became of it: the other one is to have the host for itself.
        self.guest.xl("pause")?;
        measured
    }

    fn measure_unpaused(
        &self,
        host: &Host,
        unit_ns: f64,
        warm_up: impl FnOnce() -> Result<()>,
        load: impl FnOnce() -> Result<(f64, f64)>,
    ) -> Result<Run> {
        warm_up()?;
        let watch = Watch::start(host.process_id());
        let before = self.guest.cpu_ns()?;
        let (units, seconds) = load().with_context(|| format!("no figure of {}", self.name))?;
        let spent = self.guest.cpu_ns()? - before;
        let others = watch.end(self.name);
        Ok(Run { cost: spent as f64 / unit_ns / units, rate: units / seconds, others })
    }

    fn print(&self) {
        println!(
            "{}: image {} kB, memory {} MiB, xl create {:.2} s, guest CPU to the first answer {:.1} ms",
            self.name,
            self.image_bytes / 1000,
            self.memory_mb,
            self.guest.create_time.as_secs_f64(),
            self.first_answer_cpu_ns as f64 / 1e6
        );
    }

    /// For the file of results.
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "image_bytes": self.image_bytes,
            "memory_mib": self.memory_mb,
            "xl_create_s": self.guest.create_time.as_secs_f64(),
            "first_answer_cpu_ms": self.first_answer_cpu_ns as f64 / 1e6,
        })
    }
}
