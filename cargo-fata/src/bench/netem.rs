//! TCP over bad lines: the rate of our iperf appliance beside that of iperf3 on Linux, with delay and loss by `tc netem`
//! between both and their peer.
//!
//! The peer is dom0's iperf3 in a network namespace behind a pair of virtual Ethernet devices; netem works on both ends
//! of the pair, half of the delay each way and the loss in either direction. What counts is our rate to Linux's.

use std::time::Duration;

use anyhow::{Context, Result};

use super::contest::{Contest, Contests, Load};
use super::iperf::{FATA_MEMORY_MB, MEGABYTE, MILLISECOND, received};
use super::servers::{self, Server};
use super::{Bench, results};
use crate::xen_host::Host;
use crate::xen_host::guest::GuestSpec;
use crate::xen_host::linux_guest;

const SOON: Duration = Duration::from_secs(20);
const ANSWERS: &str =
    "ip netns exec far iperf3 --client ADDRESS --connect-timeout 1000 --bytes 1K >/dev/null 2>&1";
/// The namespace and its line.
const SET_UP: &str = "set -e; ip netns add far; ip link add near type veth peer name line netns far; \
    ip link set near master xenbr0 up; ip -n far address add 10.0.2.99/24 dev line; ip -n far link set line up";

/// A line: its delay there and back, milliseconds, and its loss, per cent.
const LINES: [(u32, &str); 12] = [
    (1, "0.01"),
    (1, "0.1"),
    (1, "1"),
    (1, "5"),
    (10, "0.01"),
    (10, "0.1"),
    (10, "1"),
    (10, "5"),
    (50, "0.01"),
    (50, "0.1"),
    (50, "1"),
    (50, "5"),
];

/// The loads of a line, each with iperf3's option for it.
const DIRECTIONS: [(&str, &str); 2] = [("into the guest", ""), ("out of the guest", "--reverse")];

/// Runs it all; prints the figures and writes them to the bench's folder.
pub fn run(bench: &Bench) -> Result<()> {
    let image = bench.workspace.find("iperf", false)?.build(&["--quiet"])?;
    let linux = linux_guest::build(&[])?;
    let mut host = servers::host(&bench.folder)?;
    host.sh(SET_UP, SOON)?.ok().context("no namespace for the peer")?;
    let spec = GuestSpec::new("iperf", image.clone()).memory(FATA_MEMORY_MB);
    let fata = Server::fata(&mut host, &image, spec, ANSWERS)?;
    let linux = Server::linux(&mut host, &linux, ANSWERS)?;
    let mut contests = Contests::default();
    for (delay, loss) in LINES {
        host.sh(&shape(delay, loss), SOON)?.ok().context("netem does not take that")?;
        for (direction, option) in DIRECTIONS {
            let name: &'static str = format!("{delay} ms, {loss} % loss, {direction}").leak();
            let load = Load { name, cost_unit: "ms a MB", rate_unit: "MB/s" };
            let run = |server: &Server| one_run(&host, server, option, bench.seconds);
            contests.hold(load, || run(&fata), || run(&linux));
        }
    }
    table(&contests.held);
    let title = "guest CPU a megabyte of TCP over bad lines, milliseconds";
    results::write(bench, "netem", title, "linux + iperf3", &[&fata, &linux], &contests.held)?;
    contests.complete()
}

/// The command that makes a line bad: half of the delay, and the loss, each way.
fn shape(delay_ms: u32, loss: &str) -> String {
    let half = delay_ms * 500;
    let netem = format!("netem limit 10000 delay {half}us loss {loss}%");
    format!(
        "tc qdisc replace dev near root {netem} && ip netns exec far tc qdisc replace dev line root {netem}"
    )
}

fn one_run(host: &Host, server: &Server, option: &str, seconds: u32) -> Result<super::contest::Run> {
    server.measure(
        host,
        MILLISECOND,
        || Ok(()),
        || {
            let script = format!(
                "ip netns exec far iperf3 --client {} --json --time {seconds} {option}",
                server.address
            );
            let said = host.sh(&script, Duration::from_secs(u64::from(seconds) + 60))?;
            let (octets, seconds) =
                received(&said.stdout).with_context(|| format!("{script}: {}", said.stderr))?;
            Ok((octets / MEGABYTE, seconds))
        },
    )
}

fn table(contests: &[Contest]) {
    println!("\n{:42} our rate to Linux's", "line");
    for contest in contests {
        println!("{:42} {:.2}", contest.load.name, contest.rate_ratio());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_there_and_back_and_the_loss_each_way() {
        let command = shape(1, "0.1");
        assert_eq!(command.matches("delay 500us loss 0.1%").count(), 2, "{command}");
    }
}
