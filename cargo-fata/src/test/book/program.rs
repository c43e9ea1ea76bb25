//! mdBook, built from its package into the cache when a test needs it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cache::Entry;
use crate::{cargo, command};

const VERSION: &str = "0.5.4";

/// Has mdBook build the book in `folder`. What it warns of is an error.
pub fn check(folder: &Path, output: &Path) -> Result<()> {
    let program = program()?;
    let mut mdbook = Command::new(program);
    mdbook.arg("build").arg(folder).arg("--dest-dir").arg(output).stdin(Stdio::null());
    let said = mdbook.output().context("cannot start mdbook")?;
    let text = String::from_utf8_lossy(&said.stderr) + String::from_utf8_lossy(&said.stdout);
    let is_quiet = !text.lines().any(|line| line.contains("WARN") || line.contains("ERROR"));
    ensure!(said.status.success() && is_quiet, "mdbook build:\n{}", command::last_lines(&text, 20));
    ensure!(
        output.join("index.html").is_file(),
        "mdbook has made no {}",
        output.join("index.html").display()
    );
    Ok(())
}

/// The program, after a build of some minutes the first time. Searching and serving, which are for readers, are left out.
fn program() -> Result<std::path::PathBuf> {
    let features = "--no-default-features";
    let entry = Entry::new("mdbook", &[VERSION, features])?;
    if !entry.exists() {
        entry.create(|folder| {
            let mut install = cargo::command();
            install.args([
                "install",
                "--quiet",
                "--locked",
                features,
                "mdbook",
                "--version",
                VERSION,
                "--root",
            ]);
            command::run(install.arg(folder).env_remove("CARGO_TARGET_DIR")).map(drop)
        })?;
    }
    Ok(entry.path().join("bin/mdbook"))
}
