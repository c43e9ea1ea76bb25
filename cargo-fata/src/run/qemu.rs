//! `cargo fata run --on qemu`: a guest of QEMU alone, its console here, until it ends or the user stops it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::console::{Keyboard, Screen};
use super::gdb::Gdb;
use super::pcap::Pcap;
use super::{GRACE, disks, ports, spec, status};
use crate::cli::GuestArgs;
use crate::note::{self, Entries, Note};
use crate::qemu_guest::{Accelerator, Backend, Board, Machine, Nic, Process};
use crate::setup::{self, Need};
use crate::symbols::Symbols;
use crate::xen_host::guest::End;
use crate::xen_host::qemu::Forward;
use crate::{image_file, interrupt, ui};

/// The first of QEMU's networks is 10.0.2.0/24, as is our Xen host's.
const FIRST_NETWORK: usize = 2;
/// How long a look at the console waits for something to come.
const TICK: Duration = Duration::from_millis(50);
/// A guest that asks for a reboot so soon, so often in a row, would do so for ever.
const SHORT_LIFE: Duration = Duration::from_secs(2);
const SHORT_LIVES: u32 = 5;

/// Runs an image.
pub fn session(image: &Path, args: &GuestArgs, params: &[String]) -> Result<ExitCode> {
    refuse_what_only_xen_does(args)?;
    setup::ensure(&[Need::Qemu])?;
    if image_file::is_packed(image)? {
        bail!("{} is packed, which QEMU does not unpack: run the image that it was made of", image.display());
    }
    let Entries { pvh: Some(entry), .. } = note::entries(image)? else {
        bail!("{} has no PVH entry, which QEMU needs (XEN_ELFNOTE_PHYS32_ENTRY)", image.display());
    };
    let gdb = if args.gdb { Some(Gdb::prepare(image)?) } else { None };
    let mut plan = Plan { machine: machine(image, args, gdb.as_ref())?, forwards: Vec::new() };
    plan.add_networks(image, args, params)?;
    add_disks(&mut plan.machine, args, params)?;
    let pcap = args.pcap.as_deref().map(|path| Pcap::create(path, plan.machine.nics.len())).transpose()?;
    ports::announce(&plan.forwards);
    let symbols = Symbols::of(image);
    let mut session = Session {
        machine: plan.machine,
        symbols,
        keyboard: Keyboard::listen(),
        pcap,
        gdb,
        entry,
        has_panicked: false,
    };
    let end = session.until_end()?;
    Ok(status::of_guest(end, session.has_panicked))
}

/// What is asked for and cannot be done must not be passed over in silence.
fn refuse_what_only_xen_does(args: &GuestArgs) -> Result<()> {
    if args.kind != "pv" {
        bail!("--type is for Xen: QEMU starts a guest by its PVH entry always");
    }
    if args.host_memory > 0 {
        bail!("--host-memory is for the machine that Xen runs on: with --on qemu, --memory is the machine's");
    }
    Ok(())
}

fn machine(image: &Path, args: &GuestArgs, gdb: Option<&Gdb>) -> Result<Machine> {
    let board = Board::from(args.machine.as_deref().unwrap_or_default());
    let mut machine = Machine::new(board, image.to_owned());
    machine.gdb_port = gdb.map(|gdb| gdb.port);
    machine.accelerator = accelerator(args)?;
    Ok(machine)
}

fn accelerator(args: &GuestArgs) -> Result<Accelerator> {
    match (args.accel.as_deref(), args.gdb) {
        (Some("kvm"), true) => {
            bail!("--accel kvm does not go with --gdb, whose breakpoints want software (tcg)")
        }
        // Its breakpoints leave no trace in memory, and need no memory to be mapped yet.
        (_, true) | (Some("tcg"), false) => Ok(Accelerator::Tcg),
        (Some(_), false) => Ok(Accelerator::Kvm),
        (None, false) => Ok(Accelerator::Best),
    }
}

/// What is said of a machine that failed. KVM has not been tried everywhere: where it is why, nothing has been heard of the guest.
fn explained(error: anyhow::Error, accelerator: &str, has_spoken: bool) -> anyhow::Error {
    match accelerator == "kvm" && !has_spoken {
        true => error.context(
            "QEMU with KVM failed before the guest said anything; with --accel tcg it runs without KVM",
        ),
        false => error,
    }
}

/// The machine, and the ports of ours that lead to it.
struct Plan {
    machine: Machine,
    forwards: Vec<Forward>,
}

impl Plan {
    /// The image's networks, its memory and its parameters.
    fn add_networks(&mut self, image: &Path, args: &GuestArgs, params: &[String]) -> Result<()> {
        let spec = spec::without_xen(image, args, params)?;
        self.machine.memory_mb = spec.memory_mb;
        self.machine.command_line.clone_from(&spec.extra);
        self.forwards = match spec::forwarded_address(&spec) {
            Some(address) => ports::forwards(&args.forwards, address)?,
            None if args.forwards.is_empty() => Vec::new(),
            None => bail!("--forward leads nowhere: the guest has no network interface with IPv4"),
        };
        let nic = |n: usize| {
            let forwards = if n == 0 { self.forwards.clone() } else { Vec::new() };
            Nic { backend: Backend::User { number: FIRST_NETWORK + n, forwards }, pcap: None }
        };
        self.machine.nics = (0..spec.vifs.len()).map(nic).collect();
        Ok(())
    }
}

/// The files that are the image's block devices.
fn add_disks(machine: &mut Machine, args: &GuestArgs, params: &[String]) -> Result<()> {
    let note = Note::of(&machine.kernel)?;
    machine.disks = disks::of(&args.disks, note.map(|note| note.manifest).as_ref(), params)?;
    Ok(())
}

/// What stays the same from one life of the guest to the next.
struct Session {
    machine: Machine,
    symbols: Symbols,
    keyboard: Keyboard,
    pcap: Option<Pcap>,
    gdb: Option<Gdb>,
    /// Its first instruction, a physical address.
    entry: u64,
    /// Whether what ended it was a panic.
    has_panicked: bool,
}

impl Session {
    /// Runs the guest, and again as often as it asks for it; says how it ended.
    fn until_end(&mut self) -> Result<End> {
        let mut short_lives = 0;
        loop {
            let started = Instant::now();
            let end = self.run_once()?;
            match end {
                End::Reboot => {
                    short_lives = if started.elapsed() < SHORT_LIFE { short_lives + 1 } else { 0 };
                    if short_lives == SHORT_LIVES {
                        bail!("the guest reset its machine {short_lives} times, each soon after its start");
                    }
                    ui::say("the guest asked for a reboot: starting it again");
                    continue;
                }
                End::Crash => {
                    let how =
                        if self.has_panicked { "the guest crashed (panic)" } else { "the guest crashed" };
                    ui::say(ui::paint(ui::Colour::Red, how));
                }
                End::Destroyed => ui::say("QEMU was ended"),
                end => ui::say(format!("the guest {end}")),
            }
            self.pcap.iter().for_each(Pcap::announce);
            return Ok(end);
        }
    }

    fn run_once(&mut self) -> Result<End> {
        let captures = self.pcap.as_mut().map(Pcap::next_life).unwrap_or_default();
        for (nic, path) in self.machine.nics.iter_mut().zip(&captures) {
            nic.pcap = Some(path.clone());
        }
        let (sender, console) = channel();
        let print = move |bytes: &[u8]| drop(sender.send(bytes.to_vec()));
        let Machine { board, accelerator, memory_mb, .. } = &self.machine;
        let accelerator = accelerator.name();
        let process = Process::start(&self.machine, print)?;
        let mut guest = Guest { process, console, accelerator, has_spoken: false };
        ui::say(format!("in QEMU: {board} with {memory_mb} MiB, {accelerator}; Ctrl-C ends it"));
        if let Some(gdb) = &self.gdb {
            gdb.announce_machine(self.entry);
        }
        let end = self.watch(&mut guest);
        self.has_panicked = guest.process.has_panicked();
        guest.process.destroy();
        self.pcap.as_mut().map_or(Ok(()), |pcap| pcap.keep(&captures))?;
        end
    }

    /// Shows the guest's console until it ends or the user ends it.
    fn watch(&self, guest: &mut Guest) -> Result<End> {
        let mut screen = Screen::new(&self.symbols);
        let mut debugged = Debugged::NotYet;
        loop {
            if self.gdb.is_some() {
                debugged = debugged.next(self.gdb.as_ref().is_some_and(Gdb::is_connected));
            }
            if interrupt::requested() {
                // What gdb has stopped hears nothing.
                let is_deaf = self.gdb.is_some() && debugged != Debugged::Over;
                return if is_deaf { Ok(End::Destroyed) } else { guest.stop(&mut screen) };
            }
            if let Some(end) = guest.step(&mut screen)? {
                return Ok(end);
            }
            self.keyboard.forward(|line| guest.process.type_bytes(format!("{line}\n").as_bytes()))?;
        }
    }
}

/// Whether gdb has the guest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Debugged {
    NotYet,
    Now,
    Over,
}

impl Debugged {
    fn next(self, is_connected: bool) -> Self {
        match (self, is_connected) {
            (_, true) => Self::Now,
            (Self::Now, false) => Self::Over,
            (other, false) => other,
        }
    }
}

/// One life of the guest.
struct Guest {
    process: Process,
    console: Receiver<Vec<u8>>,
    /// By QEMU's name.
    accelerator: &'static str,
    /// Whether anything has come from its console.
    has_spoken: bool,
}

impl Guest {
    /// Prints what comes next; how the guest ended, once all it said has been printed.
    fn step(&mut self, screen: &mut Screen<'_>) -> Result<Option<End>> {
        match self.console.recv_timeout(TICK) {
            Ok(bytes) => {
                self.has_spoken = true;
                screen.print(&bytes).map(|()| None)
            }
            Err(RecvTimeoutError::Timeout) => {
                self.process.check().map(|()| None).map_err(|error| self.explained(error))
            }
            Err(RecvTimeoutError::Disconnected) => {
                screen.end()?;
                // Its console is closed a moment before it is gone.
                std::thread::sleep(Duration::from_millis(5));
                self.process.end().map_err(|error| self.explained(error))
            }
        }
    }

    fn explained(&self, error: anyhow::Error) -> anyhow::Error {
        explained(error, self.accelerator, self.has_spoken)
    }

    /// Asks the guest to leave, then makes it. A second Ctrl-C does not wait.
    fn stop(&mut self, screen: &mut Screen<'_>) -> Result<End> {
        interrupt::clear();
        ui::say("stopping the guest");
        self.process.ask_to_leave()?;
        let asked = Instant::now();
        while asked.elapsed() < GRACE && !interrupt::requested() {
            if let Some(end) = self.step(screen)? {
                // Nobody who asks it to leave wants it again.
                return Ok(if end == End::Reboot { End::PowerOff } else { end });
            }
        }
        interrupt::clear();
        ui::warn("the guest did not leave when asked");
        Ok(End::Destroyed)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(line: &str) -> GuestArgs {
        let cli =
            Cli::parse_from(["cargo-fata", "run", "web"].into_iter().chain(line.split_ascii_whitespace()));
        let Command::Run(args) = cli.command else { panic!("not run") };
        args.guest
    }

    #[test]
    fn the_accelerator_is_as_asked_for() {
        let accelerator = |line: &str| accelerator(&args(line));
        assert_eq!(accelerator("--on qemu").unwrap(), Accelerator::Best);
        assert_eq!(accelerator("--on qemu --accel tcg").unwrap(), Accelerator::Tcg);
        assert_eq!(accelerator("--on qemu --accel kvm").unwrap(), Accelerator::Kvm);
        assert_eq!(accelerator("--on qemu --gdb").unwrap(), Accelerator::Tcg);
        assert_eq!(accelerator("--on qemu --gdb --accel tcg").unwrap(), Accelerator::Tcg);
        let error = accelerator("--on qemu --gdb --accel kvm").unwrap_err().to_string();
        assert!(error.starts_with("--accel kvm does not go with --gdb"), "{error}");
    }

    #[test]
    fn on_xen_nobody_chooses_one() {
        let args = args("--accel tcg");
        let error = super::super::on("xen", Path::new("no-image"), &args, &[]).unwrap_err().to_string();
        assert!(error.starts_with("--accel is for --on qemu"), "{error}");
    }

    #[test]
    fn a_way_out_is_named_where_kvm_may_be_why() {
        let said = |accelerator, has_spoken| {
            format!("{:#}", explained(anyhow::anyhow!("QEMU ended"), accelerator, has_spoken))
        };
        assert!(
            said("kvm", false).contains("with --accel tcg it runs")
                && said("kvm", false).ends_with(": QEMU ended")
        );
        for (accelerator, has_spoken) in [("kvm", true), ("tcg", false), ("tcg", true)] {
            assert_eq!(said(accelerator, has_spoken), "QEMU ended");
        }
    }
}
