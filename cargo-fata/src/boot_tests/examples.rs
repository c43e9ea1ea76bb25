//! What the examples say they do, where no other test has them at work.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::BootTest;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, GuestSpec};

const SOON: Duration = Duration::from_secs(30);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[BootTest::new("boot::examples::clock", 60, clock)];

/// A line a second, and a last one when it is asked to leave.
fn clock(host: &mut Host) -> Result<()> {
    let guest = host.create(&GuestSpec::new("clock", image("clock")?))?;
    let has_four = |console: &str| seconds(console).len() >= 4;
    guest.wait_console_until("four seconds", SOON, has_four)?;
    guest.xl("shutdown")?;
    ensure!(guest.wait_gone(SOON)? == End::PowerOff, "it did not power off");
    let console = guest.console();
    let told = seconds(&console);
    // A tick that comes a little late may fall into the next second.
    let is_next = |two: &[u32]| (60 + two[1] - two[0]) % 60 <= 2;
    ensure!(told.windows(2).all(is_next), "not a second apart: {console}");
    ensure!(console.contains("asked to leave after "), "its main did not end: {console}");
    Ok(())
}

/// The seconds of lines such as `2026-01-01T00:00:59Z`.
fn seconds(console: &str) -> Vec<u32> {
    let second = |line: &str| line.rsplit(':').next()?.get(..2)?.parse().ok();
    console.lines().filter(|line| line.starts_with("20")).filter_map(second).collect()
}
