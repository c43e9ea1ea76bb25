//! Commands of Redis's: our store and redis-server on Linux, both in memory alone, in turns, with dom0's redis-benchmark.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::contest::{FigureOf, Load, Run};
use super::pair::{Naming, Pair};
use super::servers::Server;
use crate::xen_host::Host;
use crate::xen_host::guest::GuestSpec;
use crate::xen_host::linux_guest;

const FATA_MEMORY_MB: u32 = 64;
const CONNECTIONS: u32 = 16;
/// Keys that the commands choose from.
const KEYS: u32 = 10_000;
/// Octets of a value.
const VALUE: u32 = 64;
const MICROSECOND: f64 = 1e3;
/// Commands that tell how many a run needs.
const WARM_UP: u64 = 4000;
const SOON: Duration = Duration::from_secs(60);
/// Asks once.
const ANSWERS: &str = "timeout 2 redis-cli -h ADDRESS ping 2>/dev/null | grep -q PONG";

/// The loads, each with redis-benchmark's options for it. What is written first is what is read then.
const LOADS: [(Load, &str); 4] = [
    (load("SET"), "-t set"),
    (load("GET"), "-t get"),
    (load("SET, 16 at once"), "-t set -P 16"),
    (load("GET, 16 at once"), "-t get -P 16"),
];

const fn load(name: &'static str) -> Load {
    Load { name, cost_unit: "us a command", rate_unit: "commands/s", figure_of: FigureOf::Best }
}

/// Runs it all; prints the figures and writes them to the bench's folder.
pub fn run(bench: &Bench) -> Result<()> {
    let image = bench.workspace.find("kv", false)?.build(&["--quiet"])?;
    let linux = linux_guest::build(&linux_guest::REDIS, &[])?;
    let spec = GuestSpec::new("kv", image.clone()).memory(FATA_MEMORY_MB);
    let pair = Pair::start(bench, &image, spec, &linux, ANSWERS)?;
    let naming = Naming {
        name: "kv",
        title: "guest CPU a command of Redis's, microseconds",
        linux: "linux + redis-server",
    };
    pair.hold(&naming, &LOADS, |host, server, option| one_run(host, server, option, bench.seconds))
}

/// Guest CPU a command, microseconds. The other server is paused meanwhile.
fn one_run(host: &Host, server: &Server, option: &str, seconds: u32) -> Result<Run> {
    let commands = Cell::new(WARM_UP);
    let warm_up = || {
        let (done, took) = benchmark(host, server.address, option, WARM_UP)?;
        commands.set(WARM_UP.max((done / took * f64::from(seconds)) as u64));
        Ok(())
    };
    server.measure(host, MICROSECOND, warm_up, || benchmark(host, server.address, option, commands.get()))
}

/// Commands, and the seconds it took. An error if it did fewer than it was asked for, or one failed.
pub fn benchmark(host: &Host, address: &str, option: &str, commands: u64) -> Result<(f64, f64)> {
    let count = format!("redis-cli -h {address} info stats");
    let script = format!(
        "{count}; redis-benchmark -h {address} -c {CONNECTIONS} -n {commands} -r {KEYS} -d {VALUE} -e --csv {option} && {count}"
    );
    let limit = Duration::from_secs(commands / 100) + SOON;
    let said = host.sh(&script, limit)?.ok()?;
    counted(&said.stdout, commands).with_context(|| format!("{script}: {}{}", said.stdout, said.stderr))
}

/// From what redis-benchmark says, with the server's counters before and after it.
fn counted(said: &str, asked: u64) -> Result<(f64, f64)> {
    let of = |name: &str| -> Result<(u64, u64)> {
        let mut values = said.lines().filter_map(|line| line.trim().strip_prefix(name)?.parse::<u64>().ok());
        values.next().zip(values.next()).with_context(|| format!("no {name} before and after"))
    };
    let (before, after) = of("total_commands_processed:")?;
    let errors = of("total_error_replies:")?;
    ensure!(errors.0 == errors.1, "the server answered with {} errors", errors.1 - errors.0);
    let done = after.saturating_sub(before);
    ensure!(done >= asked, "of {asked} commands the server has done {done}");
    let line = said.lines().rfind(|line| line.starts_with('"') && !line.starts_with("\"test\""));
    let line = line.context("redis-benchmark said no figures")?;
    let field = line.split(',').nth(1).map(|field| field.trim().trim_matches('"'));
    let rate: f64 =
        field.and_then(|field| field.parse().ok()).with_context(|| format!("no rate in {line:?}"))?;
    ensure!(rate > 0.0, "redis-benchmark got no answer");
    // The counters have a few commands more, of redis-benchmark's own questions.
    Ok((asked as f64, asked as f64 / rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(after: u64, errors: u64) -> String {
        format!(
            "# Stats\r\ntotal_commands_processed:100\r\ntotal_error_replies:0\r\n\
             \"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"2000.00\",\"0.5\"\n\
             # Stats\r\ntotal_commands_processed:{after}\r\ntotal_error_replies:{errors}\r\n"
        )
    }

    #[test]
    fn the_rate_counts() {
        assert_eq!(counted(&said(4105, 0), 4000).unwrap(), (4000.0, 2.0));
    }

    #[test]
    fn lost_commands_and_errors_leave_no_figure() {
        assert!(counted(&said(4099, 0), 4000).unwrap_err().to_string().contains("3999"));
        assert!(counted(&said(4105, 1), 4000).unwrap_err().to_string().contains("1 errors"));
        assert!(counted("", 4000).is_err());
    }
}
