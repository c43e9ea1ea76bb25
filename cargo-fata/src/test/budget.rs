//! What is wrong with a manifest stops plain cargo's build: a key that is no key, a name that the code has and the manifest has
//! not, and `max-size`, at the link and in the tool, which sees the whole file.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::OwnTest;
use super::elsewhere::Elsewhere;
use crate::setup::target;
use crate::workspace::Workspace;

/// The tests of this topic.
pub const TESTS: [OwnTest; 2] = [
    OwnTest::new("budget::max_size_stops_the_build", max_size_stops_the_build).long(),
    OwnTest::new("budget::a_wrong_manifest_stops_the_build", a_wrong_manifest_stops_the_build).long(),
];

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

fn a_wrong_manifest_stops_the_build(_: &Workspace) -> Result<()> {
    let name = "wrong";
    let elsewhere = Elsewhere::new(name)?;
    elsewhere.make(name, &["--template", "web"])?;
    let image = elsewhere.image(name);
    let _ = fs::remove_file(&image);
    let manifest = "unikernel.toml";
    let source = "src/main.rs";
    for (file, right, wrong, said) in [
        (manifest, "memory = ", "memroy = ", "unknown key \"memroy\" in [image]: did you mean \"memory\"?"),
        (manifest, "name = ", "nmae = ", "unknown key \"nmae\""),
        (manifest, "[params.port]", "[params.prot]", "cannot find value `PORT` in module `params`"),
        (source, "params::PORT", "params::PROT", "cannot find value `PROT` in module `params`"),
        (source, "networks::MAIN", "networks::LAN", "cannot find value `LAN` in module `networks`"),
    ] {
        let path = elsewhere.folder().join(name).join(file);
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(right), "{file} of the template has no {right:?}");
        fs::write(&path, text.replacen(right, wrong, 1))?;
        let answer = refused_of(&elsewhere, name, &BUILD)?;
        ensure!(answer.contains(said), "{file} with {wrong:?}: not {said:?}, but:\n{answer}");
        if file == manifest && wrong != "[params.prot]" {
            let line = 1 + text.lines().position(|line| line.starts_with(right)).context("no such line")?;
            let place = format!("{manifest}:{line}:");
            ensure!(answer.contains(&place), "with {wrong:?} it names no {place}:\n{answer}");
        }
        ensure!(!image.exists(), "{file} with {wrong:?} left an image all the same");
        fs::write(&path, text)?;
    }
    elsewhere.cargo(name, &BUILD)?;
    ensure!(image.exists(), "no image of what is right");
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
    refused_of(elsewhere, NAME, arguments)
}

fn refused_of(elsewhere: &Elsewhere, name: &str, arguments: &[&str]) -> Result<String> {
    let output = elsewhere.command(name, arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success(), "cargo {} did not fail:\n{said}", arguments.join(" "));
    Ok(said)
}
