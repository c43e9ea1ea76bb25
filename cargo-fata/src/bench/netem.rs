//! TCP over bad lines: the rate of our iperf appliance beside that of iperf3 on Linux, where `tc netem` between both and
//! their peer delays packets, and loses, swaps or doubles some.
//!
//! The peer is dom0's iperf3 in a network namespace behind a pair of virtual Ethernet devices; netem works in the namespace, on
//! what leaves it and, by a device of `ifb`, on what has come: half of the delay each way and the fault in either direction. Not
//! on the pair's other end: there a guest's packet would keep the guest's pages, and netback its places in the ring, until
//! the delay is over, and what is measured would be that. What counts is our rate to Linux's, by the runs in the middle. iperf3
//! does not look at what it gets: before the contests of a line our echo example sends random octets back over it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::contest::{Contest, Contests, FigureOf, Load};
use super::iperf::{FATA_MEMORY_MB, MEGABYTE, MILLISECOND, received};
use super::servers::{self, Server};
use super::{Bench, results};
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec};
use crate::xen_host::linux_guest;

const SOON: Duration = Duration::from_secs(20);
const ECHO: &str = "10.0.2.17";
const ECHO_OCTETS: u32 = 2 << 20;
const ECHO_LIMIT: Duration = Duration::from_secs(120);
const ANSWERS: &str =
    "ip netns exec far iperf3 --client ADDRESS --connect-timeout 1000 --bytes 1K >/dev/null 2>&1";
/// The namespace and its line.
const SET_UP: &str = "set -e; ip netns add far; ip link add near type veth peer name line netns far; \
    ip link set near master xenbr0 up; ip -n far address add 10.0.2.99/24 dev line; ip -n far link set line up; \
    ip -n far link add come type ifb; ip -n far link set come up; ip netns exec far tc qdisc add dev line ingress; \
    ip netns exec far tc filter add dev line ingress matchall action mirred egress redirect dev come";

/// There and back, milliseconds.
const DELAYS_MS: [u32; 3] = [1, 10, 50];

/// What is wrong with a line each way, as netem's words say it. `reorder 2%`: so many packets do not wait for the delay, and
/// overtake those that do.
const FAULTS: [&str; 6] = ["loss 0.01%", "loss 0.1%", "loss 1%", "loss 5%", "reorder 2%", "duplicate 2%"];

/// A line: its delay there and back, milliseconds, and its fault.
#[derive(Debug, Clone, Copy)]
struct Line {
    delay_ms: u32,
    fault: &'static str,
}

/// The loads of a line, each with iperf3's option for it.
const DIRECTIONS: [(&str, &str); 2] = [("into the guest", ""), ("out of the guest", "--reverse")];

/// Runs it all; prints the figures and writes them to the bench's folder.
pub fn run(bench: &Bench) -> Result<()> {
    let lines = lines(bench.line.as_deref())?;
    let image = bench.workspace.find("iperf", false)?.build(&["--quiet"])?;
    let linux = linux_guest::build(&linux_guest::SERVERS, &[])?;
    let mut host = servers::host(&bench.folder)?;
    host.sh(SET_UP, SOON)?.ok().context("no namespace for the peer")?;
    let spec = GuestSpec::new("iperf", image.clone()).memory(FATA_MEMORY_MB);
    let fata = Server::fata(&mut host, &image, spec, ANSWERS)?;
    let linux = Server::linux(&mut host, &linux, ANSWERS)?;
    let mut contests = Contests::new(bench.rounds);
    let echo = Echo::start(bench, &mut host)?;
    for line in lines {
        let name = line.name();
        host.sh(&line.shape(), SOON)?.ok().with_context(|| format!("{name}: netem does not take that"))?;
        echo.returns_what_is_sent(&host).with_context(|| format!("{name}: octets do not arrive right"))?;
        for (direction, option) in DIRECTIONS {
            let name: &'static str = format!("{name}, {direction}").leak();
            let load = Load { name, cost_unit: "ms a MB", rate_unit: "MB/s", figure_of: FigureOf::Middle };
            let run = |server: &Server| one_run(&host, server, option, bench.seconds);
            contests.hold(load, || run(&fata), || run(&linux));
        }
    }
    table(&contests.held);
    let title = "TCP over bad lines, megabytes a second";
    results::write(bench, "netem", title, "linux + iperf3", &[&fata, &linux], &contests.held)?;
    contests.complete()
}

/// All lines, or those whose names contain a word.
fn lines(word: Option<&str>) -> Result<Vec<Line>> {
    let all = DELAYS_MS.iter().flat_map(|&delay_ms| FAULTS.map(|fault| Line { delay_ms, fault }));
    let wanted: Vec<_> = all.filter(|line| word.is_none_or(|word| line.name().contains(word))).collect();
    let word = word.unwrap_or_default();
    ensure!(!wanted.is_empty(), "no line's name contains {word:?}; one is {:?}", "50 ms, loss 0.01%");
    Ok(wanted)
}

impl Line {
    fn name(self) -> String {
        format!("{} ms, {}", self.delay_ms, self.fault)
    }

    /// The command that makes a line bad: half of the delay, and the fault, each way.
    fn shape(self) -> String {
        let half = self.delay_ms * 500;
        let netem = format!("netem limit 10000 delay {half}us {}", self.fault);
        format!(
            "for device in line come; do ip netns exec far tc qdisc replace dev $device root {netem} || exit 1; done"
        )
    }
}

/// Our echo example, which is paused while others are measured.
struct Echo(Guest);

impl Echo {
    fn start(bench: &Bench, host: &mut Host) -> Result<Self> {
        let image = bench.workspace.find("echo", true)?.build(&["--quiet"])?;
        let guest =
            host.create(&GuestSpec::new("echo", image).vif("xenbr0").extra(&format!("ipv4={ECHO}/24")))?;
        guest.wait_console("link up", SOON)?;
        guest.xl("pause")?;
        Ok(Self(guest))
    }

    /// Random octets go to it from the namespace, and come back, at the same time.
    fn returns_what_is_sent(&self, host: &Host) -> Result<()> {
        self.0.xl("unpause")?;
        let script = format!(
            "head -c {ECHO_OCTETS} /dev/urandom > /tmp/in
            ip netns exec far timeout 100 socat -t60 - TCP:{ECHO}:7,connect-timeout=20 < /tmp/in > /tmp/out
            cmp /tmp/in /tmp/out"
        );
        let compared = host.sh(&script, ECHO_LIMIT).and_then(|said| said.ok());
        self.0.xl("pause")?;
        compared.map(drop)
    }
}

fn one_run(host: &Host, server: &Server, option: &str, seconds: u32) -> Result<super::contest::Run> {
    server.measure(
        host,
        MILLISECOND,
        || Ok(()),
        || {
            // The last words of the run before may have been lost, and a server is not free before they came again.
            let script = format!(
                "for n in $(seq 10); do
                    ip netns exec far iperf3 --client {} --json --time {seconds} {option} > /tmp/said
                    grep -q 'server is busy' /tmp/said || break
                    sleep 1
                done
                cat /tmp/said",
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
        let rate = contest.rate_ratio();
        println!("{:42} {:.2} ({:.2} to {:.2})", contest.load.name, rate.best, rate.least, rate.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_there_and_back_and_the_fault_each_way() {
        let command = Line { delay_ms: 1, fault: "loss 0.1%" }.shape();
        assert!(command.contains("delay 500us loss 0.1%") && command.contains("in line come;"), "{command}");
    }

    #[test]
    fn lines_are_found_by_their_names() {
        let names = |word| lines(word).unwrap().into_iter().map(Line::name).collect::<Vec<_>>();
        assert_eq!(names(None).len(), 18);
        assert_eq!(names(Some("50 ms, loss 0.01%")), ["50 ms, loss 0.01%"]);
        assert_eq!(names(Some("reorder")), ["1 ms, reorder 2%", "10 ms, reorder 2%", "50 ms, reorder 2%"]);
        assert!(lines(Some("7 ms")).unwrap_err().to_string().contains("7 ms"));
    }
}
