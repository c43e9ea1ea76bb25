//! TCP in bulk into and out of a guest: our iperf appliance and iperf3 on Linux, in turns, with dom0's iperf3.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Bench;
use super::contest::{FigureOf, Load, Run};
use super::pair::{Naming, Pair};
use super::servers::Server;
use crate::xen_host::Host;
use crate::xen_host::guest::GuestSpec;
use crate::xen_host::linux_guest;

/// Memory of our guest, MiB.
pub const FATA_MEMORY_MB: u32 = 64;
/// Nanoseconds.
pub const MILLISECOND: f64 = 1e6;
/// Octets.
pub const MEGABYTE: f64 = 1e6;
const WARM_UP_S: u32 = 1;
/// Asks once: a short test that succeeds.
const ANSWERS: &str = "iperf3 --client ADDRESS --connect-timeout 1000 --bytes 1K >/dev/null 2>&1";

/// The loads, each with iperf3's option for it.
const LOADS: [(Load, &str); 4] = [
    (load("into the guest"), ""),
    (load("out of the guest"), "--reverse"),
    (load("into the guest, 4 streams"), "--parallel 4"),
    (load("out of the guest, 4 streams"), "--parallel 4 --reverse"),
];

const fn load(name: &'static str) -> Load {
    Load { name, cost_unit: "ms a MB", rate_unit: "MB/s", figure_of: FigureOf::Best }
}

/// Runs it all; prints the figures and writes them to the bench's folder.
pub fn run(bench: &Bench) -> Result<()> {
    let image = bench.workspace.find("iperf", false)?.build(&["--quiet"])?;
    let linux = linux_guest::build(&linux_guest::SERVERS, &[])?;
    let spec = GuestSpec::new("iperf", image.clone()).memory(FATA_MEMORY_MB);
    let pair = Pair::start(bench, &image, spec, &linux, ANSWERS)?;
    let naming =
        Naming { name: "iperf", title: "guest CPU a megabyte of TCP, milliseconds", linux: "linux + iperf3" };
    pair.hold(&naming, &LOADS, |host, server, option| one_run(host, server, option, bench.seconds))
}

/// Guest CPU a megabyte, milliseconds. The other server is paused meanwhile.
fn one_run(host: &Host, server: &Server, option: &str, seconds: u32) -> Result<Run> {
    let warm_up = || bulk(host, server.address, option, WARM_UP_S).map(drop);
    server.measure(host, MILLISECOND, warm_up, || {
        let (octets, seconds) = bulk(host, server.address, option, seconds)?;
        Ok((octets / MEGABYTE, seconds))
    })
}

/// Octets that were received, and the seconds it took.
fn bulk(host: &Host, address: &str, option: &str, seconds: u32) -> Result<(f64, f64)> {
    let script = format!("iperf3 --client {address} --json --time {seconds} {option}");
    let said = host.sh(&script, Duration::from_secs(u64::from(seconds) + 60))?;
    received(&said.stdout).with_context(|| format!("{script}: {}", said.stderr))
}

/// What iperf3's report says was received.
pub fn received(said: &str) -> Result<(f64, f64)> {
    let json: Value = serde_json::from_str(said).context("iperf3 said no JSON")?;
    if let Some(error) = json.get("error") {
        bail!("iperf3 reports an error, so there is no figure: {error}");
    }
    let figure = |name: &str| {
        let sum = &json["end"]["sum_received"];
        sum[name].as_f64().with_context(|| format!("iperf3 said no {name}: {sum}"))
    };
    let (octets, seconds) = (figure("bytes")?, figure("seconds")?);
    ensure!(octets > 0.0 && seconds > 0.0, "nothing was received: {octets} octets in {seconds} s");
    Ok((octets, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_received_counts() {
        let said =
            r#"{"end":{"sum_sent":{"bytes":9,"seconds":1},"sum_received":{"bytes":5000000,"seconds":2.5}}}"#;
        assert_eq!(received(said).unwrap(), (5e6, 2.5));
    }

    #[test]
    fn a_run_with_an_error_has_no_figure() {
        let said = r#"{"end":{"sum_received":{"bytes":5,"seconds":2}},"error":"control socket has closed"}"#;
        assert!(received(said).unwrap_err().to_string().contains("control socket"));
        assert!(received("").is_err() && received("{}").is_err());
        assert!(received(r#"{"end":{"sum_received":{"bytes":0,"seconds":2}}}"#).is_err());
    }
}
