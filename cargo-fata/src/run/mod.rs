//! `cargo fata run` and `exec`: one guest, its console here, until it ends or the user stops it.
//!
//! What stands here is for guests on Xen; [`qemu`] is for guests without, [`process`] for an appliance as a process.

mod console;
pub mod disks;
pub mod gdb;
pub mod pcap;
mod ports;
mod process;
mod qemu;
mod spec;
mod status;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::console::{Console, Keyboard};
use self::disks::Disk;
use self::gdb::Gdb;
use self::pcap::Pcap;
use crate::cli::{ExecArgs, GuestArgs, RunArgs};
use crate::note::Note;
use crate::setup::{self, Need};
use crate::symbols::Symbols;
use crate::workspace::Workspace;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec, Kind};
use crate::xen_host::qemu::Options;
use crate::{interrupt, ui};

/// How long a guest may take to leave when it is asked to.
const GRACE: Duration = Duration::from_secs(10);
/// How often the domain's state is asked for.
const STATE_PERIOD: Duration = Duration::from_millis(300);
/// What Xen and dom0 need beside the guest.
const HOST_OVERHEAD_MB: u32 = 1900;

/// `cargo fata run`.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    let name = args.example.as_deref().or(args.app.as_deref()).context("nothing to run")?;
    let target = || -> Result<_> {
        let target = Workspace::current()?.find(name, args.example.is_some())?;
        Ok(target.with_features(args.features.iter().cloned()))
    };
    if args.on == "unix" {
        return process::run(&target()?, args);
    }
    setup::ensure(&[Need::Target])?;
    let image = target()?.build(&[])?;
    on(&args.on, &image, &args.guest, &args.guest.params)
}

/// `cargo fata exec`.
pub fn exec(args: &ExecArgs) -> Result<ExitCode> {
    let params = [args.guest.params.clone(), args.more_params.clone()].concat();
    on(&args.on, &args.image, &args.guest, &params)
}

fn on(place: &str, image: &Path, args: &GuestArgs, params: &[String]) -> Result<ExitCode> {
    match place {
        "qemu" => qemu::session(image, args, params),
        _ if args.machine.is_some() => {
            bail!("--machine is for --on qemu: on Xen a guest has no such machine")
        }
        _ if args.accel.is_some() => {
            bail!(
                "--accel is for --on qemu: the tool's Xen host is emulated in software, and Xen runs its guests"
            )
        }
        _ => session(image, args, params),
    }
}

fn session(image: &Path, args: &GuestArgs, params: &[String]) -> Result<ExitCode> {
    let symbols = Symbols::of(image);
    let spec = spec::guest_spec(image, args, params)?;
    let gdb = match (args.gdb, spec.kind) {
        (false, _) => None,
        (true, Kind::Pvh) => Some(Gdb::prepare(image)?.of_pvh(image)?),
        (true, _) => Some(Gdb::prepare(image)?),
    };
    let disks = disks::of(&args.disks, Note::of(image)?.map(|note| note.manifest).as_ref(), params)?;
    let spec = match disks::xl_line(&disks, Host::is_dom0()) {
        Some(line) => spec.config(&line),
        None => spec,
    };
    let mut host = host(args, &spec, disks, gdb.as_ref())?;
    let pcap = args.pcap.as_deref().map(|path| Pcap::create(path, spec.vifs.len())).transpose()?;
    let mut session = Session { spec, symbols, keyboard: Keyboard::listen(), pcap, gdb };
    let ended = session.until_end(&mut host);
    // The serial log is kept only where something went wrong.
    match host.serial_log() {
        Some(log) if matches!(ended, Ok(End::PowerOff)) => {
            let _ = log.parent().map(fs::remove_dir_all);
        }
        Some(log) => ui::say(format!("the Xen host's serial log: {}", log.display())),
        None => {}
    }
    Ok(status::of_guest(ended?, false))
}

/// What stays the same from one life of the guest to the next.
struct Session {
    spec: GuestSpec,
    symbols: Symbols,
    keyboard: Keyboard,
    pcap: Option<Pcap>,
    gdb: Option<Gdb>,
}

impl Session {
    /// Runs the guest, and again as often as it asks for it; says how it ended.
    fn until_end(&mut self, host: &mut Host) -> Result<End> {
        loop {
            let end = self.run_once(host)?;
            match end {
                End::Reboot => {
                    ui::say("the guest asked for a reboot: starting it again");
                    continue;
                }
                End::Crash => ui::say(ui::paint(ui::Colour::Red, "the guest crashed")),
                end => ui::say(format!("the guest {end}")),
            }
            self.pcap.iter().for_each(Pcap::announce);
            return Ok(end);
        }
    }

    fn run_once(&mut self, host: &mut Host) -> Result<End> {
        let guest = host.create(&self.spec)?;
        ui::say(format!(
            "guest {} created in {:.1} s; Ctrl-C ends it",
            guest.name(),
            guest.create_time.as_secs_f64()
        ));
        let capture = self.pcap.as_mut().map(|pcap| pcap.start(host, &guest)).transpose()?;
        let _server = match &self.gdb {
            Some(gdb) => Some(gdb.start(host, &guest)?),
            None if self.spec.paused => guest.unpause().map(|()| None)?,
            None => None,
        };
        let end = self.watch(host, &guest);
        if self.is_stopped() {
            // Nothing in it answers, and nothing in it is kept.
            host.end();
            return Ok(End::Destroyed);
        }
        // While the guest's interfaces are still there, however it ended.
        capture.map_or(Ok(()), |capture| interrupt::ignored(|| capture.finish()))?;
        end
    }

    /// Shows the guest's console until it ends or the user ends it.
    fn watch(&self, host: &Host, guest: &Guest) -> Result<End> {
        let mut console = Console::of(guest, host.is_local(), &self.symbols)?;
        let mut asked = Instant::now();
        loop {
            let shown = console.copy().and_then(|()| self.keyboard.forward(|line| guest.type_line(&line)));
            if self.is_stopped() {
                return Ok(End::Destroyed);
            }
            // Before what that may have interrupted is taken for an error.
            if interrupt::requested() {
                return stop(guest, &mut console);
            }
            shown?;
            if asked.elapsed() > STATE_PERIOD {
                asked = Instant::now();
                match guest.end() {
                    Ok(Some(end)) => {
                        console.drain()?;
                        return Ok(end);
                    }
                    // gdb has stopped the machine, or the user wants to end.
                    Err(_) if interrupt::requested() || self.gdb.as_ref().is_some_and(Gdb::is_connected) => {}
                    other => drop(other?),
                }
            }
        }
    }

    /// Whether the user ends what gdb may have stopped.
    fn is_stopped(&self) -> bool {
        interrupt::requested() && self.gdb.as_ref().is_some_and(Gdb::is_connected)
    }
}

/// Asks the guest to leave, then makes it. A second Ctrl-C does not wait.
fn stop(guest: &Guest, console: &mut Console<'_>) -> Result<End> {
    interrupt::clear();
    ui::say("stopping the guest");
    guest.ask_to_leave()?;
    let asked = Instant::now();
    while asked.elapsed() < GRACE && !interrupt::requested() {
        console.copy()?;
        if let Some(end) = guest.end()? {
            console.drain()?;
            // Nobody who asks it to leave wants it again.
            return Ok(if end == End::Reboot { End::PowerOff } else { end });
        }
    }
    interrupt::clear();
    ui::warn("the guest did not leave when asked; destroyed");
    Ok(End::Destroyed)
}

fn host(args: &GuestArgs, spec: &GuestSpec, disks: Vec<Disk>, gdb: Option<&Gdb>) -> Result<Host> {
    if Host::is_dom0() {
        refuse_what_only_qemu_does(args)?;
        ui::say(format!("this machine is a dom0: using its own Xen{}", network_on_dom0(spec)));
        return Host::local();
    }
    setup::ensure(&[Need::XenHost])?;
    let forwards = match spec::forwarded_address(spec) {
        Some(address) => ports::forwards(&args.forwards, address)?,
        None if args.forwards.is_empty() => Vec::new(),
        None => bail!("--forward leads nowhere: the guest has no network interface with IPv4"),
    };
    let memory_mb = if args.host_memory > 0 { args.host_memory } else { spec.memory_mb + HOST_OVERHEAD_MB };
    let log = std::env::temp_dir().join(format!("fata-{}", std::process::id())).join("serial.log");
    let gdb_port = gdb.map(|gdb| gdb.port);
    let (led, backwards) = (forwards.clone(), Vec::new());
    let host = Host::boot(Options { memory_mb, forwards: led, backwards, disks, log, gdb_port })?;
    ports::announce(&forwards);
    Ok(host)
}

/// What is asked for and cannot be done must not be passed over in silence.
fn refuse_what_only_qemu_does(args: &GuestArgs) -> Result<()> {
    if !args.forwards.is_empty() {
        bail!("this machine is a dom0: its guests have addresses of their own, --forward does nothing here");
    }
    if args.host_memory > 0 {
        bail!("this machine is a dom0: there is no machine in QEMU for --host-memory to size");
    }
    Ok(())
}

/// The choices made for a guest's network on a machine whose network is the user's.
fn network_on_dom0(spec: &GuestSpec) -> String {
    let Some(vif) = spec.vifs.first() else { return String::new() };
    let is_given = spec.extra.split(' ').any(|param| param.starts_with("ipv4=") || param.contains(".ipv4="));
    let address = if is_given { "" } else { "; IPv4 addresses from DHCP, unless --param ipv4=... gives one" };
    format!(", bridge {}{address}", vif.bridge)
}
