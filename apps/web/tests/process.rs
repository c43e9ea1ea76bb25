//! The web server as a process, with curl.

use fata::testing::{Namespace, Process, free_port, run_tool};

fn web(params: &[&str]) -> (Process, String) {
    let port = free_port();
    let own = format!("port={port}");
    let web = Process::start(env!("CARGO_BIN_EXE_web"), [&[&*own], params].concat());
    web.wait_for(&format!("on port {port}"));
    (web, format!("http://127.0.0.1:{port}"))
}

fn curl(arguments: &[&str]) -> String {
    let always = ["--silent", "--show-error", "--max-time", "10"];
    let output = run_tool("curl", always.iter().chain(arguments));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "curl {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn pages_are_served() {
    let (web, url) = web(&[]);
    let page = curl(&[&format!("{url}/")]);
    assert!(page.contains("<html"), "{page}");
    assert_eq!(page, curl(&["--compressed", &format!("{url}/")]));
    let status = curl(&["--output", "/dev/null", "--write-out", "%{http_code}", &format!("{url}/nowhere")]);
    assert_eq!(status, "404");
    assert!(curl(&[&format!("{url}/status.json")]).contains("\"requests\":"));
    let metrics = curl(&[&format!("{url}/metrics")]);
    assert!(metrics.contains("fata_interface_up{interface=\"main\"} 1"), "{metrics}");
    assert_eq!(web.leave().code(), Some(0));
}

#[test]
fn connections_are_kept_and_many_are_served() {
    let (web, url) = web(&["connections=50"]);
    let pages = format!("{url}/status.json?[1-200]");
    let answers = curl(&["--parallel", "--parallel-max", "40", &pages]);
    assert_eq!(answers.matches("\"requests\":").count(), 200);
    let connects = curl(&["--output", "/dev/null", "--write-out", "%{num_connects}", &pages]);
    assert_eq!(connects.matches('1').count(), 1, "one connection serves all of one client");
    assert_eq!(web.leave().code(), Some(0));
}

#[test]
fn a_port_for_root_alone_is_moved() {
    // A network of its own has Linux's own limit, whatever this machine's is.
    let namespace = Namespace::with_taps(0);
    let mut web = namespace.unprivileged_command(env!("CARGO_BIN_EXE_web"));
    let web = Process::spawn(web.arg("port=1023"));
    web.wait_for("port 1023 is for root alone on this machine: it is port 9023 instead");
    let page = namespace.run("curl --silent --show-error --max-time 10 http://127.0.0.1:9023/");
    assert!(String::from_utf8_lossy(&page.stdout).contains("<html"));
    assert_eq!(web.leave().code(), Some(0));
}

#[test]
fn pages_are_served_over_a_tap_device() {
    let namespace = Namespace::with_taps(1);
    let web = namespace.start(env!("CARGO_BIN_EXE_web"), &["tap=tap0", "ipv4=10.77.0.2/24"]);
    web.wait_for("main: link up");
    let curl = |arguments: &str| {
        let output = namespace.run(&format!("curl --silent --show-error --max-time 10 {arguments}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(curl("http://10.77.0.2/").contains("<html"));
    let answers = curl("--parallel --parallel-max 20 http://10.77.0.2/status.json?[1-100]");
    assert_eq!(answers.matches("\"requests\":").count(), 100);
    let metrics = curl("http://10.77.0.2/metrics");
    let bad = "\nfata_net_rx_bad_checksum_total 0\n";
    assert!(metrics.contains(bad) && !metrics.contains("\nfata_net_tcp_opened_total 0\n"), "{metrics}");
    namespace.run("ping -c 2 -i 0.2 -W 2 10.77.0.2");
    assert_eq!(web.leave().code(), Some(0));
}

#[test]
fn captured_packets_are_for_tcpdump() {
    let namespace = Namespace::with_taps(1);
    let params = ["tap=tap0", "ipv4=10.77.0.2/24", "capture=64KiB", "capture-snap=200", "peers=on"];
    let web = namespace.start(env!("CARGO_BIN_EXE_web"), &params);
    web.wait_for("/capture.pcap gives captured packets to anyone who asks");
    web.wait_for("main: link up");
    let run = |script: &str| String::from_utf8_lossy(&namespace.run(script).stdout).into_owned();
    run("ping -c 1 -W 2 -p c0ffee 10.77.0.2");
    assert!(run("curl -sS --max-time 10 http://10.77.0.2/").contains("<html"));
    let file = std::env::temp_dir().join(format!("fata-capture-{}.pcap", std::process::id()));
    run(&format!("curl -sS --max-time 10 -o {} http://10.77.0.2/capture.pcap", file.display()));
    let text = run(&format!("tcpdump -n -v -x -r {}", file.display()));
    for part in [
        "ARP, Ethernet (len 6), IPv4 (len 4), Request who-has 10.77.0.2",
        "ICMP echo request",
        "ICMP echo reply",
        "c0ff eec0 ffee",
        "10.77.0.1",
        "10.77.0.2.80: Flags [S]",
        "GET / HTTP/1.1",
        "GET /capture.pcap HTTP/1.1",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    std::fs::remove_file(&file).unwrap();
    let json = run("curl -sS --max-time 10 http://10.77.0.2/status.json");
    let own = "{\"local\":\"10.77.0.2:80\",\"remote\":\"10.77.0.1:";
    assert!(json.contains(own) && json.contains("\"state\":\"ESTABLISHED\""), "{json}");
    assert_eq!(web.leave().code(), Some(0));
}

#[test]
fn without_the_parameter_nothing_is_captured() {
    let (web, url) = web(&[]);
    let said = curl(&["--write-out", " %{http_code}", &format!("{url}/capture.pcap")]);
    assert_eq!(said, "no capture: the boot parameter capture=SIZE starts one\n 404");
    assert_eq!(web.leave().code(), Some(0));
    for (value, line) in [
        ("capture=64kB", "boot parameter capture: \"64kB\" is not a size, such as 65536, 256KiB or 1MiB"),
        (
            "capture=1MiB",
            "the host's own sockets have no frames to capture: tap=NAME gives the interface some",
        ),
    ] {
        let output = run_tool(env!("CARGO_BIN_EXE_web"), [value]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(line) && !output.status.success(), "{said}");
    }
}
