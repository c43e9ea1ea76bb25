//! The iperf appliance, against the real iperf3 in dom0.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::BootTest;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec};

const SOON: Duration = Duration::from_secs(30);
const SLOW: Duration = Duration::from_secs(120);
const MEMORY_MB: u32 = 64;
/// Our server.
const GUEST: &str = "10.0.2.15";
/// dom0, where the real server is.
const DOM0: &str = "10.0.2.14";

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::iperf::real_client", 180, |h| real_client(h, CASES, 1)).on_qemu().as_process_long(),
    BootTest::new("boot::iperf::real_client_all", 900, |h| real_client(h, ALL_CASES, 5))
        .long()
        .on_qemu_long()
        .as_process_long(),
    BootTest::new("boot::iperf::real_server", 240, |h| real_server(h, PARAMS, 1)).on_qemu_long().as_process(),
    BootTest::new("boot::iperf::real_server_all", 900, |h| real_server(h, ALL_PARAMS, 5))
        .long()
        .on_qemu_long()
        .as_process_long(),
    BootTest::new("boot::iperf::busy_and_strangers", 120, busy_and_strangers)
        .on_qemu()
        .on_xen_long()
        .as_process_long(),
];

/// Options of the real client, how many streams its results must have, and what is to come at least, octets a second.
type Case = (&'static str, usize, f64);

const CASES: &[Case] = &[
    ("--parallel 4", 4, 100e3),
    ("--reverse", 1, 100e3),
    ("--bidir", 2, 50e3),
    ("--udp --bitrate 1M", 1, 80e3),
    ("--udp --bitrate 1M --reverse", 1, 80e3),
];

const ALL_CASES: &[Case] = &[
    ("", 1, 100e3),
    ("--parallel 4", 4, 100e3),
    ("--parallel 4 --reverse", 4, 100e3),
    ("--bidir --parallel 2", 4, 50e3),
    ("--parallel 32", 32, 50e3),
    ("--no-delay --length 1K", 1, 20e3),
    ("--window 64K --omit 1", 1, 50e3),
    ("--bitrate 4M", 1, 300e3),
    ("--bitrate 4M --reverse", 1, 300e3),
    ("--udp --bitrate 1M --parallel 2", 2, 150e3),
    ("--udp --bitrate 1M --bidir", 2, 80e3),
    ("--udp --bitrate 1M --udp-counters-64bit --reverse", 1, 80e3),
    ("--udp --bitrate 1M --length 4000", 1, 80e3),
    ("--get-server-output", 1, 100e3),
];

/// Our server in a guest.
fn server(host: &mut Host) -> Result<Guest> {
    let guest = host.create(&GuestSpec::new("iperf", image("iperf")?).memory(MEMORY_MB).network())?;
    guest.wait_console("iperf: server on port 5201", SOON)?;
    guest.wait_console("link up", SOON)?;
    Ok(guest)
}

/// What the real client says in JSON.
pub(super) fn iperf3(host: &Host, server: &str, options: &str) -> Result<Value> {
    let said = host.sh(&format!("iperf3 --client {server} --json --connect-timeout 5000 {options}"), SLOW)?;
    let json: Value = serde_json::from_str(&said.stdout)
        .with_context(|| format!("iperf3 {options}: no JSON: {} {}", said.stdout, said.stderr))?;
    ensure!(said.status == 0 && json.get("error").is_none(), "iperf3 {options}: {json:#}");
    Ok(json)
}

fn number(json: &Value, pointer: &str) -> Result<f64> {
    json.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("no {pointer} in {json:#}"))
}

fn streams(json: &Value) -> usize {
    json.pointer("/end/streams").and_then(Value::as_array).map_or(0, Vec::len)
}

/// What each direction's receiver has counted, octets, with the sender's figure.
pub(super) fn check_directions(json: &Value, least: f64) -> Result<()> {
    let is_udp = json.pointer("/start/test_start/protocol") == Some(&"UDP".into());
    let mut directions = vec!["_bidir_reverse", ""];
    if json.pointer("/end/sum_sent_bidir_reverse").is_none() {
        directions.remove(0);
    }
    for direction in directions {
        // iperf3 3.12 sums datagrams of both directions in one place.
        if is_udp && json.pointer("/end/sum_sent").is_none() {
            let (octets, packets) = (number(json, "/end/sum/bytes")?, number(json, "/end/sum/packets")?);
            let lost = number(json, "/end/sum/lost_packets")?;
            ensure!(octets >= least && lost <= packets * 0.2, "octets {octets}, lost {lost}: {json:#}");
            continue;
        }
        let sent = number(json, &format!("/end/sum_sent{direction}/bytes"))?;
        let received = number(json, &format!("/end/sum_received{direction}/bytes"))?;
        if !is_udp {
            number(json, &format!("/end/sum_sent{direction}/retransmits"))?;
        }
        ensure!(
            received >= least && received <= sent * 1.1,
            "sent {sent}, received {received}, at least {least} was to come: {json:#}"
        );
    }
    Ok(())
}

fn real_client(host: &mut Host, cases: &[Case], seconds: u32) -> Result<()> {
    let guest = server(host)?;
    for (options, wanted, least) in cases {
        let said = iperf3(host, GUEST, &format!("--time {seconds} {options}"))?;
        ensure!(streams(&said) == *wanted, "{options}: {} streams: {said:#}", streams(&said));
        check_directions(&said, least * f64::from(seconds)).with_context(|| format!("iperf3 {options}"))?;
        if options.contains("get-server-output") {
            let text = said["server_output_text"].as_str().context("no report of the server")?;
            ensure!(text.starts_with("fata iperf "), "{text}");
        }
    }
    let said = iperf3(host, GUEST, "--bytes 512K --parallel 2")?;
    let (sent, received) = (number(&said, "/end/sum_sent/bytes")?, number(&said, "/end/sum_received/bytes")?);
    ensure!(sent >= 524_288.0 && received == sent, "sent {sent}, received {received}");
    ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
    Ok(())
}

/// Boot parameters of our client, and what is to come at least, octets a second in each direction.
const PARAMS: &[(&str, f64)] = &[("parallel=4 bidir=on", 20e3), ("udp=on bitrate=1M reverse=on", 80e3)];

const ALL_PARAMS: &[(&str, f64)] = &[
    ("", 100e3),
    ("parallel=4", 100e3),
    ("reverse=on parallel=4", 100e3),
    ("bidir=on", 50e3),
    ("udp=on bitrate=1M parallel=2", 80e3),
    ("udp=on bitrate=1M bidir=on", 80e3),
    ("omit=1s nodelay=on length=2K window=64K", 20e3),
];

fn real_server(host: &mut Host, cases: &[(&'static str, f64)], seconds: u32) -> Result<()> {
    host.sh("iperf3 --server >/tmp/iperf3-server.log 2>&1 & echo $! >/tmp/iperf3-server.pid", SOON)?.ok()?;
    let result = cases
        .iter()
        .try_for_each(|(params, least)| one_client(host, params, seconds, *least).context(*params));
    let log = host.sh("kill $(cat /tmp/iperf3-server.pid); tail -n 20 /tmp/iperf3-server.log", SOON)?.stdout;
    result.with_context(|| format!("iperf3 said:\n{log}"))
}

fn one_client(host: &mut Host, params: &str, seconds: u32, least: f64) -> Result<()> {
    let spec = GuestSpec::new("iperf-client", image("iperf")?)
        .memory(MEMORY_MB)
        .network()
        .extra(&format!("client={DOM0} time={seconds}s {params}"));
    let guest = host.create(&spec)?;
    let end = guest.wait_gone(SLOW)?;
    let console = guest.console();
    ensure!(end == End::PowerOff, "it {end}: {console}");
    ensure!(console.contains("iperf: measuring against ") && console.contains(" Mbit/s"), "{console}");
    let json = console.lines().find(|line| line.starts_with("{\"end\"")).context("no JSON on its console")?;
    let json: Value = serde_json::from_str(json).with_context(|| format!("bad JSON: {json}"))?;
    // Nobody counts datagrams that are sent again.
    let has_again = json["end"]["sum_sent"]["retransmits"].is_u64();
    ensure!(has_again != params.contains("udp=on"), "{params}: retransmissions: {json}");
    check_directions(&json, least * f64::from(seconds))
}

/// A second client is told to wait, connections that say nothing hold nobody up, and one that goes away makes room.
fn busy_and_strangers(host: &mut Host) -> Result<()> {
    let guest = server(host)?;
    let strangers = "for n in $(seq 40); do socat -u PIPE TCP:10.0.2.15:5201 & done >/dev/null 2>&1; sleep 1";
    host.sh(strangers, SOON)?.ok()?;
    let script = "iperf3 --client 10.0.2.15 --time 20 --bitrate 1M >/dev/null 2>&1 & first=$!
        sleep 2; iperf3 --client 10.0.2.15 --time 1; kill -9 $first; pkill socat; exit 0";
    let said = host.sh(script, SOON)?;
    ensure!(said.stderr.contains("the server is busy running a test"), "the second client: {said:?}");
    guest.wait_console("iperf: the test of 10.0.2.14", SOON)?;
    check_directions(&iperf3(host, GUEST, "--time 1")?, 100e3)?;
    ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
    Ok(())
}
