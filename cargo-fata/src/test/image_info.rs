//! `cargo fata image info`: the tool itself, as its users see it.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::OwnTest;
use crate::workspace::Workspace;
use crate::{command, images};

/// The tests of this topic.
pub const TESTS: [OwnTest; 1] = [OwnTest::new("image::info_of_hello", info_of_hello)];

/// Name, both doors, sizes, what is linked and what is not, and the manifest.
fn info_of_hello(workspace: &Workspace) -> Result<()> {
    let image = images::image("hello")?;
    let mut tool = Command::new(std::env::current_exe()?);
    tool.args(["image", "info"]).arg(&image).current_dir(&workspace.root);
    let said = command::run(&mut tool)?.stdout;
    let line = |begin: &str| -> Result<&str> {
        let found = said.lines().find_map(|line| line.strip_prefix(begin));
        found.with_context(|| format!("no line {begin:?} in what it says:\n{said}"))
    };
    line("hello ")?;
    let octets = line("  file       ")?.split(' ').next().unwrap_or_default().replace(',', "");
    ensure!(octets == fs::metadata(&image)?.len().to_string(), "another size than the file's:\n{said}");
    let entries = line("  entries    ")?;
    let (pv, pvh) = entries.split_once(", ").with_context(|| format!("not two entries: {entries}"))?;
    ensure!(pv.starts_with("PV at 0xffffffff8") && pvh.starts_with("PVH at 0x1"), "the entries: {entries}");
    for linked in ["  fata_xen ", "  fata_libos ", "  hello "] {
        line(linked)?;
    }
    for other in ["fata_netstack", "fata_http", "smoltcp"] {
        ensure!(!said.contains(other), "hello has nothing of {other}:\n{said}");
    }
    ensure!(
        line("manifest:").is_ok() && said.contains("[image]\nname = \"hello\"\n"),
        "no manifest:\n{said}"
    );
    Ok(())
}
