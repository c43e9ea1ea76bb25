//! The web server appliance, against curl and wrk.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::BootTest;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec};

#[path = "../../assets/malformed/table.rs"]
mod malformed_table;

const SOON: Duration = Duration::from_secs(30);
const SLOW: Duration = Duration::from_secs(280);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::web::curl_features", 120, curl_features).on_both_boards().as_process(),
    BootTest::new("boot::web::capture", 90, capture).on_qemu().on_xen_long().as_process(),
    BootTest::new("boot::web::least_memory", 60, least_memory)
        .on_qemu()
        .not_as_process("a process has no memory of its own"),
    BootTest::new("boot::web::wrk_keep_alive", 120, |h| wrk_keep_alive(h, 5))
        .on_qemu_long()
        .as_process_long(),
    BootTest::new("boot::web::wrk_keep_alive_30_s", 120, |h| wrk_keep_alive(h, 30))
        .long()
        .on_xen_only("a longer one of wrk_keep_alive"),
    BootTest::new("boot::web::wrk_connection_per_request", 120, |h| wrk_connection_per_request(h, 5))
        .on_qemu_long()
        .as_process_long(),
    BootTest::new("boot::web::wrk_connection_per_request_30_s", 120, |h| wrk_connection_per_request(h, 30))
        .long()
        .on_xen_only("a longer one of wrk_connection_per_request"),
    // http's own tests have the whole table; each case costs dom0 a process.
    BootTest::new("boot::web::malformed_requests", 300, |h| malformed_requests(h, 4))
        .on_qemu()
        .on_xen_long()
        .as_process(),
    BootTest::new("boot::web::malformed_requests_all", 300, |h| malformed_requests(h, 1))
        .long()
        .on_qemu_long()
        .as_process_long(),
    BootTest::new("boot::web::slow_clients", 280, slow_clients).long().on_qemu_long().as_process_long(),
];

pub(super) fn web(host: &mut Host, memory_mb: u32, extra: &str) -> Result<Guest> {
    let mut spec = GuestSpec::new("web", image("web")?).memory(memory_mb).network();
    spec.extra = format!("{} {extra}", spec.extra);
    let guest = host.create(&spec)?;
    guest.wait_console("link up", SOON)?;
    Ok(guest)
}

fn curl(host: &Host, arguments: &str) -> Result<String> {
    let said = host.sh(&format!("curl -s --max-time 10 {arguments}"), SOON)?;
    ensure!(said.status == 0, "curl {arguments}: status {}: {}", said.status, said.stderr);
    Ok(said.stdout)
}

/// What curl says with these arguments, and what must be in it.
const FEATURES: &[(&str, &str, &[&str])] = &[
    (
        "HTTP/1.1",
        "-i http://10.0.2.15/",
        &["HTTP/1.1 200 OK", "Content-Type: text/html", "Date: ", "ETag: ", "</html>"],
    ),
    ("HTTP/1.0", "-0 -i http://10.0.2.15/", &["200 OK", "</html>"]),
    ("keep-alive", "-v http://10.0.2.15/ http://10.0.2.15/4k.html 2>&1", &["Re-using existing connection"]),
    ("HEAD", "-I http://10.0.2.15/4k.html", &["HTTP/1.1 200 OK", "Content-Length: 4096"]),
    ("404", "-i http://10.0.2.15/nowhere", &["HTTP/1.1 404 Not Found"]),
    ("405", "-i -X DELETE http://10.0.2.15/", &["HTTP/1.1 405 Method Not Allowed", "Allow: "]),
    ("501", "-i -X BREW http://10.0.2.15/", &["HTTP/1.1 501 Not Implemented"]),
    ("414", "-i http://10.0.2.15/$(head -c 20000 /dev/zero | tr '\\0' a)", &["HTTP/1.1 414"]),
    ("431", "-i -H \"X: $(head -c 20000 /dev/zero | tr '\\0' a)\" http://10.0.2.15/", &["HTTP/1.1 431"]),
    (
        "range",
        "-i -r 0-99 http://10.0.2.15/4k.html",
        &["206 Partial Content", "Content-Range: bytes 0-99/4096", "Content-Length: 100"],
    ),
    ("range from the end", "-i -r -10 http://10.0.2.15/4k.html", &["Content-Range: bytes 4086-4095/4096"]),
    (
        "several ranges are the whole",
        "-i -r 0-9,20-29 http://10.0.2.15/4k.html",
        &["HTTP/1.1 200 OK", "Content-Length: 4096"],
    ),
    (
        "a range of another state is the whole",
        "-i -r 0-9 -H 'If-Range: \"other\"' http://10.0.2.15/4k.html",
        &["HTTP/1.1 200 OK", "Content-Length: 4096"],
    ),
    ("a range of no resource", "-i -r 0-9 http://10.0.2.15/nowhere", &["HTTP/1.1 404 Not Found"]),
    ("another state is meant", "-i -H 'If-Match: \"other\"' http://10.0.2.15/", &["412 Precondition Failed"]),
    ("no such range", "-i -r 9000- http://10.0.2.15/4k.html", &["416 Range Not Satisfiable", "bytes */4096"]),
    (
        "gzip",
        "-i --compressed http://10.0.2.15/",
        &["Content-Encoding: gzip", "Vary: Accept-Encoding", "</html>"],
    ),
    (
        "not modified since",
        "-i -z \"$(date -u +'%a, %d %b %Y %T GMT')\" http://10.0.2.15/",
        &["304 Not Modified"],
    ),
    ("status page", "-i http://10.0.2.15/status", &["200 OK", "text/html"]),
    (
        "metrics",
        "-i http://10.0.2.15/metrics",
        &["# TYPE http_responses_total counter", "process_start_time_seconds "],
    ),
    ("OPTIONS", "-i -X OPTIONS http://10.0.2.15/", &["Allow: "]),
    ("path out of the site", "-i --path-as-is http://10.0.2.15/../../etc/passwd", &["HTTP/1.1 40"]),
    ("favicon", "-I http://10.0.2.15/favicon.svg", &["Content-Type: image/svg+xml"]),
];

fn curl_features(host: &mut Host) -> Result<()> {
    let guest = web(host, 16, "")?;
    for (name, arguments, wanted) in FEATURES {
        let said = curl(host, arguments).context(*name)?;
        for part in *wanted {
            ensure!(said.contains(part), "{name}: no {part:?} in {said}");
        }
    }
    let head = curl(host, "-I http://10.0.2.15/")?;
    let etag = head.lines().find_map(|l| l.strip_prefix("ETag: ")).context("no ETag")?.trim().to_owned();
    let again = curl(host, &format!("-i -H 'If-None-Match: {etag}' http://10.0.2.15/"))?;
    ensure!(again.starts_with("HTTP/1.1 304"), "the same ETag: {again}");
    let range = curl(host, &format!("-i -r 0-9 -H 'If-Range: {etag}' http://10.0.2.15/"))?;
    ensure!(range.starts_with("HTTP/1.1 206"), "a range of the same state: {range}");
    codings(host)?;
    let chunked =
        "-i -H 'Transfer-Encoding: chunked' -H 'Expect: 100-continue' -d @/etc/services http://10.0.2.15/";
    let said = curl(host, chunked)?;
    ensure!(said.contains("HTTP/1.1 405") || said.contains("HTTP/1.1 413"), "a POST to a page: {said}");
    ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
    Ok(())
}

/// What comes of `Accept-Encoding`, and that it is another representation with an entity-tag of its own.
fn codings(host: &Host) -> Result<()> {
    let say = "-o /dev/null -w '%header{content-encoding} %header{vary} %header{etag}' http://10.0.2.15/";
    let plain = curl(host, say)?;
    ensure!(plain.starts_with(" Accept-Encoding \""), "no wish: {plain}");
    for (wish, coding) in [
        ("gzip;q=0.5", "gzip"),
        ("gzip;q=0.5, identity;q=0.4, br", "gzip"),
        ("gzip;q=0.5, identity;q=0.9", ""),
        ("gzip;q=0", ""),
        ("*", "gzip"),
        ("*;q=0.1, identity", ""),
        ("br, zstd", ""),
    ] {
        let said = curl(host, &format!("-H 'Accept-Encoding: {wish}' {say}"))?;
        ensure!(said.split(' ').next() == Some(coding), "{wish}: {said}");
        ensure!((said == plain) == coding.is_empty(), "{wish}: {said}, without a wish {plain}");
    }
    Ok(())
}

/// What the guest has seen is what dom0's tcpdump reads; without the parameter there is nothing. And what else can be seen.
fn capture(host: &mut Host) -> Result<()> {
    let nothing = web(host, 8, "")?;
    let said = curl(host, "-w '%{http_code}' http://10.0.2.15/capture.pcap")?;
    ensure!(said == "no capture: the boot parameter capture=SIZE starts one\n404", "without: {said}");
    drop(nothing);
    let guest = web(host, 8, "capture=256KiB capture-snap=128 peers=on")?;
    guest.wait_console("/capture.pcap gives captured packets to anyone who asks", SOON)?;
    // Who still knows the address from the guest before does not ask for it.
    let script = r"ip neighbour flush to 10.0.2.15; ping -c 2 -i 0.3 -W 2 10.0.2.15; (: < /dev/tcp/10.0.2.15/81); echo x > /dev/udp/10.0.2.15/9
        curl -sf -o /dev/null http://10.0.2.15/4k.html; curl -sf -o /tmp/guest.pcap http://10.0.2.15/capture.pcap
        tcpdump -Z root -n -r /tmp/guest.pcap";
    let said = host.sh(script, SOON)?.ok()?.stdout;
    for part in [
        "ARP, Reply 10.0.2.15 is-at",
        "10.0.2.15: ICMP echo request",
        "IP 10.0.2.15 > 10.0.2.14: ICMP echo reply",
        "10.0.2.15.81: Flags [S]",
        "IP 10.0.2.15.81 > 10.0.2.14.",
        "10.0.2.15 udp port 9 unreachable",
        "HTTP: GET /4k.html HTTP/1.1",
        "HTTP: HTTP/1.1 200 OK",
        "HTTP: GET /capture.pcap HTTP/1.1",
    ] {
        ensure!(said.contains(part), "no {part:?} in {said}");
    }
    for (labels, least) in [
        ("rx_packets_total{interface=\"main\",protocol=\"icmp\"} ", 2),
        ("tx_packets_total{interface=\"main\",protocol=\"tcp\"} ", 8),
        ("rx_dropped_total{interface=\"main\",protocol=\"udp\",reason=\"no_port\"} ", 1),
    ] {
        let count = metric(host, &format!("fata_interface_{labels}"))?;
        ensure!(count >= least, "{labels}: {count}");
    }
    let json = curl(host, "http://10.0.2.15/status.json")?;
    let row = "{\"local\":\"10.0.2.15:80\",\"remote\":\"10.0.2.14:";
    ensure!(json.contains(row) && json.contains("\"state\":\"ESTABLISHED\""), "no row in {json}");
    ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
    Ok(())
}

/// The memory that README states.
fn least_memory(host: &mut Host) -> Result<()> {
    let guest = web(host, 8, "")?;
    let wrk = "wrk -t 1 -c 16 -d 3 http://10.0.2.15:80/4k.html";
    let said = host.sh(wrk, SOON)?.ok()?.stdout;
    no_errors(&said)?;
    ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
    Ok(())
}

/// wrk names lost connections and answers other than 2xx and 3xx only where there are any.
fn no_errors(said: &str) -> Result<u64> {
    ensure!(!said.contains("Socket errors"), "connections were lost: {said}");
    ensure!(!said.contains("Non-2xx"), "wrong answers: {said}");
    let line = said.lines().find(|l| l.contains("requests in")).context("no requests")?;
    let requests: u64 = line.split_whitespace().next().unwrap_or_default().parse()?;
    ensure!(requests > 100, "only {requests} requests: {said}");
    Ok(requests)
}

pub(super) fn metric(host: &Host, name: &str) -> Result<u64> {
    let metrics = curl(host, "http://10.0.2.15/metrics")?;
    let line =
        metrics.lines().find_map(|l| l.strip_prefix(name)).with_context(|| format!("no metric {name}"))?;
    Ok(line.trim().parse::<f64>()? as u64)
}

fn wrk_keep_alive(host: &mut Host, seconds: u32) -> Result<()> {
    let guest = web(host, 16, "")?;
    let wrk = format!("wrk -t 1 -c 64 -d {seconds} --timeout 10 http://10.0.2.15:80/4k.html");
    let said = host.sh(&wrk, SLOW)?.ok()?.stdout;
    let requests = no_errors(&said)?;
    let counted = metric(host, "http_responses_total{class=\"2xx\"} ")?;
    ensure!(counted >= requests, "wrk saw {requests} answers, the server counted {counted}");
    // Nothing that the load has set going goes on.
    std::thread::sleep(Duration::from_secs(2));
    let before = guest.cpu_ns()?;
    std::thread::sleep(Duration::from_secs(5));
    let spent = guest.cpu_ns()? - before;
    ensure!(spent <= 50_000_000, "5 s idle after the load cost {spent} ns");
    ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
    Ok(())
}

fn wrk_connection_per_request(host: &mut Host, seconds: u32) -> Result<()> {
    let guest = web(host, 16, "")?;
    let wrk = format!(
        "wrk -t 1 -c 64 -d {seconds} --timeout 10 -H 'Connection: close' http://10.0.2.15:80/4k.html"
    );
    let said = host.sh(&wrk, SLOW)?.ok()?.stdout;
    no_errors(&said)?;
    ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
    Ok(())
}

/// Sends each `step`th request of `http`'s own table through a real socket, and looks at the first line that comes back.
fn malformed_requests(host: &mut Host, step: usize) -> Result<()> {
    let guest = web(host, 16, "")?;
    let cases = malformed_table::cases();
    ensure!(cases.len() >= 200, "only {} cases", cases.len());
    let cases: Vec<_> = cases.into_iter().step_by(step).collect();
    host.sh("rm -rf /tmp/malformed", SOON)?.ok()?;
    for (n, case) in cases.iter().enumerate() {
        host.put(&format!("/tmp/malformed/{n}"), &case.request)?;
    }
    let script = r#"cd /tmp/malformed; count=$(ls | wc -l)
        one() { read -r line < <(socat -T8 -t4 - TCP:10.0.2.15:80,connect-timeout=4 < $1 2>/dev/null); echo "$1 ${line:0:12}"; }
        sixth() { for ((n = $1; n < count; n += 6)); do one $n; done; }
        { for first in 0 1 2 3 4 5; do sixth $first & done; wait; } | sort -n"#;
    let said = host.sh(script, SLOW)?.ok()?.stdout;
    for (line, (n, case)) in said.lines().zip(cases.iter().enumerate()) {
        let wanted = case.status.map_or(format!("{n} "), |status| format!("{n} HTTP/1.1 {status}"));
        ensure!(line == wanted, "{}: wanted {wanted:?}, got {line:?}", case.name);
    }
    ensure!(said.lines().count() == cases.len(), "{} of {} cases", said.lines().count(), cases.len());
    ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
    curl(host, "-f -o /dev/null http://10.0.2.15/")?;
    Ok(())
}

/// Clients that send nothing, dribble, or never read do not keep others out, and their slots come back.
fn slow_clients(host: &mut Host) -> Result<()> {
    let _guest = web(host, 16, "connections=64")?;
    let start = r#"
        to_web() { timeout 90 socat -u - TCP:10.0.2.15:80; }
        silent() { sleep 100 | to_web; }
        dribbling() { while echo -n G; do sleep 1; done | to_web; }
        never_reading() { (for n in $(seq 2000); do printf 'GET /4k.html HTTP/1.1\r\nHost: h\r\n\r\n'; done; sleep 60) | to_web; }
        for i in $(seq 20); do for client in silent dribbling never_reading; do
            $client >/dev/null 2>&1 </dev/null &
        done; done; sleep 3"#;
    // dom0's shell writes 40,000 requests, which takes it most of a minute where it is emulated.
    host.sh(start, Duration::from_secs(80))?.ok()?;
    for _ in 0..5 {
        curl(host, "-f -o /dev/null http://10.0.2.15/")?;
        std::thread::sleep(Duration::from_secs(1));
    }
    let freed = r#"for i in $(seq 70); do
        now=$(curl -s --max-time 5 http://10.0.2.15/metrics | grep -E '^http_(connections|timeouts)' | tr '\n' ' ')
        case "$now" in *"http_connections_open 1 "*) exit 0;; esac
        echo "$(date +%T) $now"; sleep 2; done; exit 1"#;
    let said = host.sh(freed, Duration::from_secs(200))?;
    host.sh("pkill socat; true", SOON)?;
    ensure!(said.status == 0, "slots were not given back: {}", said.stdout);
    Ok(())
}
