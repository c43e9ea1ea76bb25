//! The key-value store with the clients that people use: redis-benchmark, redis-py.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{BootTest, kv};
use crate::xen_host::Host;

/// Also for dom0's emulated processor.
const SLOW: Duration = Duration::from_secs(240);
/// redis-benchmark's tests that the store must pass, and how many lines of figures come of them.
const TESTS_OF_REDIS: (&str, usize) = ("set,get,incr,lpush,lpop,sadd,hset,spop,zadd,mset", 10);
const COMMANDS: u32 = 1000;
/// A port of this machine leads to this one of the guest: what is not in dom0 comes to it so.
pub const PORT: u16 = 6379;
/// What the table ends with.
const CHECKS: &str = "113 checks";
const REDIS_PY: &str = include_str!("redis_py.py");

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::kv::redis_benchmark", 400, redis_benchmark),
    BootTest::new("boot::kv::redis_py", 300, redis_py),
];

/// Alone, many at once, in RESP3: every command is answered, none with an error.
fn redis_benchmark(host: &mut Host) -> Result<()> {
    let device = kv::new_disk(host)?;
    let guest = kv::start(host, &device, "durability=every-100ms")?;
    let (tests, lines) = TESTS_OF_REDIS;
    for option in ["", "-P 16", "-3"] {
        let script = format!(
            "redis-benchmark -h 10.0.2.15 -c 16 -n {COMMANDS} -r 1000 -t {tests} -e --csv {option} 2>&1
            redis-cli -h 10.0.2.15 info stats | grep total_error_replies"
        );
        let said = host.sh(&script, SLOW)?.ok()?.stdout;
        let figures = said.lines().filter(|line| line.starts_with('"') && !line.starts_with("\"test\""));
        let rates = figures.filter(|line| {
            let rate = line.split(',').nth(1).and_then(|rate| rate.trim_matches('"').parse::<f64>().ok());
            rate.is_some_and(|rate| rate > 0.0)
        });
        let (found, errors) = (rates.count(), said.contains("total_error_replies:0\r"));
        ensure!(found == lines && errors, "{option}: {found} of {lines}: {said}\n{}", guest.console());
    }
    let said = host.sh("redis-cli -h 10.0.2.15 dbsize", SLOW)?.ok()?.stdout;
    ensure!(said.trim().parse::<u32>()? > 1000, "{said} keys");
    Ok(())
}

/// Debian's redis-py on this machine, by way of the port that leads to the guest.
fn redis_py(host: &mut Host) -> Result<()> {
    let device = kv::new_disk(host)?;
    let guest = kv::start(host, &device, "durability=every-command")?;
    let port = host.forwarded(PORT).context("no port leads to the guest")?;
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-", &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut python = python.spawn().context("cannot start python3")?;
    python.stdin.take().context("no stdin")?.write_all(REDIS_PY.as_bytes())?;
    let output = python.wait_with_output()?;
    let [said, error] =
        [output.stdout, output.stderr].map(|octets| String::from_utf8_lossy(&octets).into_owned());
    ensure!(output.status.success(), "redis-py is not content: {error}{said}\n{}", guest.console());
    ensure!(said.trim() == CHECKS, "not all of its checks were made: {said}");
    Ok(())
}
