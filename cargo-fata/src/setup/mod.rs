//! `cargo fata setup`: what the machine must have, made to be there.
//!
//! [`target`] is the compiler target (its library source comes from [`rust_src`]), [`packages`] are Debian's programs, the Xen
//! host is [`crate::xen_host::build`]. Every other command asks for the parts it needs with [`ensure`].

pub mod packages;
mod rust_src;
pub mod target;

use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

use crate::xen_host::build;
use crate::{command, ui};

/// A part of the set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The compiler target `x86_64-xen-pv`.
    Target,
    /// QEMU.
    Qemu,
    /// The programs that build and run the Xen host.
    HostPackages,
    /// What tests need beside them.
    TestPackages,
    /// The Xen host itself, in the cache.
    XenHost,
}

/// All there is, in the order in which one part needs another.
pub const ALL: [Need; 4] = [Need::Target, Need::HostPackages, Need::TestPackages, Need::XenHost];

/// What tests need of Debian's packages.
pub const PROGRAMS: [Need; 2] = [Need::HostPackages, Need::TestPackages];

/// Makes the parts be there; does nothing, and says nothing, for those that are. Who needs what somebody else is making waits for it.
pub fn ensure(needs: &[Need]) -> Result<()> {
    static PACKAGES: Mutex<()> = Mutex::new(());
    static TARGET: Mutex<()> = Mutex::new(());
    static XEN_HOST: Mutex<()> = Mutex::new(());
    for need in needs {
        let turn = match need {
            Need::Target => &TARGET,
            Need::Qemu | Need::HostPackages | Need::TestPackages => &PACKAGES,
            Need::XenHost => &XEN_HOST,
        };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        match need {
            Need::Target => target::ensure()?,
            Need::Qemu => packages::ensure(packages::QEMU)?,
            Need::HostPackages => packages::ensure(packages::HOST)?,
            Need::TestPackages => packages::ensure(packages::TEST)?,
            Need::XenHost => {
                packages::ensure(packages::HOST)?;
                build::parts()?;
            }
        }
    }
    Ok(())
}

/// The command itself: everything, or with `check_only` what is missing.
pub fn run(check_only: bool) -> Result<()> {
    let missing = missing()?;
    if missing.is_empty() {
        ui::say("up to date: compiler target, packages, Xen host");
        return Ok(());
    }
    if check_only {
        for what in &missing {
            println!("missing: {what}");
        }
        bail!("not set up: run `cargo fata setup`");
    }
    for what in &missing {
        ui::say(format!("to do: {what}"));
    }
    ensure(&ALL)?;
    ui::say("set up");
    Ok(())
}

fn missing() -> Result<Vec<String>> {
    let mut missing = Vec::new();
    if !command::is_found("cc") {
        missing.push("a C compiler: the linker of host programs (package gcc)".to_owned());
    }
    missing.extend(
        target::reason_to_install()?.map(|reason| format!("compiler target {}: {reason}", target::NAME)),
    );
    let packages = packages::missing(&[packages::HOST, packages::TEST].concat())?;
    if !packages.is_empty() {
        missing.push(format!("Debian packages: {}", packages.join(" ")));
    }
    let host = build::entry()?;
    if !host.exists() {
        missing.push(format!("the Xen host, in {}", host.path().display()));
    }
    Ok(missing)
}
