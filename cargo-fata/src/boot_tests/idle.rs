//! Many connections: held idle, and short ones one after the other.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::BootTest;
use crate::bench::http;
use crate::bench::idle::{self, Held, Memory};
use crate::bench::servers::FATA;
use crate::ui;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::Guest;

const SOON: Duration = Duration::from_secs(30);
/// What an idle connection may take, octets.
const PER_CONNECTION: f64 = 4096.0;
/// What a request may cost with many idle connections, where it is 1 with few.
const COST: f64 = 1.2;
/// More than the table of TIME-WAIT takes.
const WARM_UP: u64 = 8000;
/// Rounds of wrk are so long, seconds.
const ROUND_S: u32 = 5;
/// The same where very many connections are to be made: what begins and ends a round takes a second or two.
const LONG_ROUND_S: u32 = 60;
/// Connections that take many long rounds.
const VERY_MANY: u64 = 100_000;
/// Rounds in which tables come to their size.
const ROUNDS: usize = 4;
/// Of the guest's memory.
const PAGE_OCTETS: u64 = 4096;
/// Of the site.
const PAGE: &str = "4k.html";
const CLOSE: &str = "-H 'Connection: close'";
/// Twice as many at once as else: the heap keeps what the busiest moment took, which must not come later.
const WARM_UP_CLOSE: &str = "-c 32 -H 'Connection: close'";

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::idle::connections_are_held", 240, |h| connections_are_held(h, 400))
        .on_qemu()
        .on_xen_long()
        .not_as_process("a process's heap is counted in pages that it keeps"),
    BootTest::new("boot::idle::ten_thousand_cost_nothing", 1800, |h| many_cost_nothing(h, 10_000))
        .long()
        .pv_only(
            "it is about the stack, which is the same, and takes many minutes; connections_are_held is run",
        )
        .on_xen_only("what it costs is counted by Xen"),
    BootTest::new("boot::idle::short_connections", 900, |h| short_connections(h, 10_000))
        .long()
        .not_on_qemu("takes minutes, and connections_are_held looks for leaks there")
        .not_as_process("a process's heap is counted in pages that it keeps"),
    BootTest::new("boot::idle::million_short_connections", 4 * 3600, |h| short_connections(h, 1_000_000))
        .long()
        .pv_only("it is about the stack, which is the same, and takes an hour; short_connections is run")
        .on_qemu_long()
        .not_as_process("a process's heap is counted in pages that it keeps"),
];

fn web(host: &mut Host, connections: u32) -> Result<Guest> {
    let guest = host.create(&idle::spec(&image("web")?, connections))?;
    guest.wait_console("link up", SOON)?;
    Ok(guest)
}

/// They stay open while others are served; what they took is not more than it may be, and is given back. Tables keep the size that they once had, and may come
/// to it in the second round or the third: a leak takes as much in each.
fn connections_are_held(host: &mut Host, count: u32) -> Result<()> {
    let guest = web(host, count)?;
    let mut states = vec![idle::settled(host)?];
    for _ in 0..ROUNDS {
        let before = states[states.len() - 1];
        let held = Held::open(host, count)?;
        let with = Memory::of_web(host)?;
        ensure!(with.heap_used > before.heap_used, "{count} connections take nothing: {before:?}, {with:?}");
        // Clients close these, so that none lingers.
        http::load_with_wrk(host, FATA, PAGE, "", 2)?;
        held.check()?;
        drop(held);
        states.push(idle::settled(host)?);
        ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
        let after = states[states.len() - 1];
        if after.heap_used < before.heap_used + PAGE_OCTETS {
            let each = with.heap_used.saturating_sub(after.heap_used) as f64 / f64::from(count);
            ensure!(each <= PER_CONNECTION, "an idle connection took {each:.0} octets");
            return Ok(());
        }
    }
    bail!("each of {ROUNDS} rounds left something: {states:?}")
}

/// With ten idle, with many, and with ten again.
fn many_cost_nothing(host: &mut Host, many: u32) -> Result<()> {
    let guest = web(host, many)?;
    http::load_with_wrk(host, FATA, PAGE, CLOSE, 2)?;
    let before = idle::settled(host)?;
    let (mut few, mut lots) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let held = Held::open(host, 10)?;
        few.push(idle::one_run(host, &guest, PAGE, ROUND_S)?.cost);
        held.check()?;
        drop(held);
        if round == 2 {
            break;
        }
        let held = Held::open(host, many)?;
        let with = Memory::of_web(host)?;
        let each = with.heap_used.saturating_sub(before.heap_used) as f64 / f64::from(many);
        ensure!(each <= PER_CONNECTION, "an idle connection takes {each:.0} octets");
        lots.push(idle::one_run(host, &guest, PAGE, ROUND_S)?.cost);
        held.check()?;
    }
    let least = |costs: &[f64]| costs.iter().copied().fold(f64::INFINITY, f64::min);
    let ratio = least(&lots) / least(&few);
    ensure!(
        ratio <= COST,
        "with {many} idle a request costs {ratio:.2} times as much: {few:.1?}, {lots:.1?} us"
    );
    Ok(())
}

/// After so many connections the guest has as many free pages as before.
fn short_connections(host: &mut Host, count: u64) -> Result<()> {
    let guest = web(host, 100)?;
    // What grows once with use, such as the table of TIME-WAIT, has its size then.
    make_connections(host, WARM_UP_CLOSE, WARM_UP)?;
    let before = idle::settled(host)?;
    let made = make_connections(host, CLOSE, count)?;
    let after = idle::settled(host)?;
    ensure!(after.free_pages == before.free_pages, "after {made} connections: {before:?}, {after:?}");
    ensure!(
        after.heap_used <= before.heap_used + PAGE_OCTETS,
        "after {made} connections: {before:?}, {after:?}"
    );
    ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
    Ok(())
}

/// Makes at least so many connections, one request each; gives how many it were.
fn make_connections(host: &Host, option: &str, count: u64) -> Result<u64> {
    let mut made = 0;
    while made < count {
        let seconds = if count - made > VERY_MANY { LONG_ROUND_S } else { ROUND_S };
        let more = http::load_with_wrk(host, FATA, PAGE, option, seconds);
        made += more.with_context(|| format!("after {made} connections"))?.0;
        if count > VERY_MANY {
            ui::say(format!("{made} of {count} connections made"));
        }
    }
    Ok(made)
}
