//! The web server's own tests with its features.
//!
//! They are built as one with all of the workspace, although they alone are run: built by themselves, what they depend on would
//! have fewer features than in the host tests, and be compiled once more.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::OwnTest;
use super::checks::FEATURES_WITH_WEBS;
use crate::workspace::Workspace;
use crate::{cargo, command};

/// The tests of this topic.
pub const TESTS: [OwnTest; 1] = [OwnTest::new("check::web_features", web_features)];

/// Unit tests, and the ones of HTTPS, which there are with these features alone.
const PROGRAMS: [&str; 2] = ["web_site", "https"];

/// Of what a program says that fails.
const LINES: usize = 60;

fn web_features(workspace: &Workspace) -> Result<()> {
    let only_these = ["--no-run", "--quiet", "--workspace", "--lib", "--test", "https"];
    let all = cargo::build("test", &[&only_these[..], &["--features", FEATURES_WITH_WEBS]].concat(), &[])?;
    let package = workspace.root.join("apps/web");
    let ours = all.iter().filter(|program| program.is_test && program.package == package);
    let mut run = Vec::new();
    for program in ours {
        let mut tests = Command::new(&program.path);
        tests.current_dir(&package).env("CARGO_MANIFEST_DIR", &package).stdin(Stdio::null());
        let output = tests.output()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        ensure!(output.status.success(), "{} failed:\n{}", program.name, command::last_lines(&said, LINES));
        ensure!(!said.contains("running 0 tests"), "{} has no tests", program.name);
        run.push(&*program.name);
    }
    run.sort_unstable();
    let mut wanted = PROGRAMS;
    wanted.sort_unstable();
    ensure!(run == wanted, "run were {run:?}, not {wanted:?}");
    Ok(())
}
