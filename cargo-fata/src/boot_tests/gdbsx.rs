//! `--gdb` on a dom0: what gdbsx makes of it is up to the hypervisor. Debian's has no `CONFIG_GDBSX`; one that has it is
//! named by `FATA_XEN` ([`build::XEN_VARIABLE`]).

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSymbol};

use crate::xen_host::{Host, build};
use crate::{note, symbols, workspace};

const LIMIT: Duration = Duration::from_secs(60);
const SCRIPT: &str = include_str!("gdbsx.sh");

/// With the tool in dom0's `/tmp/tool`.
pub fn debugs_or_refuses(host: &mut Host) -> Result<()> {
    // The file with symbols is given, as dom0 has no compiler to make one.
    let file = symbols::file_of(&workspace::image("hello")?)?;
    host.put("/tmp/tool/symbols", &fs::read(&file)?)?;
    let config = host.sh("xenhypfs cat /buildinfo/config", LIMIT)?.ok()?;
    if config.stdout.contains("CONFIG_GDBSX=y") {
        return debugs(host, &file);
    }
    let variable = build::XEN_VARIABLE;
    ensure!(
        std::env::var_os(variable).is_none(),
        "{variable} names a hypervisor that was built without CONFIG_GDBSX"
    );
    refuses(host)
}

/// The guest stops at its entry and at a breakpoint, makes a step, and goes on to its end.
fn debugs(host: &mut Host, file: &Path) -> Result<()> {
    let entry = note::entries(file)?.pv.context("no PV entry")?;
    let bytes = fs::read(file)?;
    let main = object::File::parse(&*bytes)?
        .symbols()
        .find(|symbol| symbol.name() == Ok("fata_guest_main"))
        .context("no fata_guest_main")?
        .address();
    let output = host.sh(&format!("ENTRY={entry:x} MAIN={main:x}\n{SCRIPT}"), LIMIT)?;
    for said in ["status 0\n", "hello from Fata", "the guest powered off"] {
        ensure!(output.stdout.contains(said), "gdbsx, no {said:?}: {output:?}");
    }
    Ok(())
}

/// The reason is said, and the guest does not stay.
fn refuses(host: &mut Host) -> Result<()> {
    let output = host.sh("cd /tmp/tool; ./cargo-fata exec --gdb symbols </dev/null", LIMIT)?;
    let said = "gdbsx, which needs a hypervisor with CONFIG_GDBSX";
    ensure!(output.status == 1 && output.stderr.contains(said), "--gdb: {output:?}");
    Ok(())
}
