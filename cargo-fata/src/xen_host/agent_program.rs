//! Builds the agent, and puts it with dom0's init behind the base initramfs.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use flate2::{Compression, write::GzEncoder};

use super::build::Parts;
use super::cpio::Archive;
use crate::cargo;

const INIT: &str = include_str!("dom0-init.sh");
/// Scripts that `xl` runs for devices of guests.
const HOTPLUG: [(&str, &str); 2] =
    [("fata/vif", include_str!("hotplug-vif.sh")), ("fata/block", include_str!("hotplug-block.sh"))];
/// The agent's package, beside this one in a checkout.
const AGENT_MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dom0/Cargo.toml");
/// The name under which the agent is started, in dom0 and on this machine.
pub const NAME: &str = "fata-agent";

/// Whether this program was started as the agent: the tool has it in itself.
pub fn is_asked_for() -> bool {
    let name = std::env::args_os().next();
    name.is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == NAME))
}

/// The agent's program: built for this machine, whose C library is dom0's too, or the one that `FATA_DOM0_AGENT` names.
///
/// A tool without a checkout is its own agent. In a checkout it is a program by itself, which is smaller than the tool's
/// unoptimised build by far.
pub fn build() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("FATA_DOM0_AGENT") {
        return Ok(path.into());
    }
    if !Path::new(AGENT_MANIFEST).exists() {
        return std::env::current_exe().context("where is this program?");
    }
    // Once: others may be building in the same place by the time of the next host.
    static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = &*built {
        return Ok(path.clone());
    }
    // Without what debuggers want of it: dom0 unpacks it at each start.
    let arguments =
        ["--quiet", "--manifest-path", AGENT_MANIFEST, "--bin", "fata-dom0", "--", "-Cstrip=symbols"];
    let executables = cargo::build("rustc", &arguments, &[]).context("cannot build dom0's agent")?;
    let path = executables.into_iter().next().map(|agent| agent.path).context("cargo built no fata-dom0")?;
    Ok(built.insert(path).clone())
}

/// An initramfs beside `log` that is the base with init and agent appended. The caller removes it.
pub fn initramfs_with_agent(parts: &Parts, log: &Path) -> Result<PathBuf> {
    let path = log.with_extension("initramfs");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let agent = fs::read(build()?)?;
    let mut file = BufWriter::new(File::create(&path)?);
    io::copy(&mut File::open(&parts.initramfs)?, &mut file)?;
    let mut archive = Archive::new(GzEncoder::new(file, Compression::fast()));
    archive.file("init", 0o755, INIT.as_bytes())?;
    for (name, script) in HOTPLUG {
        archive.file(name, 0o755, script.as_bytes())?;
    }
    archive.file(&format!("fata/{NAME}"), 0o755, &agent)?;
    archive.finish()?.finish()?.flush()?;
    Ok(path)
}
