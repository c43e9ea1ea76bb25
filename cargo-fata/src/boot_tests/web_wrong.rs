//! What is wrong in a client's first messages, shown to a guest through real sockets: the table of `fata-tls`'s own tests. What is wrong
//! later is in `later`.

#[path = "../../assets/wrong/hello.rs"]
mod hello;
mod later;
#[path = "../../assets/wrong/table.rs"]
#[rustfmt::skip]
mod table;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{BootTest, web_tls};
use crate::ui;
use crate::xen_host::Host;

const SOON: Duration = Duration::from_secs(60);
/// Octets of the heap that may be in use after all rows and were not before: less than one a row.
const SLACK: u64 = 64;
/// So many times in a row all rows are to leave nothing: what is left behind every second or third time is seen.
const QUIET: usize = 3;
/// Octets of the heap that all passes together may have added to what is kept for later: twice what was seen, none to 3,312 in three and nine
/// passes, as tables double that happen to be full. A connection that is kept is more, and so are 64 octets once for each row.
const GROWTH: u64 = 100 * 64;

/// Octets of the heap for a connection that has ended and is remembered (RFC 9293 section 3.6.1).
const OF_WAITING: u64 = 128;
/// How often all rows are sent at most beside the first time. What is kept for later grows as it happens to be needed at once: it was
/// seven times until nothing did.
const PASSES: usize = 14;

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[BootTest::new("boot::web_tls::wrong", 600, wrong).long()];

/// Each row gets the alert that the RFCs name, the guest serves on, and has its memory back.
fn wrong(host: &mut Host) -> Result<()> {
    let guest = web_tls::serve(host, "web+tls", "", "names=server.test")?;
    let port = host.forwarded(web_tls::PORT).context("no port leads to the guest")?;
    web_tls::and_leaves(guest, every_row(host, port))
}

fn every_row(host: &Host, port: u16) -> Result<()> {
    let rows = table::rows();
    let all = || -> Result<()> {
        let mut wrong = Vec::new();
        for row in &rows {
            let said = said(port, &row.octets).with_context(|| row.name)?;
            wrong.extend(row.judge(&said).err());
        }
        ensure!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
        Ok(())
    };
    // With keys: once before there is a figure, for what is made once, and so often at the end that memory is seen to be back.
    let later = later::every_row(port)?;
    // What is made once is made the first time; a table may grow the second.
    all()?;
    let mut seen = vec![figures(host)?];
    while seen.len() <= PASSES && !are_quiet(&seen) {
        all()?;
        seen.push(figures(host)?);
    }
    ui::say(format!("{} and {later} rows that are wrong: {seen:?}", rows.len()));
    ensure!(are_quiet(&seen), "memory is never back: {seen:?}");
    let [first, .., before, after] = seen[..] else { bail!("too few passes") };
    ensure!(after.used <= first.used + GROWTH, "memory is lost, if slowly: {seen:?}");
    let remembered = after.waiting.saturating_sub(first.waiting) * OF_WAITING;
    ensure!(after.free + remembered + GROWTH >= first.free, "the guest has less memory: {seen:?}");
    let refused = rows.iter().filter(|row| row.then != table::Then::GoesOn).count() as u64;
    ensure!(after.failed - before.failed == rows.len() as u64, "{before:?}, then {after:?}");
    ensure!(refused > 60, "{refused} rows are refused");
    let with_keys = || later::every_row(port).and_then(|_| figures(host));
    let mut seen = vec![with_keys()?];
    while seen.len() <= PASSES && !are_quiet(&seen) {
        seen.push(with_keys()?);
    }
    ui::say(format!("with keys: {seen:?}"));
    ensure!(are_quiet(&seen), "with keys, memory is never back: {seen:?}");
    Ok(())
}

/// Whether the last passes have left nothing behind.
fn are_quiet(seen: &[Figures]) -> bool {
    match seen.len().checked_sub(QUIET + 1).and_then(|from| seen.get(from..)) {
        Some([before, quiet @ ..]) => quiet.iter().all(|after| after.used <= before.used + SLACK),
        _ => false,
    }
}

/// What the guest says to octets and the end after them.
fn said(port: u16, octets: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(SOON))?;
    // It may have refused the first of them already.
    let _ = stream.write_all(octets).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    Ok(said)
}

/// What the guest counts.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    /// Octets of its heap in use, beside what it remembers of connections that have ended, and of its memory free.
    used: u64,
    free: u64,
    /// Connections that it remembers, for a minute.
    waiting: u64,
    /// Handshakes that came to nothing.
    failed: u64,
}

/// As a client with whom nothing is wrong gets them.
fn figures(host: &Host) -> Result<Figures> {
    let said = host.sh("curl -sSfk --max-time 30 https://10.0.2.15/metrics", SOON)?.ok()?.stdout;
    let each = |name: &str| -> Vec<u64> {
        said.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' ')?.1.parse().ok()).collect()
    };
    let one = |name: &str| each(name).first().copied().with_context(|| format!("no {name} in {said}"));
    let done: u64 = [r#"tls_handshakes_total{result="full"}"#, r#"tls_handshakes_total{result="resumed"}"#]
        .map(|name| each(name).iter().sum())
        .iter()
        .sum();
    let waiting = one("fata_net_tcp_time_wait")?;
    Ok(Figures {
        used: one(r#"fata_memory_bytes{kind="heap_used"}"#)?.saturating_sub(waiting * OF_WAITING),
        waiting,
        free: one(r#"fata_memory_bytes{kind="free"}"#)?,
        failed: each("tls_handshakes_total{").iter().sum::<u64>() - done,
    })
}
