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
