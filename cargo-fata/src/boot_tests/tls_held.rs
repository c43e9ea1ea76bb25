//! Connections of TLS that are held, as many as a small guest has room for: from this machine, by Python's `ssl`. The guest has no disk,
//! nor code for one, and makes its certificate.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{BootTest, web_tls};
use crate::ui;
use crate::xen_host::Host;

const SOON: Duration = Duration::from_secs(60);
/// Without HTTP/2, and without disks.
const SMALL: &str = "web+tls";
/// Connections that a guest of 24 MiB has room for, and octets that one which waits takes at most: of TLS, HTTP and TCP.
const HELD: u64 = 500;
const OF_EACH: u64 = 12 << 10;
/// How many come beside them: `OVER` in the script.
const OVER: u64 = 20;
const HOLD: &str = include_str!("tls_held.py");

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[BootTest::new("boot::web_tls::held", 300, held)];

/// As many connections as the guest has room for, each after its handshake: what they take, that each is answered, and that those
/// that come over the limit take the place of those that have been idle for longest.
fn held(host: &mut Host) -> Result<()> {
    let params = format!("connections={HELD} idle=1h names=server.test");
    let guest = web_tls::serve(host, SMALL, "", &params)?;
    guest.wait_console("no code for disks (feature disk): a certificate for server.test", SOON)?;
    let port = host.forwarded(web_tls::PORT).context("no port leads to the guest")?;
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", HOLD, &port.to_string(), &HELD.to_string()]);
    let output = python.output().context("no python3")?;
    let [said, error] =
        [output.stdout, output.stderr].map(|octets| String::from_utf8_lossy(&octets).into_owned());
    ensure!(output.status.success(), "connections that are held: {error}{said}\n{}", guest.console());
    web_tls::and_leaves(guest, room_for_each(&said).map_err(|error| error.context(said)))
}

fn room_for_each(said: &str) -> Result<()> {
    let of = |when: &str, name: &str| -> Result<u64> {
        let line = said.lines().find(|line| line.split(' ').next() == Some(when));
        let figure = line.and_then(|line| {
            line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        });
        figure.with_context(|| format!("no {name} {when}"))
    };
    for when in ["all", "asked"] {
        let each = of(when, "held")?.saturating_sub(of("one", "held")?) / (HELD - 1);
        let free = of(when, "free")?;
        ui::say(format!("{HELD} connections of TLS, {when}: {each} octets each, {free} free"));
        ensure!((1000..OF_EACH).contains(&each), "{when}: {each} octets each");
        ensure!(of(when, "open")? == HELD && of(when, "evicted")? == 0, "{when}: not all are open");
    }
    let (open, evicted, ended) = (of("over", "open")?, of("over", "evicted")?, of("over", "ended")?);
    ensure!((open, evicted, ended) == (HELD, OVER, OVER), "over the limit: not {OVER} gave way");
    // One more had the certificate shown.
    ensure!(of("over", "full")? == HELD + OVER + 1 && of("over", "short")? == 0, "handshakes failed");
    Ok(())
}
