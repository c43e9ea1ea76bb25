//! Requests to a disk: our guest and fio on Linux, with direct I/O, in turns, on the same loop device of dom0's over memory.
//!
//! Either runs each load twice, for a second and for longer: what the longer one has more, of work and of guest CPU, is the
//! figure, so that fio's own start counts for nothing.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::contest::{Contest, Contests, FigureOf, Load, Run};
use super::quiet::Watch;
use super::servers::host;
use super::{Bench, plot, results};
use crate::ui;
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec};
use crate::xen_host::linux_guest::{self, FIO_DONE};

const FATA_MEMORY_MB: u32 = 64;
const LINUX_MEMORY_MB: u32 = 512;
/// Of the disk.
const MIB: u32 = 64;
const BOOT: Duration = Duration::from_secs(180);
const SOON: Duration = Duration::from_secs(60);
/// fio needs some seconds to start under emulation, and to count.
const FIO: Duration = Duration::from_secs(90);
/// How long the run that is taken off lasts, seconds.
const SHORT: u32 = 1;

/// A way to load a disk.
#[derive(Clone, Copy)]
struct Way {
    load: Load,
    /// What one unit of the cost has, octets.
    unit_octets: f64,
    /// Nanoseconds of the cost's unit.
    unit_ns: f64,
    is_write: bool,
    is_random: bool,
    /// Octets of a request.
    octets: u32,
    /// Requests at once.
    depth: u32,
}

const fn pages(name: &'static str, depth: u32) -> Way {
    let load = Load { name, cost_unit: "us a request", rate_unit: "requests/s", figure_of: FigureOf::Best };
    Way { load, unit_octets: 4096.0, unit_ns: 1e3, is_write: false, is_random: true, octets: 4096, depth }
}

const fn bulk(name: &'static str, is_write: bool) -> Way {
    let load = Load { name, cost_unit: "ms a MB", rate_unit: "MB/s", figure_of: FigureOf::Best };
    Way { load, unit_octets: 1e6, unit_ns: 1e6, is_write, is_random: false, octets: 1 << 20, depth: 1 }
}

const WAYS: [Way; 4] = [
    pages("read 4 KiB at random, 1 at once", 1),
    pages("read 4 KiB at random, 32 at once", 32),
    bulk("read 1 MiB in order", false),
    bulk("write 1 MiB in order", true),
];

const SET_UP: &str = "losetup -D; rm -f /tmp/disk.img; head -c SIZE /dev/zero >/tmp/disk.img
    losetup --find --show /tmp/disk.img";

/// Octets done, and the seconds it took.
type Done = (f64, f64);

/// Runs it all; prints the figures and writes them to the bench's folder.
pub fn run(bench: &Bench) -> Result<()> {
    let image = bench.workspace.find("block", false)?.build(&["--quiet"])?;
    let linux = linux_guest::build(&linux_guest::FIO, &[])?;
    let mut host = host(&bench.folder)?;
    let device = host.sh(&SET_UP.replace("SIZE", &format!("{MIB}M")), SOON)?.ok()?.stdout.trim().to_owned();
    let disk = format!(
        "disk = [ 'format=raw,backendtype=phy,vdev=xvda,access=rw,script=/fata/block,target={device}' ]"
    );
    let image_octets = fs::metadata(&image)?.len();
    let spec = GuestSpec::new("block", image).memory(FATA_MEMORY_MB).extra("case=load").config(&disk);
    let fata = start(&mut host, &spec, "ready")?;
    let spec = linux.spec(&mut host, "10.0.2.16/24", LINUX_MEMORY_MB)?.config(&disk);
    let linux = start(&mut host, &spec, linux_guest::READY)?;
    let mut contests = Contests::new(bench.rounds);
    for way in WAYS {
        let ours = |seconds| ours(&fata, way, seconds);
        let theirs = |seconds| theirs(&linux, way, seconds);
        contests.hold(
            way.load,
            || one_run(&host, &fata, way, bench.seconds, ours),
            || one_run(&host, &linux, way, bench.seconds, theirs),
        );
    }
    let loads: Vec<_> = contests.held.iter().map(Contest::to_json).collect();
    let json = json!({
        "fata": { "image_octets": image_octets, "memory_mib": FATA_MEMORY_MB },
        "linux": { "memory_mib": LINUX_MEMORY_MB },
        "loads": loads,
    });
    let bars: Vec<_> = contests.held.iter().map(|contest| contest.bars("linux + fio")).collect();
    let title = "guest CPU a request of 4 KiB, microseconds; a megabyte in order, milliseconds";
    results::write_both(bench, "disk", &json, &plot::bars(title, &bars))?;
    contests.complete()
}

/// A guest that is ready, and paused.
fn start(host: &mut Host, spec: &GuestSpec, ready: &str) -> Result<Guest> {
    let guest = host.create(spec)?;
    guest.wait_console(ready, BOOT)?;
    ui::say(format!("{} is ready", guest.name()));
    guest.xl("pause")?;
    Ok(guest)
}

fn one_run(
    host: &Host,
    guest: &Guest,
    way: Way,
    seconds: u32,
    load: impl Fn(u32) -> Result<Done>,
) -> Result<Run> {
    guest.xl("unpause")?;
    let run = difference(
        host,
        guest,
        way,
        &|seconds| {
            let before = guest.cpu_ns()?;
            let done = load(seconds).with_context(|| format!("no figure of {}", guest.name()))?;
            Ok((done, (guest.cpu_ns()? - before) as f64))
        },
        seconds,
    );
    // Whatever became of it: the other one is to have the host for itself.
    guest.xl("pause")?;
    run
}

/// What the longer of two runs has more, of work and of guest CPU, nanoseconds.
fn difference(
    host: &Host,
    guest: &Guest,
    way: Way,
    measured: &dyn Fn(u32) -> Result<(Done, f64)>,
    seconds: u32,
) -> Result<Run> {
    let watch = Watch::start(host.process_id());
    let (short, short_ns) = measured(SHORT)?;
    let (long, long_ns) = measured(SHORT + seconds)?;
    let others = watch.end(guest.name());
    let units = (long.0 - short.0) / way.unit_octets;
    ensure!(units > 0.0 && long_ns > short_ns, "the longer run did less: {short:?} and {long:?}");
    Ok(Run {
        cost: (long_ns - short_ns) / way.unit_ns / units,
        rate: long.0 / way.unit_octets / long.1,
        others,
    })
}

/// Types a line, and gives what the guest answers: the rest of the line that begins with `mark`.
fn asked(guest: &Guest, line: &str, mark: &str, limit: Duration) -> Result<String> {
    let answers = |console: &str| console.lines().filter(|line| line.trim().starts_with(mark)).count();
    let before = answers(&guest.console());
    guest.type_line(line)?;
    // A line is whole when there is another after it, or its end.
    let is_there = |console: &str| console.ends_with('\n') && answers(console) > before;
    let console = guest.wait_console_until(mark, limit, is_there)?;
    let last =
        console.lines().rfind(|line| line.trim().starts_with(mark)).context("it has just been there")?;
    Ok(last.trim()[mark.len()..].to_owned())
}

fn ours(guest: &Guest, way: Way, seconds: u32) -> Result<Done> {
    let Way { octets, depth, .. } = way;
    let operation = if way.is_write { "write" } else { "read" };
    let order = if way.is_random { "random" } else { "sequential" };
    let line = format!("{operation} {order} {octets} {depth} {seconds}");
    let said = asked(guest, &line, "loaded ", SOON + Duration::from_secs(seconds.into()))?;
    loaded(&said)
}

/// Of `N octets in M ns`.
fn loaded(said: &str) -> Result<Done> {
    let words: Vec<&str> = said.split_whitespace().collect();
    let figures = match *words {
        [octets, "octets", "in", ns, "ns"] => octets.parse().ok().zip(ns.parse().ok()),
        _ => None,
    };
    let (octets, ns): (f64, f64) = figures.with_context(|| format!("it said {said:?}"))?;
    Ok((octets, ns / 1e9))
}

fn theirs(guest: &Guest, way: Way, seconds: u32) -> Result<Done> {
    let Way { octets, depth, .. } = way;
    let operation = match (way.is_random, way.is_write) {
        (true, false) => "randread",
        (true, true) => "randwrite",
        (false, false) => "read",
        (false, true) => "write",
    };
    let line = format!(
        "fio --name=x --filename=/dev/xvda --direct=1 --ioengine=libaio --rw={operation} --bs={octets} --iodepth={depth} \
         --time_based --runtime={seconds} --size={MIB}M --norandommap --randrepeat=0 --gtod_reduce=1 --thread"
    );
    let said = asked(guest, &line, FIO_DONE, FIO + Duration::from_secs(seconds.into()))?;
    of_fio(&said, way.is_write)
}

/// Of fio's status, then of its terse output: error, kB read, ms of reading, kB written, ms of writing.
fn of_fio(said: &str, is_write: bool) -> Result<Done> {
    let mut words = said.split(' ');
    let status = words.next();
    let fields: Vec<f64> =
        words.next().unwrap_or_default().split(';').filter_map(|field| field.parse().ok()).collect();
    let (Some("0"), [0.0, read, reading, written, writing]) = (status, &*fields) else {
        anyhow::bail!("fio failed: {said}");
    };
    let (kb, ms) = if is_write { (written, writing) } else { (read, reading) };
    ensure!(*kb > 0.0 && *ms > 0.0, "fio did nothing: {said}");
    Ok((kb * 1024.0, ms / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ours_says_is_read() {
        assert_eq!(loaded("8192 octets in 2000000000 ns").unwrap(), (8192.0, 2.0));
        assert!(loaded("8192 octets").is_err() && loaded("").is_err());
    }

    #[test]
    fn what_fio_says_is_read() {
        assert_eq!(of_fio("0 0;40;1000;0;0", false).unwrap(), (40960.0, 1.0));
        assert_eq!(of_fio("0 0;0;0;2;500 ", true).unwrap(), (2048.0, 0.5));
        assert!(of_fio("1 0;40;1000;0;0 fio: no such file", false).is_err());
        assert!(of_fio("0 5;40;1000;0;0", false).is_err(), "an error of the job");
        assert!(of_fio("0 0;0;0;0;0", false).is_err());
    }
}
