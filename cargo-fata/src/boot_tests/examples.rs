//! What the examples say they do, where no other test has them at work.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::BootTest;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, GuestSpec};

const SOON: Duration = Duration::from_secs(30);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::examples::clock", 60, clock).on_qemu().as_process(),
    BootTest::new("boot::examples::udp_echo", 90, udp_echo).on_qemu_long().as_process_long(),
];

/// A line a second, and a last one when it is asked to leave.
fn clock(host: &mut Host) -> Result<()> {
    let started = Instant::now();
    let guest = host.create(&GuestSpec::new("clock", image("clock")?))?;
    let has_four = |console: &str| seconds(console).len() >= 4;
    guest.wait_console_until("four seconds", SOON, has_four)?;
    // Three whole seconds of ours too.
    ensure!(started.elapsed() > Duration::from_millis(2500), "its clock is fast: {:?}", started.elapsed());
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

/// Datagrams of every size come back, with a port of their own, and from an image without TCP a TCP client hears so.
fn udp_echo(host: &mut Host) -> Result<()> {
    let spec = GuestSpec::new("udp_echo", image("udp_echo")?).network().extra("port=7007");
    let guest = host.create(&spec)?;
    guest.wait_console("echo on UDP port 7007", SOON)?;
    guest.wait_console("link up", SOON)?;
    // From a whole one to one in pieces, each from a port of its own; socat waits to its end whether more comes.
    let script = "cd /tmp; sizes='1 1472 1473 20000 65507'
        for size in $sizes; do
            head -c $size /dev/urandom >sent.$size
            socat -b 65536 -t 4 - UDP:10.0.2.15:7007,sndbuf=200000,rcvbuf=200000 <sent.$size >got.$size & sleep 0.1
        done; wait; for size in $sizes; do cmp sent.$size got.$size || exit 1; done";
    host.sh(script, SOON)?.ok().context("the name of a file ends with its datagram's octets")?;
    let nc = host.sh("echo from-nc | timeout 10 nc.openbsd -u -w 2 10.0.2.15 7007", SOON)?;
    ensure!(nc.stdout == "from-nc\n", "nc: {nc:?}");
    let tcp = host.sh("timeout 5 socat - TCP:10.0.2.15:7007,connect-timeout=3 </dev/null", SOON)?;
    ensure!(tcp.stderr.contains("refused"), "a TCP client: {tcp:?}");
    guest.xl("shutdown")?;
    ensure!(guest.wait_gone(SOON)? == End::PowerOff, "it did not power off: {}", guest.console());
    Ok(())
}
