//! Builds with cargo; what it says of errors goes straight to the user.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// An executable that cargo built.
#[derive(Debug, Clone)]
pub struct Executable {
    /// The target's name: of a package's binary or of an example.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

/// `cargo`, the one that runs us where there is one.
pub fn command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// `cargo COMMAND ARGUMENTS` with a command that builds; gives the executables.
pub fn build(
    command: &str,
    arguments: &[&str],
    environment: &[(String, OsString)],
) -> Result<Vec<Executable>> {
    let mut cargo = self::command();
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
    })
}
