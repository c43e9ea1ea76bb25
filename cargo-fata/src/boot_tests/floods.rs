//! Floods and storms: what a remote can fill is filled, what it can waste is wasted, and the page is served meanwhile and after.

use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};
use fata_dom0::agent::ask::Tally;

use super::BootTest;
use super::web::{metric, web};
use crate::bench::wrk;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec, Kind};

const SLOW: Duration = Duration::from_secs(280);
/// How long each storm lasts, seconds.
const STORM: u32 = 30;
/// Connections that ask again as soon as they are answered, beside wrk's.
const KEPT: u32 = 16;
/// Clients that make a new connection for each request, beside wrk.
const NEW: u32 = 4;
/// How long an answer on an open connection may take. Two processors are emulated, and the storm takes all it can get of them: what
/// is lost on the way to the guest is sent again after 0.2, 0.4, 0.8, 1.6 and 3.2 s. On a busy machine 3.4 s have been seen.
const KEPT_LONGEST: Duration = Duration::from_secs(10);
/// How long an answer on a new connection may take: Linux sends a SYN again after 1, 2, 4 and 8 s, and the storm may drown four of
/// them. The answer on the connection has the time of the others.
const NEW_LONGEST: Duration = Duration::from_secs(15 + KEPT_LONGEST.as_secs());
/// The guest's memory, MiB; an eighth of it is kept for what cannot fail.
const MEMORY_MB: u32 = 16;

/// The storm that fills the table of half-open connections.
const DROWNS_SYNS: &str = "SYNs from everywhere";

/// A command that prints the beginning of a request.
const HALF_HEAD: &str = r"printf 'GET / HTTP/1.1\r\nHost: h\r\nX: %07900d' 0";

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::floods::in_least_memory", 400, floods_in_least_memory)
        .long()
        .on_qemu()
        .not_as_process("a process has no memory of its own"),
    BootTest::new("boot::floods::beside_wrk", 900, storms_beside_wrk)
        .long()
        .on_qemu_long()
        .not_as_process("a process has no memory of its own"),
];

/// While a storm blows wrk loses no request, and memory stays within its bounds.
fn storms_beside_wrk(host: &mut Host) -> Result<()> {
    // dom0 as the gateway drops the answers to all the addresses that there are not; that of QEMU's user network, which is
    // the usual one, would reset what they answer, and no handshake would stay half-open.
    let spec = GuestSpec::new("web", image("web")?).memory(MEMORY_MB).vif("xenbr0");
    let guest = host.create(&spec.extra("ipv4=10.0.2.15/24 gateway=10.0.2.14"))?;
    guest.wait_console("link up", SLOW)?;
    is_served(host, &guest, "before")?;
    let (pace, pause) = pace(host);
    let hping = |options: &str| format!("hping3 -n -q {pace} {options} 10.0.2.15");
    let frames = |host: &Host, name, len, frame| -> Result<String> {
        Ok(format!("while :; do {}; sleep {pause}; done", raw_frames(host, name, len, frame)?))
    };
    let half_heads = many_clients(HALF_HEAD);
    let storms = [
        (DROWNS_SYNS, hping("--rand-source -S -p 80")),
        ("resets from everywhere", hping("--rand-source -R -p 80")),
        // From wrk's own address, over its own ports.
        ("resets that name the connections", hping("-R -p 80 -s 32768")),
        ("acknowledgements from everywhere", hping("--rand-source -A -p 80")),
        ("acknowledgements that name the connections", hping("-A -p 80 -s 32768")),
        ("SYNs that name the connections", hping("-S -p 80 -s 32768")),
        ("half-open connections", frames(host, "neighbours", 54, syn_of_neighbour)?),
        ("ARP requests of many", frames(host, "arp", 42, arp_request)?),
        ("slow clients", format!("while :; do {half_heads}; wait; done")),
    ];
    for (name, storm) in storms {
        let cookies = || -> Result<[u64; 2]> {
            Ok([net_metric(host, "tcp_cookies")?, net_metric(host, "tcp_cookies_good")?])
        };
        let before = cookies()?;
        blow(host, &storm).context(name)?;
        is_served(host, &guest, name)?;
        let free = metric(host, "fata_memory_bytes{kind=\"free\"} ")?;
        let least = (u64::from(MEMORY_MB) << 20) / 8 * 3 / 4;
        ensure!(free >= least, "{name}: {free} octets are free, not {least}");
        if name == DROWNS_SYNS {
            let after = cookies()?;
            let [made, good] = [after[0] - before[0], after[1] - before[1]];
            ensure!(made >= 1000 && good >= 1, "{name}: {made} cookies were made, and {good} came back");
        }
    }
    // Storms that came to nothing would prove nothing.
    for (counter, least) in [("tcp_resets_sent", 1000), ("tcp_half_open_expired", 10), ("arp_unanswered", 1)]
    {
        let count = net_metric(host, counter)?;
        ensure!(count >= least, "{counter} is {count}");
    }
    Ok(())
}

/// How fast hping3 sends, and for how many seconds raw frames pause.
///
/// dom0 is emulated as its guests are, and sends what it can. Without Xen the storm is a process of this machine, which is
/// faster than an emulated guest by far: at full speed nearly all frames of anybody are lost in the tap device's queue, before
/// the guest has any part in it. 10,000 a second are more than dom0 sends.
fn pace(host: &Host) -> (&'static str, &'static str) {
    match host.kind() {
        Kind::Pv | Kind::Pvh => ("--flood", "0"),
        Kind::Machine(_) | Kind::Process => ("-i u100", "0.3"),
    }
}

/// Blows a storm beside wrk, and demands that each request is answered, in time.
///
/// wrk is the load, and tells answers that are wrong, late or cut off; of a connection that hangs it says nothing. So others
/// ask beside it from before the storm to its end, and count what they ask. As each asks again as soon as it is
/// answered, the longest wait says too that none was without an answer for longer.
fn blow(host: &Host, storm: &str) -> Result<()> {
    host.put("/tmp/storm.sh", storm.as_bytes())?;
    let asked_s = STORM + 3;
    let script = format!(
        "ask() {{ /fata/fata-agent ask 10.0.2.15:80 /4k.html {asked_s} $1 $2 >/tmp/asked.$2 2>&1; }}
        ask {KEPT} keep & ask {NEW} new & sleep 1
        timeout -k 1 {} bash /tmp/storm.sh >/dev/null 2>&1 & sleep 1
        wrk -t 1 -c 16 -d {STORM} --timeout {} http://10.0.2.15:80/4k.html; status=$?; wait; sleep 1; exit $status",
        STORM + 2,
        KEPT_LONGEST.as_secs(),
    );
    let said = host.sh(&script, SLOW)?.ok()?.stdout;
    host.sh("pkill -9 hping3; pkill -9 -f storm.sh; pkill -9 socat; true", SLOW)?;
    // How many it is, is what the storm leaves of two processors.
    wrk::requests(&said).context(said)?;
    for (kind, longest) in [("keep", KEPT_LONGEST), ("new", NEW_LONGEST)] {
        let said = host.sh(&format!("cat /tmp/asked.{kind}"), SLOW)?.ok()?.stdout;
        let tally: Tally = said.lines().next().unwrap_or_default().parse().map_err(Error::msg)?;
        let answered = tally.sent == tally.answered && tally.least > 0 && tally.longest <= longest;
        ensure!(answered, "{kind}: not each request was answered within {longest:?}: {said}");
    }
    Ok(())
}

fn net_metric(host: &Host, counter: &str) -> Result<u64> {
    metric(host, &format!("fata_net_{counter}_total "))
}

/// What a remote can fill is flooded, one after the other; after each the page is served.
fn floods_in_least_memory(host: &mut Host) -> Result<()> {
    let guest = web(host, 8, "")?;
    is_served(host, &guest, "before")?;
    let hping = |options: &str| format!("timeout 3 hping3 -n -q --flood {options} 10.0.2.15; true");
    let fragments = hping("--rand-source -2 -x -g 60000 -d 1400");
    let neighbours = raw_frames(host, "neighbours", 54, syn_of_neighbour)?;
    let half_heads = many_clients(HALF_HEAD);
    let half_bodies =
        many_clients(r"printf 'GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nX: %07800d\r\n\r\n' 0");
    let unread_answers = many_clients(r"printf 'GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n%.0s' {1..50}");
    let floods = [
        ("SYNs from everywhere", hping("--rand-source -S -p 80")),
        ("UDP to a closed port", hping("--rand-source -2 -p 9 -d 1000")),
        ("UDP to all ports", hping("-2 -p ++1 -d 1000")),
        ("fragments without an end", hping("--rand-source -2 -x -d 1400")),
        ("fragments from far behind", fragments.clone()),
        ("large pings", hping("-1 -d 9000")),
        ("SYNs and resets", raw_frames(host, "resets", 54, syn_and_reset)?),
        ("SYNs of neighbours that there are not", neighbours.clone()),
        ("ARP requests of many", raw_frames(host, "arp", 42, arp_request)?),
        ("half heads", format!("{half_heads}; wait; true")),
        (
            "all at once",
            format!("{half_bodies}; {unread_answers}; ({fragments}) & ({neighbours}) & wait; true"),
        ),
    ];
    for (name, script) in floods {
        host.sh(&script, SLOW)?.ok().context(name)?;
        is_served(host, &guest, name)?;
    }
    for (counter, least) in [
        ("tcp_cookies", 1000),
        ("tcp_cookies_good", 1),
        ("udp_no_port", 1000),
        ("fragments_received", 1000),
        ("tcp_half_open_expired", 100),
        ("arp_unanswered", 10),
        ("memory_refused", 100),
    ] {
        let count = net_metric(host, counter)?;
        ensure!(count >= least, "{counter} is {count}");
    }
    ensure!(metric(host, "fata_memory_bytes{kind=\"free\"} ")? > 1 << 20, "too little memory is free");
    Ok(())
}

/// A script that starts 500 clients, which send something, then neither send nor read, and soon leave.
fn many_clients(send: &str) -> String {
    format!(
        r#"clients() {{ for i in $(seq 10); do exec {{fd}}<>/dev/tcp/10.0.2.15/80; {send} >&$fd; done; sleep 9; }}
        export -f clients
        for i in $(seq 50); do timeout 10 bash -c clients > /dev/null 2>&1 & done"#
    )
}

fn is_served(host: &Host, guest: &Guest, after: &str) -> Result<()> {
    let curl = host.sh("curl -sf --max-time 60 http://10.0.2.15/4k.html | wc -c", Duration::from_secs(70))?;
    ensure!(guest.end()?.is_none(), "the guest is gone after {after}: {}", guest.console());
    ensure!(curl.stdout.trim() == "4096", "not served after {after}: {curl:?}");
    Ok(())
}

/// A script that puts many frames of one length on the guests' bridge.
fn raw_frames(host: &Host, name: &str, len: usize, frame: fn(u32) -> Vec<u8>) -> Result<String> {
    let frames: Vec<u8> = (0..6000).flat_map(frame).collect();
    ensure!(frames.len() == len * 6000, "frames of another length");
    let path = format!("/tmp/{name}.frames");
    host.put(&path, &frames)?;
    Ok(format!("socat -u -b {len} FILE:{path} INTERFACE:xenbr0"))
}

/// A SYN, and with the next number the reset that takes it back.
fn syn_and_reset(n: u32) -> Vec<u8> {
    let (seq, flags) = (n / 2 + n % 2, [2, 4][n as usize % 2]);
    segment([10, 0, 2, 100], 1024 + (n / 2 % 60_000) as u16, seq, flags)
}

fn syn_of_neighbour(n: u32) -> Vec<u8> {
    segment([10, 0, 2, 20 + (n % 200) as u8], 1024 + (n / 200) as u16, n, 2)
}

/// A segment to port 80 of the guest, to whatever hardware address that has.
fn segment(from: [u8; 4], port: u16, seq: u32, flags: u8) -> Vec<u8> {
    let mut tcp = [&port.to_be_bytes()[..], &[0, 80], &seq.to_be_bytes(), &[0, 0, 0, 0]].concat();
    tcp.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    let sum = checksum(&[&from[..], &GUEST, &[0, 6, 0, 20], &tcp].concat());
    tcp[16..18].copy_from_slice(&sum);
    let mut ip = [&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0], &from[..], &GUEST].concat();
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    [&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 0], &ip[..], &tcp].concat()
}

const GUEST: [u8; 4] = [10, 0, 2, 15];

/// One of many hosts asks for the guest's hardware address.
fn arp_request(n: u32) -> Vec<u8> {
    let from = (0x0a00_0000 + 0x1_0000 + n).to_be_bytes();
    let sender = [2, 9, from[0], from[1], from[2], from[3]];
    let ask = [&[0, 1, 8, 0, 6, 4, 0, 1], &sender[..], &from, &[0; 6], &GUEST].concat();
    [&[0xff; 6][..], &sender, &[8, 6], &ask].concat()
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
