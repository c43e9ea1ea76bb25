//! The appliance as a process on Linux: from C's `main` to its own, and out again.

#[cfg(any(feature = "net", feature = "block"))]
mod machine;
pub mod testing;

use crate::env::Shared;
use crate::until_end::until_end;
use crate::{Appliance, Env, Result};
use alloc::rc::Rc;
use fata_libos::logging;
use fata_libos::param::{self, Param, Params};
use fata_libos::platform::{Leave, Platform};
use fata_libos::task::block_on;
use fata_unix::console::{self, UnixConsole};
use fata_unix::{UnixPlatform, args, exit};
#[cfg(feature = "block")]
pub(crate) use machine::FILE;
#[cfg(any(feature = "net", feature = "block"))]
pub(crate) use machine::Machine;
#[cfg(feature = "net")]
pub(crate) use machine::TAP;
use std::eprintln;
use std::io::Write;

/// The parameters that every appliance has.
static PARAMS: [Param; 1] = [Param {
    name: "log",
    kind: &param::LOG,
    default: Some("info"),
    help: "what is logged: a level, and levels by module, as in warn,fata_unix=debug",
}];

/// Runs an appliance with the process's arguments as its boot parameters, and gives the exit status.
#[doc(hidden)]
pub fn hosted(appliance: Appliance) -> i32 {
    fata_unix::panic::install();
    let params = args::command_line(std::env::args_os().skip(1));
    let params = match params.map_err(Into::into).and_then(|line| parse(&appliance, &line)) {
        Ok(params) => params,
        Err(error) => return failed(error, exit::USAGE),
    };
    if params.wants_help() {
        // Nobody may read it to the end.
        let _ = std::io::stdout().write_all(params.help().as_bytes());
        return exit::POWER_OFF;
    }
    if let Some(Err(error)) = appliance.check.map(|check| check(&params)) {
        return failed(error, exit::USAGE);
    }
    let platform = match UnixPlatform::start() {
        Ok(platform) => platform,
        Err(error) => return failed(error.into(), exit::HOST),
    };
    match block_on(platform, run(appliance, params, platform)) {
        Ok(how) => platform.leave(how),
        Err(error) => {
            console::flush();
            let status = if is_usage(&error) { exit::USAGE } else { exit::FAILED };
            failed(error, status)
        }
    }
}

fn failed(error: crate::Error, status: i32) -> i32 {
    eprintln!("fata: {error}");
    status
}

fn parse(appliance: &Appliance, line: &str) -> Result<Params> {
    Ok(Params::parse(line, &[&PARAMS, appliance.params, host_params(appliance.params)])?)
}

#[cfg(any(feature = "net", feature = "block"))]
use machine::host_params;

#[cfg(not(any(feature = "net", feature = "block")))]
fn host_params(_usual: &'static [Param]) -> &'static [Param] {
    &[]
}

/// Whether an error of `main` is one of its parameters.
fn is_usage(error: &crate::Error) -> bool {
    #[cfg(feature = "net")]
    if error.is::<crate::net::ConfigError>() || error.is::<crate::net::NoTap>() {
        return true;
    }
    #[cfg(feature = "block")]
    if error.is::<crate::block::NoFile>() {
        return true;
    }
    error.is::<param::ParamError>()
}

async fn run(appliance: Appliance, params: Params, platform: &'static UnixPlatform) -> Result<Leave> {
    logging::init(console::write);
    logging::set_filter(params.get_as("log").unwrap_or_default());
    let env = env(params, platform);
    platform.listen_to_signals();
    log::debug!("{} {}: process {}", appliance.name, appliance.version, std::process::id());
    #[cfg(feature = "net")]
    let shared = env.shared.clone();
    let left = until_end((appliance.main)(env)).await;
    #[cfg(feature = "net")]
    if let (Some(stack), Some(drain)) = (shared.stack.get(), shared.drain.get()) {
        drain(stack).await;
    }
    left
}

fn env(params: Params, platform: &UnixPlatform) -> Env {
    Env {
        shared: Rc::new(Shared {
            params,
            console: UnixConsole::open(platform.reactor()),
            #[cfg(any(feature = "net", feature = "block"))]
            machine: Machine::new(platform),
            #[cfg(feature = "block")]
            disks: Default::default(),
            #[cfg(feature = "net")]
            stack: Default::default(),
            #[cfg(feature = "net")]
            drain: Default::default(),
        }),
    }
}
