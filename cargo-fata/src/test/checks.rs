//! Checks of the source that are no tests of their own: format, lints, documentation.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::{cargo, command};

/// A cargo command that must succeed.
pub struct Check {
    /// Its name in the report.
    pub name: &'static str,
    /// What cargo is told.
    arguments: &'static str,
}

const CHECKS: [Check; 4] = [
    Check { name: "check::fmt", arguments: "fmt --all --check" },
    Check { name: "check::clippy", arguments: "clippy --quiet --workspace --all-targets -- --deny warnings" },
    // Code that is there on the guest alone. The tool, its agent and the fuzz targets are programs of the host.
    Check {
        name: "check::clippy_guest",
        arguments: "clippy --quiet --target x86_64-xen-pv --workspace --exclude cargo-fata --exclude fata-dom0 \
                    --exclude fata-fuzz --lib --bins --examples -- --deny warnings",
    },
    Check { name: "check::doc", arguments: "doc --quiet --workspace --no-deps --document-private-items" },
];

/// The checks whose names contain `filter`.
pub fn select(filter: &str) -> Vec<&'static Check> {
    CHECKS.iter().filter(|check| check.name.contains(filter)).collect()
}

impl Check {
    /// Runs it; what it said is kept if it fails.
    pub fn run(&self, logs: &Path) -> Result<()> {
        let output = cargo::command()
            .args(self.arguments.split_ascii_whitespace())
            // What `--deny warnings` is to clippy.
            .env("RUSTDOCFLAGS", "--deny warnings")
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
        bail!("`cargo {}` failed; all it said: {}\n{tail}", self.arguments, log.display())
    }
}
