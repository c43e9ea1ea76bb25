//! `cargo fata run --on unix`: the appliance as a process of this machine.

use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::disks;
use crate::cli::RunArgs;
use crate::workspace::ImageTarget;
use crate::{interrupt, ui};

/// How often is looked whether it has ended.
const PERIOD: Duration = Duration::from_millis(50);
/// The exit status with which it asks to be started again (`fata_unix::exit::REBOOT`).
const REBOOT: i32 = 75;

/// Builds it for this machine and runs it, again as often as it asks for that. Its console is our terminal.
pub fn run(target: &ImageTarget, args: &RunArgs) -> Result<ExitCode> {
    let guest = &args.guest;
    if !guest.forwards.is_empty() || guest.host_memory > 0 || guest.no_net || guest.kind != "pv" {
        bail!(
            "--forward, --host-memory, --no-net and --type are for guests: a process has this machine's ports"
        );
    }
    if guest.machine.is_some() {
        bail!("--machine is for --on qemu: a process runs on this machine");
    }
    if guest.gdb || guest.pcap.is_some() {
        bail!(
            "--gdb and --pcap are for guests: start a process in gdb, and capture on this machine's own interfaces"
        );
    }
    let program = target.build_for_host()?;
    let disks = disks::of_process(&guest.disks)?;
    let params = [guest.params.clone(), disks::process_params(&disks)].concat();
    loop {
        let mut child = Command::new(&program).args(&params).spawn().context("cannot start it")?;
        let mut is_asked = false;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if interrupt::requested() && !is_asked {
                // A terminal's Ctrl-C has reached it already; who ended the tool alone means it too.
                // SAFETY: kill(2) touches no memory; the child has not been waited for.
                unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
                is_asked = true;
            }
            thread::sleep(PERIOD);
        };
        match status.code() {
            Some(REBOOT) if !is_asked => ui::say("it asked for a reboot: starting it again"),
            Some(REBOOT) => return Ok(ExitCode::SUCCESS),
            Some(code) => return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
            None => {
                ui::say(ui::paint(ui::Colour::Red, &format!("it crashed ({status})")));
                return Ok(ExitCode::FAILURE);
            }
        }
    }
}
