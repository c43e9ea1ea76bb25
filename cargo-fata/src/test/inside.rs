//! `cargo fata new` typed in the clone: cargo puts the configurations of both folders together, and the new appliance has its own.

use anyhow::{Result, ensure};

use super::OwnTest;
use super::elsewhere::Elsewhere;
use crate::setup::target;
use crate::workspace::Workspace;

/// The tests of this topic.
pub const TESTS: [OwnTest; 1] =
    [OwnTest::new("new::inside_the_clone", an_appliance_inside_the_clone_is_one_like_others)];

const NAME: &str = "inner";

fn an_appliance_inside_the_clone_is_one_like_others(workspace: &Workspace) -> Result<()> {
    let elsewhere = Elsewhere::inside(NAME, workspace)?;
    // By the clone's alias, as a reader types it.
    elsewhere.cargo("", &["fata", "new", NAME])?;
    let said = elsewhere.cargo(NAME, &["run", "--quiet", "--", "greeting=welcome"])?;
    ensure!(said == "welcome from inner\n", "it said {said:?}");
    let image = elsewhere.image(NAME);
    elsewhere.cargo(NAME, &["build", "--quiet", "--release", "--target", target::NAME])?;
    // By its own alias, which stands before the clone's.
    let image = image.display().to_string();
    let config = elsewhere.cargo(NAME, &["fata", "image", "config", &image, "--for", "xl"])?;
    ensure!(config.contains("name = \"inner\"\n"), "its configuration:\n{config}");
    // By its own runner, which has read the image when it refuses.
    let run =
        ["run", "--quiet", "--release", "--target", target::NAME, "--", "--on", "qemu", "--memory", "1"];
    let output = elsewhere.command(NAME, &run).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && said.contains("the image alone takes"), "the runner said:\n{said}");
    Ok(())
}
