//! Checks of the source that are no tests of their own: format and lints.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::{cargo, command};

/// A cargo command that must succeed.
pub struct Check {
    /// Its name in the report.
    pub name: &'static str,
    arguments: &'static [&'static str],
}

const CHECKS: [Check; 2] = [
    Check { name: "check::fmt", arguments: &["fmt", "--all", "--check"] },
    Check {
        name: "check::clippy",
        arguments: &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"],
    },
];

/// The checks whose names contain `filter`.
pub fn select(filter: &str) -> Vec<&'static Check> {
    CHECKS.iter().filter(|check| check.name.contains(filter)).collect()
}

impl Check {
    /// Runs it; what it said is kept if it fails.
    pub fn run(&self, logs: &Path) -> Result<()> {
        let output = cargo::command()
            .args(self.arguments)
            .stdin(Stdio::null())
            .output()
            .context("cannot start cargo")?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let log = logs.join(self.name.replace("::", "-")).with_extension("log");
        fs::write(&log, &said)?;
        let tail = command::last_lines(&String::from_utf8_lossy(&said), 20);
        bail!("`cargo {}` failed; all it said: {}\n{tail}", self.arguments.join(" "), log.display())
    }
}
