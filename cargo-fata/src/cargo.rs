//! Builds with cargo; what it says of errors goes straight to the user.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// An executable that cargo built.
#[derive(Debug, Clone)]
pub struct Executable {
    /// The target's name: of a package's binary or of an example.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The folder of its package.
    pub package: PathBuf,
    /// Whether it is a program of tests.
    pub is_test: bool,
}

/// `cargo`, the one that runs us where there is one.
pub fn command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Whether guests run meanwhile, for whom compilers are to make room.
static BESIDE_GUESTS: AtomicBool = AtomicBool::new(false);
/// How much less a compiler gets of the processors then: a third of what others get (setpriority(2), sched(7)).
const NICE: libc::c_int = 5;

/// From now on what compiles does so beside guests, or not.
pub fn beside_guests(beside: bool) {
    BESIDE_GUESTS.store(beside, Ordering::Relaxed);
}

/// `cargo` for what compiles and runs nothing that it has compiled: guests come first.
pub fn compiling() -> Command {
    let mut cargo = command();
    if BESIDE_GUESTS.load(Ordering::Relaxed) {
        // SAFETY: between fork and exec only an async-signal-safe call is made, and no memory is allocated.
        unsafe {
            cargo.pre_exec(|| {
                libc::nice(NICE);
                Ok(())
            });
        }
    }
    cargo
}

/// `cargo COMMAND ARGUMENTS` with a command that builds; gives the executables.
pub fn build(
    command: &str,
    arguments: &[&str],
    environment: &[(String, OsString)],
) -> Result<Vec<Executable>> {
    let mut cargo = compiling();
    cargo.args([command, "--message-format=json-render-diagnostics"]).args(arguments);
    cargo.envs(environment.iter().cloned());
    let mut child =
        cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let mut executables = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let message: Value = serde_json::from_str(&line?).unwrap_or_default();
        executables.extend(executable(&message));
    }
    if !child.wait()?.success() {
        bail!("`cargo {command} {}` failed", arguments.join(" "));
    }
    Ok(executables)
}

fn executable(message: &Value) -> Option<Executable> {
    let target = &message["target"];
    Some(Executable {
        path: message["executable"].as_str()?.into(),
        name: target["name"].as_str()?.to_owned(),
        package: Path::new(message["manifest_path"].as_str()?).parent()?.to_owned(),
        is_test: message["profile"]["test"].as_bool()?,
    })
}
