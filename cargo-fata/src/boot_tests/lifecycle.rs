//! Coming and going: `xl shutdown`, `xl reboot`, `xl destroy`.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{BootTest, probe};
use crate::ui;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{AtEnd, End, GuestSpec};

const SOON: Duration = Duration::from_secs(30);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::lifecycle::shutdown_in_order", 60, |h| {
        leaves(h, "shutdown", "PowerOff", End::PowerOff)
    })
    .both()
    .on_both_boards(),
    BootTest::new("boot::lifecycle::reboot_in_order", 60, |h| leaves(h, "reboot", "Reboot", End::Reboot)),
    BootTest::new("boot::lifecycle::shutdown_of_one_that_does_not_listen", 60, deaf).on_both_boards(),
    BootTest::new("boot::lifecycle::reboot_starts_again", 60, reboot_starts_again).both(),
    BootTest::new("boot::lifecycle::destroy_and_create_3_times", 120, |h| destroy_and_create(h, 3))
        .on_qemu_long(),
    BootTest::new("boot::lifecycle::saving_is_refused", 240, saving_is_refused).long(),
    BootTest::new("boot::lifecycle::destroy_and_create_20_times", 240, |h| destroy_and_create(h, 20)).long(),
];

fn leaves(host: &mut Host, command: &str, said: &str, wanted: End) -> Result<()> {
    let guest = host.create(&probe("shutdown")?)?;
    guest.wait_console("waiting", SOON)?;
    guest.xl(command)?;
    let end = guest.wait_gone(SOON)?;
    let console = guest.console();
    ensure!(end == wanted, "it ended with {end:?}: {console}");
    ensure!(console.contains(&format!("leaving in order: {said}")), "its task was not told: {console}");
    Ok(())
}

fn deaf(host: &mut Host) -> Result<()> {
    let guest = host.create(&probe("deaf")?)?;
    std::thread::sleep(Duration::from_secs(1));
    guest.xl("shutdown")?;
    ensure!(guest.wait_gone(SOON)? == End::PowerOff, "it did not power off");
    Ok(())
}

/// A guest takes no part in suspending: Xen's tools give up, of a PVH guest, which is asked and says so, after a minute; it lives, and
/// there is no copy of it.
fn saving_is_refused(host: &mut Host) -> Result<()> {
    let guest = host.create(&probe("shutdown")?)?;
    guest.wait_console("waiting", SOON)?;
    let script = format!("xl save {} /tmp/saved 2>&1; echo status $?", guest.name());
    let said = host.sh(&script, Duration::from_secs(150))?.ok()?.stdout;
    ui::say(format!("xl save: {}", said.trim_end().replace('\n', " | ")));
    ensure!(said.contains("status ") && !said.contains("status 0"), "{said}");
    guest.xl("shutdown")?;
    let end = guest.wait_gone(SOON)?;
    let console = guest.console();
    ensure!(end == End::PowerOff, "it ended with {end:?}: {console}");
    ensure!(console.contains("leaving in order: PowerOff"), "its task was not told: {console}");
    Ok(())
}

fn reboot_starts_again(host: &mut Host) -> Result<()> {
    let mut spec = probe("shutdown")?;
    spec.at_end = AtEnd::Act;
    let guest = host.create(&spec)?;
    guest.wait_console("waiting", SOON)?;
    guest.xl("reboot")?;
    let twice = |console: &str| console.matches("waiting").count() == 2;
    guest.wait_console_until("a second start", SOON, twice)?;
    Ok(())
}

fn destroy_and_create(host: &mut Host, rounds: u32) -> Result<()> {
    for round in 0..rounds {
        let web = GuestSpec::new("again", image("web")?).network();
        let guest = host.create(&web)?;
        let get =
            "curl -sf -m 5 --retry 30 --retry-delay 0 --retry-all-errors -o /dev/null http://10.0.2.15/";
        let answer = host.sh(get, SOON)?;
        ensure!(answer.status == 0, "round {round}: no answer: {}", guest.console());
        guest.destroy()?;
    }
    Ok(())
}
