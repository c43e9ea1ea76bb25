//! `cargo fata bench`: the cost of work in guest CPU time, or the time of a boot, beside a Linux guest that does the same on the
//! same host.
//!
//! Under emulation neither clock nor throughput means anything by itself: what counts is the ratio, in one run on one host,
//! of the time the hypervisor accounted. A machine that does other work at the same time spoils even that.

mod boot;
mod http;
mod plot;
mod wrk;

use std::fs;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cli::BenchArgs;
use crate::setup::{self, Need};
use crate::ui;
use crate::workspace::Workspace;

/// A load average above this is somebody else's work.
const QUIET_LOAD: f64 = 0.7;

/// The command itself.
pub fn run(args: &BenchArgs) -> Result<ExitCode> {
    let name = args.name.as_deref().unwrap_or("http");
    match name {
        "http" => setup::ensure(&[Need::Target, Need::XenHost])?,
        "boot" => setup::ensure(&[Need::Target, Need::HostPackages])?,
        other => bail!("there is no benchmark {other}; there are: http, boot"),
    }
    let workspace = Workspace::current()?;
    let folder = workspace.target_dir.join("bench");
    fs::create_dir_all(&folder)?;
    warn_if_busy();
    match name {
        "boot" => boot::run(&workspace, &folder)?,
        _ => http::run(&workspace, &folder, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn warn_if_busy() {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0.0);
    if load > QUIET_LOAD {
        ui::warn(format!(
            "this machine is busy (load average {load}): the figures will be worse than they should be"
        ));
    }
}
