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
const LOADS: [(Load, &str); 6] = [
    (load("into the guest"), ""),
    (load("out of the guest"), "--reverse"),
    (load("into the guest, 4 streams"), "--parallel 4"),
    (load("out of the guest, 4 streams"), "--parallel 4 --reverse"),
    (datagrams("UDP into the guest, 10 Mbit/s"), "--udp --bitrate 10M"),
    (datagrams("UDP out of the guest, 10 Mbit/s"), "--udp --bitrate 10M --reverse"),
];

/// Nanoseconds.
const MICROSECOND: f64 = 1e3;
/// Of datagrams some are lost on any line. What is lost in a guest's queue has cost it something, and would count for nothing: where
/// more is lost than this part, the rate was more than that guest carries, and there is no figure.
const MOST_LOST: f64 = 0.01;

/// Of a rate that both carry, so that what it costs is compared and not how much of it they drop.
const fn datagrams(name: &'static str) -> Load {
    Load { name, cost_unit: "us a datagram", rate_unit: "datagrams/s", figure_of: FigureOf::Best }
}

const fn load(name: &'static str) -> Load {
    Load { name, cost_unit: "ms a MB", rate_unit: "MB/s", figure_of: FigureOf::Best }
}

/// Runs it all; prints the figures and writes them to the bench's folder.
pub fn run(bench: &Bench) -> Result<()> {
    let image = bench.workspace.find("iperf", false)?.build(&["--quiet"])?;
    let linux = linux_guest::build(&linux_guest::SERVERS, &[])?;
    let spec = GuestSpec::new("iperf", image.clone()).memory(FATA_MEMORY_MB);
    let pair = Pair::start(bench, &image, spec, &linux, ANSWERS)?;
    let naming = Naming {
        name: "iperf",
        title: "guest CPU a megabyte of TCP, milliseconds; a datagram of UDP, microseconds",
        linux: "linux + iperf3",
    };
    pair.hold(&naming, &LOADS, |host, server, option| one_run(host, server, option, bench.seconds))
}

/// Guest CPU a megabyte, milliseconds, or a datagram that has come, microseconds. The other server is paused meanwhile.
fn one_run(host: &Host, server: &Server, option: &str, seconds: u32) -> Result<Run> {
    if option.contains("--udp") {
        let run = |seconds| arrived(&said(host, server.address, option, seconds)?);
        return server.measure(host, MICROSECOND, || run(WARM_UP_S).map(drop), || run(seconds));
    }
    let warm_up = || bulk(host, server.address, option, WARM_UP_S).map(drop);
    server.measure(host, MILLISECOND, warm_up, || {
        let (octets, seconds) = bulk(host, server.address, option, seconds)?;
        Ok((octets / MEGABYTE, seconds))
    })
}

/// Octets that were received, and the seconds it took.
fn bulk(host: &Host, address: &str, option: &str, seconds: u32) -> Result<(f64, f64)> {
    received(&said(host, address, option, seconds)?)
}

/// What dom0's iperf3 says of a test.
fn said(host: &Host, address: &str, option: &str, seconds: u32) -> Result<String> {
    let script = format!("iperf3 --client {address} --json --time {seconds} {option}");
    let said = host.sh(&script, Duration::from_secs(u64::from(seconds) + 60))?;
    ensure!(!said.stdout.is_empty(), "{script}: {}", said.stderr);
    Ok(said.stdout)
}

/// Datagrams that have come, as their receiver counts them, and seconds.
fn arrived(said: &str) -> Result<(f64, f64)> {
    let json = report(said)?;
    let sum = &json["end"]["sum"];
    let figure = |name: &str| sum[name].as_f64().with_context(|| format!("iperf3 said no {name}: {sum}"));
    let (packets, lost, seconds) = (figure("packets")?, figure("lost_packets")?, figure("seconds")?);
    ensure!(packets > 0.0 && seconds > 0.0, "nothing was sent: {sum}");
    let part = lost / packets;
    ensure!(part <= MOST_LOST, "{lost} of {packets} datagrams were lost, more than is carried");
    Ok((packets - lost, seconds))
}

/// A report without errors.
fn report(said: &str) -> Result<Value> {
    let json: Value = serde_json::from_str(said).context("iperf3 said no JSON")?;
    if let Some(error) = json.get("error") {
        bail!("iperf3 reports an error, so there is no figure: {error}");
    }
    Ok(json)
}

/// What iperf3's report says was received.
pub fn received(said: &str) -> Result<(f64, f64)> {
    let json = report(said)?;
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
    fn datagrams_that_have_come_count_and_with_many_lost_there_is_no_figure() {
        let said = |lost: u32| {
            format!(r#"{{"end":{{"sum":{{"packets":1000,"lost_packets":{lost},"seconds":2.5}}}}}}"#)
        };
        assert_eq!(arrived(&said(10)).unwrap(), (990.0, 2.5));
        assert!(arrived(&said(11)).unwrap_err().to_string().starts_with("11 of 1000 datagrams"));
        assert!(arrived("{}").is_err() && arrived(r#"{"error":"busy"}"#).is_err());
    }

    #[test]
    fn a_run_with_an_error_has_no_figure() {
        let said = r#"{"end":{"sum_received":{"bytes":5,"seconds":2}},"error":"control socket has closed"}"#;
        assert!(received(said).unwrap_err().to_string().contains("control socket"));
        assert!(received("").is_err() && received("{}").is_err());
        assert!(received(r#"{"end":{"sum_received":{"bytes":0,"seconds":2}}}"#).is_err());
    }
}
