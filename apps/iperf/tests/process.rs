//! As a process, against the real iperf3: its client with our server, our client with its server.

use fata::testing::{Namespace, Process, free_port, run_tool};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Our server, and its port.
fn server(params: &[&str]) -> (Process, u16) {
    let port = free_port();
    let own = format!("port={port}");
    let server = Process::start(env!("CARGO_BIN_EXE_iperf"), [&[&*own], params].concat());
    server.wait_for(&format!("server on port {port}"));
    (server, port)
}

/// What the real client says in JSON.
fn iperf3(port: u16, options: &str) -> Value {
    let always = format!("--client 127.0.0.1 --port {port} --json --connect-timeout 5000 {options}");
    let output = run_tool("iperf3", always.split_whitespace());
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(output.status.success() && said.get("error").is_none(), "iperf3 {options}: {said:#}");
    said
}

fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {pointer} in {value:#}"))
}

fn count(value: &Value, pointer: &str) -> usize {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .unwrap_or_else(|| panic!("no {pointer}: {value:#}"))
        .len()
}

/// What one end has sent and the other received are near each other.
fn check_sums(said: &Value, sent: &str, received: &str) {
    let (sent, received) = (number(said, sent), number(said, received));
    assert!(received > 0.0 && sent >= received * 0.9, "sent {sent}, received {received}: {said:#}");
    // What is under way when time is up is in no result; what is not was counted.
    assert!(received >= sent * 0.5, "sent {sent}, received {received}: {said:#}");
}

#[test]
fn the_real_client_measures_tcp() {
    let (server, port) = server(&[]);
    let said = iperf3(port, "--time 1 --parallel 4");
    assert_eq!(count(&said, "/end/streams"), 4);
    check_sums(&said, "/end/sum_sent/bytes", "/end/sum_received/bytes");
    let said = iperf3(port, "--time 1 --reverse --no-delay --length 10K --window 200K");
    check_sums(&said, "/end/sum_sent/bytes", "/end/sum_received/bytes");
    // Of the server, which sends.
    assert!(number(&said, "/end/sum_sent/retransmits") >= 0.0, "{said:#}");
    let said = iperf3(port, "--time 1 --bidir --parallel 2");
    assert_eq!(count(&said, "/end/streams"), 4);
    check_sums(&said, "/end/sum_sent/bytes", "/end/sum_received/bytes");
    check_sums(&said, "/end/sum_sent_bidir_reverse/bytes", "/end/sum_received_bidir_reverse/bytes");
    let said = iperf3(port, "--time 1 --omit 1 --get-server-output");
    assert!((0.9..2.0).contains(&number(&said, "/end/sum_received/seconds")), "{said:#}");
    let report = said["server_output_text"].as_str().expect("the server's report");
    assert!(report.starts_with("fata iperf ") && report.contains("receiver"), "{report}");
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn the_real_client_says_how_much() {
    let (server, port) = server(&[]);
    for (options, octets) in
        [("--bytes 3M", 3 << 20), ("--blockcount 20", 20 * (128 << 10)), ("--bytes 2M --parallel 2", 2 << 20)]
    {
        let said = iperf3(port, options);
        let sent = number(&said, "/end/sum_sent/bytes");
        assert!(sent >= octets as f64, "{options}: {said:#}");
        // All of it has come.
        assert_eq!(number(&said, "/end/sum_received/bytes"), sent, "{options}: {said:#}");
    }
    let said = iperf3(port, "--bytes 2M --reverse");
    assert!(number(&said, "/end/sum_received/bytes") >= f64::from(2 << 20), "{said:#}");
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn the_real_client_keeps_a_bitrate() {
    let (server, port) = server(&[]);
    for options in
        ["--bitrate 20M", "--bitrate 20M --reverse", "--udp --bitrate 20M", "--udp --bitrate 20M --reverse"]
    {
        let said = iperf3(port, &format!("--time 2 --length 1400 {options}"));
        let sum = if options.contains("udp") { "/end/sum" } else { "/end/sum_received" };
        let rate = number(&said, &format!("{sum}/bits_per_second"));
        assert!((12e6..23e6).contains(&rate), "{options}: {rate}");
    }
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn the_real_client_measures_udp() {
    let (server, port) = server(&[]);
    for options in
        ["", "--reverse", "--udp-counters-64bit", "--parallel 3", "--parallel 3 --reverse", "--length 16"]
    {
        let said = iperf3(port, &format!("--udp --time 1 --bitrate 1M --length 500 {options}"));
        let packets = number(&said, "/end/sum/packets");
        assert!(packets > 100.0, "{options}: {said:#}");
        assert_eq!(number(&said, "/end/sum/lost_packets"), 0.0, "{options}: {said:#}");
        let jitter = number(&said, "/end/sum/jitter_ms");
        assert!((0.0..100.0).contains(&jitter), "{options}: {said:#}");
    }
    let said = iperf3(port, "--udp --time 1 --bitrate 1M --bidir");
    assert_eq!(count(&said, "/end/streams"), 2, "{said:#}");
    assert!(server.said().contains("lost 0 of "), "{}", server.said());
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn what_is_refused_the_real_client_says_in_words() {
    let (server, port) = server(&["streams=4", "longest=5s"]);
    for (options, said) in [
        ("--time 1 --parallel 5", "number of parallel streams too large"),
        ("--time 1 --parallel 3 --bidir", "number of parallel streams too large"),
        ("--time 6", "test duration"),
    ] {
        let arguments = format!("--client 127.0.0.1 --port {port} --json {options}");
        let output = run_tool("iperf3", arguments.split_whitespace());
        // Its exit status is 0 where it has written JSON.
        let text: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(text["error"].as_str().is_some_and(|error| error.contains(said)), "{options}: {text:#}");
    }
    iperf3(port, "--bytes 1M --parallel 4");
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn a_second_client_is_told_to_wait() {
    let (server, port) = server(&[]);
    let first = format!("--client 127.0.0.1 --port {port} --time 3 --bitrate 1M");
    let mut first =
        Command::new("iperf3").args(first.split_whitespace()).stdout(Stdio::null()).spawn().expect("iperf3");
    std::thread::sleep(Duration::from_millis(700));
    let output = run_tool("iperf3", ["--client", "127.0.0.1", "--port", &port.to_string()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the server is busy running a test"), "{said}");
    assert!(first.wait().expect("iperf3").success(), "the first one was disturbed");
    iperf3(port, "--bytes 1M");
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn a_client_that_goes_away_leaves_room_for_the_next() {
    let (server, port) = server(&[]);
    let first = format!("--client 127.0.0.1 --port {port} --time 30 --parallel 2");
    let mut first =
        Command::new("iperf3").args(first.split_whitespace()).stdout(Stdio::null()).spawn().expect("iperf3");
    std::thread::sleep(Duration::from_millis(700));
    first.kill().expect("it runs");
    first.wait().expect("it ended");
    server.wait_for("the test of 127.0.0.1");
    iperf3(port, "--bytes 1M");
    assert_eq!(server.leave().code(), Some(0));
}

/// The real server, ended when dropped.
struct RealServer(Child, u16);

impl RealServer {
    fn start() -> Self {
        let port = free_port();
        let child = Command::new("iperf3")
            .args(["--server", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("iperf3");
        let server = Self(child, port);
        let listens_soon = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            listens(port)
        });
        assert!(listens_soon, "iperf3 does not listen on port {port}");
        server
    }
}

/// Whether somebody listens, without connecting: a connection is a test to iperf3.
fn listens(port: u16) -> bool {
    let wanted = format!(":{port:04X} ");
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| {
        let table = std::fs::read_to_string(table).unwrap_or_default();
        table.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next().is_some_and(|local| format!("{local} ").contains(&wanted))
                && words.nth(1).is_some_and(|state| state == "0A")
        })
    })
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What our client says in JSON.
fn client(port: u16, params: &str) -> Value {
    let own = format!("client=127.0.0.1 port={port} {params}");
    let mut client = Process::start(env!("CARGO_BIN_EXE_iperf"), own.split_whitespace());
    // The end of its JSON, which is one line.
    let json = client.wait_for(concat!("\"version\":\"fata iperf ", env!("CARGO_PKG_VERSION"), "\"}}"));
    assert!(client.wait().success(), "{params}: {json}");
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

#[test]
fn our_client_measures_against_the_real_server() {
    let server = RealServer::start();
    for (params, streams) in [
        ("time=1s", 1),
        ("time=1s parallel=4", 4),
        ("time=1s reverse=on nodelay=on length=10K window=200K", 1),
        ("time=1s omit=1s", 1),
    ] {
        let said = client(server.1, params);
        assert_eq!(count(&said, "/end/streams"), streams, "{params}");
        check_sums(&said, "/end/sum_sent/bytes", "/end/sum_received/bytes");
        let seconds = number(&said, "/end/sum_received/seconds");
        assert!((0.9..2.0).contains(&seconds), "{params}: {said:#}");
    }
    let said = client(server.1, "time=1s bidir=on parallel=2");
    for of_sender in ["sum_sent", "sum_sent_bidir_reverse", "streams/0/sender"] {
        assert!(number(&said, &format!("/end/{of_sender}/retransmits")) >= 0.0, "{said:#}");
    }
    check_sums(&said, "/end/sum_sent/bytes", "/end/sum_received/bytes");
    check_sums(&said, "/end/sum_sent_bidir_reverse/bytes", "/end/sum_received_bidir_reverse/bytes");
    assert!(number(&client(server.1, "octets=2M"), "/end/sum_sent/bytes") >= f64::from(2 << 20));
    assert!(
        number(&client(server.1, "octets=2M reverse=on"), "/end/sum_received/bytes") >= f64::from(2 << 20)
    );
    assert_eq!(number(&client(server.1, "blocks=10 length=1K"), "/end/sum_sent/bytes"), 10_240.0);
}

#[test]
fn our_client_measures_udp_against_the_real_server() {
    let server = RealServer::start();
    for params in ["", "reverse=on", "parallel=2", "parallel=2 reverse=on", "omit=1s", "bidir=on"] {
        let said = client(server.1, &format!("udp=on time=1s bitrate=1M length=500 {params}"));
        assert!(number(&said, "/end/sum/packets") > 100.0, "{params}: {said:#}");
        assert_eq!(number(&said, "/end/sum/lost_packets"), 0.0, "{params}: {said:#}");
    }
    let said = client(server.1, "udp=on blocks=50 bitrate=10M server-output=on");
    assert_eq!(number(&said, "/end/sum/packets"), 50.0, "{said:#}");
    assert!(said["server_output_text"].as_str().is_some_and(|text| text.contains("receiver")), "{said:#}");
}

#[test]
fn our_client_and_our_server() {
    let (server, port) = server(&[]);
    let said = client(port, "time=1s bidir=on parallel=3");
    assert_eq!(count(&said, "/end/streams"), 6);
    // Each stream of each direction is counted at both ends.
    check_sums(&said, "/end/sum_sent/bytes", "/end/sum_received/bytes");
    check_sums(&said, "/end/sum_sent_bidir_reverse/bytes", "/end/sum_received_bidir_reverse/bytes");
    let said = client(port, "octets=1M parallel=4 server-output=on");
    let sums = ["/end/sum_sent/bytes", "/end/sum_received/bytes"].map(|sum| number(&said, sum));
    assert_eq!(sums[0], sums[1], "{said:#}");
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn a_client_without_a_server_says_so() {
    let own = format!("client=127.0.0.1 port={}", free_port());
    let mut client = Process::start(env!("CARGO_BIN_EXE_iperf"), own.split_whitespace());
    client.wait_for("connection refused");
    assert!(!client.wait().success());
}

#[test]
fn over_a_tap_device_with_a_stack_of_its_own() {
    let namespace = Namespace::with_taps(1);
    let server = namespace.start(env!("CARGO_BIN_EXE_iperf"), &["tap=tap0", "ipv4=10.77.0.2/24"]);
    server.wait_for("main: link up");
    for options in [
        "--parallel 4",
        "--reverse",
        "--bidir",
        "--udp --bitrate 5M",
        "--udp --bitrate 5M --reverse",
        "--bytes 2M",
    ] {
        let time = if options.contains("bytes") { "" } else { "--time 1" };
        let output = namespace.run(&format!("iperf3 --client 10.77.0.2 --json {time} {options}"));
        let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(said.get("error").is_none(), "{options}: {said:#}");
        let sum = if options.contains("udp") { "/end/sum/bytes" } else { "/end/sum_received/bytes" };
        assert!(number(&said, sum) > 100_000.0, "{options}: {said:#}");
    }
    assert_eq!(server.leave().code(), Some(0));
}
