//! Connections of TLS that are held, as many as a small guest has room for: from this machine, by Python's `ssl`, with HTTP/1.1 and with
//! HTTP/2. The guest has no disk, and makes its certificate.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{BootTest, web_tls};
use crate::ui;
use crate::xen_host::Host;

const SOON: Duration = Duration::from_secs(60);
/// Connections that a guest of 24 MiB has room for.
const HELD: u64 = 500;
/// How many come beside them: `OVER` in the script.
const OVER: u64 = 20;
const HOLD: &str = include_str!("tls_held.py");

/// An image, what it says when it makes its certificate, what its clients speak, and octets that a connection which waits takes at
/// most: of TLS, HTTP and TCP.
struct Kind {
    image: &'static str,
    said: &'static str,
    protocol: &'static str,
    of_each: u64,
}

/// Without HTTP/2, and without disks.
const HTTP_1: Kind = Kind {
    image: "web+tls",
    said: "no code for disks (feature disk): a certificate for server.test",
    protocol: "http/1.1",
    of_each: 12 << 10,
};

const HTTP_2: Kind = Kind {
    image: "web+h2+disk",
    said: "no disk keys: a certificate for server.test",
    protocol: "h2",
    of_each: 13 << 10,
};

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::web_tls::held", 300, |host| held(host, &HTTP_1)),
    BootTest::new("boot::web_tls::held_http2", 300, |host| held(host, &HTTP_2)).long(),
];

/// As many connections as the guest has room for, each after its handshake: what they take, that each is answered, and that those
/// that come over the limit take the place of those that have been idle for longest.
fn held(host: &mut Host, kind: &Kind) -> Result<()> {
    let params = format!("connections={HELD} idle=1h names=server.test");
    let guest = web_tls::serve(host, kind.image, "", &params)?;
    guest.wait_console(kind.said, SOON)?;
    let port = host.forwarded(web_tls::PORT).context("no port leads to the guest")?;
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", HOLD, &port.to_string(), &HELD.to_string(), kind.protocol]);
    let output = python.output().context("no python3")?;
    let [said, error] =
        [output.stdout, output.stderr].map(|octets| String::from_utf8_lossy(&octets).into_owned());
    ensure!(output.status.success(), "connections that are held: {error}{said}\n{}", guest.console());
    web_tls::and_leaves(guest, room_for_each(kind, &said).map_err(|error| error.context(said)))
}

fn room_for_each(kind: &Kind, said: &str) -> Result<()> {
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
        let protocol = kind.protocol;
        ui::say(format!(
            "{HELD} connections of TLS with {protocol}, {when}: {each} octets each, {free} free"
        ));
        ensure!((1000..kind.of_each).contains(&each), "{when}: {each} octets each");
        ensure!(of(when, "open")? == HELD && of(when, "evicted")? == 0, "{when}: not all are open");
    }
    let (open, evicted, ended) = (of("over", "open")?, of("over", "evicted")?, of("over", "ended")?);
    ensure!((open, evicted, ended) == (HELD, OVER, OVER), "over the limit: not {OVER} gave way");
    // One more had the certificate shown.
    ensure!(of("over", "full")? == HELD + OVER + 1 && of("over", "short")? == 0, "handshakes failed");
    Ok(())
}
