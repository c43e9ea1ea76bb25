//! Floods and storms: what a remote can fill is filled, what it can waste is wasted, and the page is served meanwhile and after.

mod frames;
mod storm;

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use self::storm::Storm;
use super::BootTest;
use super::figures::Figures;
use super::web::{metric, web};
use crate::ui;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec, Kind};

const SLOW: Duration = Duration::from_secs(280);
/// The guest's memory, MiB; an eighth of it is kept for what cannot fail.
const MEMORY_MB: u32 = 16;
/// Handshakes under way at once, at most.
const MOST_HALF_OPEN: u64 = 1024;

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
    let mut wrong = vec![];
    for storm in storms(host)? {
        let blown = storm.blow(host).and_then(|figures| are_bounded(storm.name, &figures));
        wrong.extend(blown.err().map(|error| format!("{}: {error:#}", storm.name)));
        is_served(host, &guest, storm.name)?;
    }
    ensure!(wrong.is_empty(), "{} storms: {}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// Each tells of itself by what none of the others, and no load, makes the guest count so often.
fn storms(host: &Host) -> Result<Vec<Storm>> {
    const NOT_BELIEVED: &str =
        "fata_interface_rx_dropped_total{interface=\"main\",protocol=\"tcp\",reason=\"not_believed\"}";
    const NO_CONNECTION: &str =
        "fata_interface_rx_dropped_total{interface=\"main\",protocol=\"tcp\",reason=\"no_connection\"}";
    let (pace, pause) = pace(host);
    let hping = |options: &str| format!("hping3 -n -q {pace} {options} 10.0.2.15");
    // From wrk's own address, over the ports of the connections that there are, one after the other.
    let named = |options: &str| {
        let hping = hping(&format!("{options} -p 80 -k -s $port"));
        format!(
            "modprobe -q tcp_diag
            ports() {{ ss -Htn state established dst 10.0.2.15 '( dport = :80 )' | sed 's/.*10.0.2.14:\\([0-9]*\\).*/\\1/'; }}
            while :; do port=$(ports | shuf -n 1); [ $port ] && timeout --foreground 3 {hping}; done"
        )
    };
    let frames = |name, len, frame| -> Result<String> {
        let (put, count) = (frames::command(host, name, len, frame)?, frames::AT_ONCE);
        Ok(format!("while {put}; do echo sent {count}; sleep {pause}; done"))
    };
    let storm = |name, script, rises| Storm { name, script, sends: 5000, rises, reaches: &[] };
    Ok(vec![
        Storm {
            reaches: &[("fata_net_tcp_half_open", 100)],
            ..storm(
                "SYNs from everywhere",
                hping("--rand-source -S -p 80"),
                &[("fata_net_tcp_cookies_total", 1000), ("fata_net_tcp_cookies_good_total", 1)],
            )
        },
        storm("resets from everywhere", hping("--rand-source -R -p 80"), &[(NO_CONNECTION, 1000)]),
        storm("resets that name the connections", named("-R"), &[(NOT_BELIEVED, 1000)]),
        storm(
            "acknowledgements from everywhere",
            hping("--rand-source -A -p 80"),
            &[("fata_net_tcp_resets_sent_total", 1000)],
        ),
        // With clocks, as the connections have: what has none is dropped before anything else is looked at.
        Storm {
            sends: 1000,
            ..storm(
                "acknowledgements that name the connections",
                named("-A --tcp-timestamp"),
                &[("fata_net_tcp_outside_total", 500)],
            )
        },
        storm("SYNs that name the connections", named("-S"), &[(NOT_BELIEVED, 1000)]),
        Storm {
            reaches: &[("fata_net_tcp_half_open", 100)],
            ..storm(
                "half-open connections",
                frames("neighbours", 54, frames::syn_of_neighbour)?,
                &[("fata_net_tcp_half_open_expired_total", 100), ("fata_net_arp_unanswered_total", 10)],
            )
        },
        storm(
            "ARP requests of many",
            frames("arp", 42, frames::arp_request)?,
            &[
                ("fata_interface_rx_packets_total{interface=\"main\",protocol=\"arp\"}", 1000),
                ("fata_interface_tx_packets_total{interface=\"main\",protocol=\"arp\"}", 1000),
            ],
        ),
        Storm {
            sends: 300,
            reaches: &[("http_connections_open", storm::LOAD + 100)],
            ..storm("slow clients", format!("while :; do {}; wait; done", many_clients(HALF_HEAD)), &[])
        },
    ])
}

/// Demands that in a storm, and behind it, the guest holds no more than it is to.
fn are_bounded(storm: &str, figures: &[Figures]) -> Result<()> {
    let least = (u64::from(MEMORY_MB) << 20) / 8 * 3 / 4;
    let (mut least_free, mut most_half_open, mut always_free) = (u64::MAX, 0, 0);
    for figures in figures {
        let memory = |kind: &str| figures.of(&format!("fata_memory_bytes{{kind=\"{kind}\"}}"));
        least_free = least_free.min(memory("free")?);
        // The heap keeps what it was ever given: what is left beside it has been free at every moment since the boot.
        always_free = (memory("free")? + memory("heap_used")?).saturating_sub(memory("heap")?);
        most_half_open = most_half_open.max(figures.of("fata_net_tcp_half_open")?);
    }
    ui::say(format!("{storm}: {least_free} octets were free, {always_free} of them since the boot"));
    ensure!(least_free >= least, "{least_free} octets are free, not {least}");
    ensure!(always_free >= least, "{always_free} octets have always been free, not {least}");
    ensure!(most_half_open <= MOST_HALF_OPEN, "{most_half_open} handshakes under way");
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

fn net_metric(host: &Host, counter: &str) -> Result<u64> {
    metric(host, &format!("fata_net_{counter}_total "))
}

/// What a remote can fill is flooded, one after the other; after each the page is served.
fn floods_in_least_memory(host: &mut Host) -> Result<()> {
    let guest = web(host, 8, "")?;
    is_served(host, &guest, "before")?;
    let hping = |options: &str| format!("timeout 3 hping3 -n -q --flood {options} 10.0.2.15; true");
    let fragments = hping("--rand-source -2 -x -g 60000 -d 1400");
    let neighbours = frames::command(host, "neighbours", 54, frames::syn_of_neighbour)?;
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
        ("SYNs and resets", frames::command(host, "resets", 54, frames::syn_and_reset)?),
        ("SYNs of neighbours that there are not", neighbours.clone()),
        ("ARP requests of many", frames::command(host, "arp", 42, frames::arp_request)?),
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

/// A script that starts 500 clients, which send something and say so, then neither send nor read, and soon leave.
fn many_clients(send: &str) -> String {
    format!(
        r#"clients() {{ for i in $(seq 10); do exec {{fd}}<>/dev/tcp/10.0.2.15/80; {send} >&$fd && echo sent 1; done; sleep 9; }}
        export -f clients
        for i in $(seq 50); do timeout 10 bash -c clients 2>/dev/null & done"#
    )
}

fn is_served(host: &Host, guest: &Guest, after: &str) -> Result<()> {
    let curl = host.sh("curl -sf --max-time 60 http://10.0.2.15/4k.html | wc -c", Duration::from_secs(70))?;
    ensure!(guest.end()?.is_none(), "the guest is gone after {after}: {}", guest.console());
    ensure!(curl.stdout.trim() == "4096", "not served after {after}: {curl:?}");
    Ok(())
}
