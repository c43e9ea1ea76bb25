//! `cargo fata run --on unix`: the appliance as a process of this machine.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{disks, status};
use crate::cli::{GuestArgs, RunArgs};
use crate::workspace::ImageTarget;
use crate::xen_host::qemu;
use crate::{interrupt, ui};

/// How often is looked whether it has ended.
const PERIOD: Duration = Duration::from_millis(50);
/// The exit status with which it asks to be started again (`fata_unix::exit::REBOOT`).
const REBOOT: i32 = 75;

/// Builds it for this machine and runs it, again as often as it asks for that. Its console is our terminal.
pub fn run(target: &ImageTarget, args: &RunArgs) -> Result<ExitCode> {
    refuse_what_only_guests_have(&args.guest)?;
    let program = target.build_for_host()?;
    let disks = disks::of_process(&args.guest.disks)?;
    let params = [args.guest.params.clone(), disks::process_params(&disks)].concat();
    loop {
        let ended = run_once(&program, &params)?;
        // Nobody who asks it to leave wants it again.
        let is_asked = interrupt::requested();
        match (ended.code(), ended.signal()) {
            (Some(REBOOT), _) if !is_asked => ui::say("it asked for a reboot: starting it again"),
            (Some(REBOOT), _) => return Ok(ExitCode::SUCCESS),
            (code @ Some(_), _) => return Ok(status::of_process(code, None)),
            // Asked before it could listen.
            (None, Some(libc::SIGINT | libc::SIGTERM | libc::SIGHUP)) if is_asked => {
                return Ok(ExitCode::SUCCESS);
            }
            (None, signal) => {
                ui::say(ui::paint(ui::Colour::Red, &format!("it crashed ({ended})")));
                return Ok(status::of_process(None, signal));
            }
        }
    }
}

/// What is asked for and cannot be done must not be passed over in silence.
fn refuse_what_only_guests_have(guest: &GuestArgs) -> Result<()> {
    if guest.memory.is_some() {
        bail!("--memory is for guests: a process takes of this machine's memory what it needs");
    }
    if !guest.forwards.is_empty() || guest.host_memory > 0 || guest.no_net || guest.kind != "pv" {
        bail!(
            "--forward, --host-memory, --no-net and --type are for guests: a process has this machine's ports"
        );
    }
    if guest.machine.is_some() {
        bail!("--machine is for --on qemu: a process runs on this machine");
    }
    if guest.accel.is_some() {
        bail!("--accel is for --on qemu: a process runs on this machine's processors");
    }
    if guest.gdb || guest.pcap.is_some() {
        bail!(
            "--gdb and --pcap are for guests: start a process in gdb, and capture on this machine's own interfaces"
        );
    }
    Ok(())
}

/// One life of the process, to its end.
fn run_once(program: &Path, params: &[String]) -> Result<ExitStatus> {
    let mut command = Command::new(program);
    // Nothing is left running when the tool is killed.
    qemu::end_with_this_thread(command.args(params));
    let mut child = command.spawn().context("cannot start it")?;
    let mut is_asked = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if interrupt::requested() && !is_asked {
            // A terminal's Ctrl-C has reached it already; who ended the tool alone means it too.
            // SAFETY: kill(2) touches no memory; the child has not been waited for.
            unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
            is_asked = true;
        }
        thread::sleep(PERIOD);
    }
}
