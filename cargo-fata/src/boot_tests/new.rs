//! What `cargo fata new` makes: built with plain cargo in an empty folder elsewhere, tested as a process, booted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::BootTest;
use crate::workspace::Workspace;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec};
use crate::{cargo, command};

const SOON: Duration = Duration::from_secs(30);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::new::hello", 600, |host| {
        let image = make("hello")?;
        let guest = host.create(&GuestSpec::new("new-hello", image).extra("greeting=welcome").memory(8))?;
        guest.wait_console("welcome from new-hello", SOON)?;
        ends(&guest)
    }),
    BootTest::new("boot::new::service", 600, |host| {
        let guest = serving(host, make("service")?)?;
        let said = host.sh("echo hello | timeout 10 socat -t5 - TCP:10.0.2.15:7000", SOON)?.ok()?.stdout;
        ensure!(said == "6 octets\n", "it answered {said:?}");
        guest.xl("shutdown")?;
        ends(&guest)
    })
    .long(),
    BootTest::new("boot::new::web", 600, |host| {
        let guest = serving(host, make("web")?)?;
        let said = host.sh("curl -sf -m 10 http://10.0.2.15/", SOON)?.ok()?.stdout;
        ensure!(said == "hello from new-web\n", "it answered {said:?}");
        guest.xl("shutdown")?;
        ends(&guest)
    })
    .long(),
];

fn serving(host: &mut Host, image: PathBuf) -> Result<Guest> {
    let guest = host.create(&GuestSpec::new("new", image).network())?;
    guest.wait_console(" on port ", SOON)?;
    guest.wait_console("link up", SOON)?;
    Ok(guest)
}

fn ends(guest: &Guest) -> Result<()> {
    ensure!(guest.wait_gone(SOON)? == End::PowerOff, "it did not power off: {}", guest.console());
    Ok(())
}

/// Makes an appliance, has cargo test and build it, and gives the image.
fn make(template: &str) -> Result<PathBuf> {
    let name = format!("new-{template}");
    let folder = Folder(std::env::temp_dir().join(format!("fata-{}-{template}", std::process::id())));
    fs::create_dir_all(&folder.0)?;
    let appliance = folder.0.join(&name);
    let mut new = Command::new(std::env::current_exe()?);
    command::run(new.args(["new", &name, "--template", template]).current_dir(&folder.0))?;
    // What they have in common is built once.
    let target = Workspace::current()?.target_dir.join("fata-new");
    cargo_in(&appliance, &target, &["test"])?;
    cargo_in(&appliance, &target, &["build", "--release", "--target", "x86_64-xen-pv"])?;
    Ok(target.join("x86_64-xen-pv/release").join(name))
}

fn cargo_in(folder: &Path, target: &Path, arguments: &[&str]) -> Result<()> {
    let mut cargo = cargo::command();
    command::run(cargo.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", target))?;
    Ok(())
}

/// Removed when dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
