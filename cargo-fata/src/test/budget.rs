//! `max-size` stops a build: at the link with plain cargo, and in the tool, which sees the whole file.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::OwnTest;
use super::elsewhere::Elsewhere;
use crate::setup::target;
use crate::workspace::Workspace;

/// The tests of this topic.
pub const TESTS: [OwnTest; 1] =
    [OwnTest::new("budget::max_size_stops_the_build", max_size_stops_the_build).long()];

const NAME: &str = "budget";
const BUILD: [&str; 5] = ["build", "--quiet", "--release", "--target", target::NAME];

fn max_size_stops_the_build(_: &Workspace) -> Result<()> {
    let elsewhere = Elsewhere::new(NAME)?;
    elsewhere.make(NAME, &[])?;
    // The image of another run, built under another limit, says nothing.
    let image = elsewhere.image(NAME);
    let _ = fs::remove_file(&image);

    allow(&elsewhere, "\"32 KiB\"")?;
    let said = refused(&elsewhere, &BUILD)?;
    let line = "the image of budget is larger than the 32 KiB that unikernel.toml allows it (max-size)";
    ensure!(said.contains(line), "the linker did not say {line:?}, but:\n{said}");
    ensure!(!image.exists(), "it left an image all the same");

    allow(&elsewhere, "\"1 MiB\"")?;
    elsewhere.cargo(NAME, &BUILD)?;
    let octets = fs::metadata(&image)?.len();

    // The last octets of a file are the table of its sections, which is not loaded: the linker is content.
    allow(&elsewhere, &(octets - 1).to_string())?;
    elsewhere.cargo(NAME, &BUILD)?;
    let said = refused(&elsewhere, &["fata", "run", NAME])?;
    let line = format!("has {octets} octets, 1 over the {} that its manifest allows (max-size)", octets - 1);
    ensure!(said.contains(&line), "the tool did not say {line:?}, but:\n{said}");
    Ok(())
}

/// Writes a limit into the manifest.
fn allow(elsewhere: &Elsewhere, limit: &str) -> Result<()> {
    let file = elsewhere.folder().join(NAME).join("unikernel.toml");
    let text = fs::read_to_string(&file)?;
    let line =
        text.lines().find(|line| line.starts_with("max-size")).context("the template has no max-size")?;
    fs::write(file, text.replace(line, &format!("max-size = {limit}")))?;
    Ok(())
}

/// What a cargo says that must fail.
fn refused(elsewhere: &Elsewhere, arguments: &[&str]) -> Result<String> {
    let output = elsewhere.command(NAME, arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success(), "cargo {} did not fail:\n{said}", arguments.join(" "));
    Ok(said)
}
