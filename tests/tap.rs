//! Netstack in a process, over tap devices: real peers in a network namespace of the test's own.
//!
//! It needs root or user namespaces, for the namespace; where there is neither, each test fails and says what is to be done.

use fata::testing::{Namespace, Process, example, run_tool};

fn start(namespace: &Namespace, name: &str, params: &[&str]) -> Process {
    namespace.start(example(name), params)
}

/// Sends `octets` random octets to an address and port, and says whether the same come back.
fn echoes(namespace: &Namespace, address: &str, port: u16, octets: u32) -> bool {
    let script = format!(
        "f=$(mktemp); head -c {octets} /dev/urandom >$f; timeout 20 nc -N {address} {port} <$f | cmp - $f; \
         e=$?; rm $f; exit $e"
    );
    run_tool("nc", ["-h"]);
    let output = namespace.command("sh").args(["-c", &script]).output().unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.success()
}

const MAIN: [&str; 3] = ["tap=tap0", "ipv4=10.77.0.2/24", "gateway=10.77.0.1"];

#[test]
fn echo_answers_ping_and_nc() {
    let namespace = Namespace::with_taps(1);
    let echo = start(&namespace, "echo", &MAIN);
    echo.wait_for("main: link up");
    namespace.run("ping -c 3 -i 0.2 -W 2 10.77.0.2");
    namespace.run("ping -c 1 -s 4000 -W 2 10.77.0.2");
    assert!(echoes(&namespace, "10.77.0.2", 7, 100));
    assert!(echoes(&namespace, "10.77.0.2", 7, 3_000_000));
    assert_eq!(echo.leave().code(), Some(0));
}

#[test]
fn two_interfaces_are_one_stack() {
    let namespace = Namespace::with_taps(2);
    let params = ["main.tap=tap0", "main.ipv4=10.77.0.2/24", "back.tap=tap1", "back.ipv4=10.77.1.2/24"];
    let appliance = start(&namespace, "two_networks", &params);
    appliance.wait_for("back: link up");
    assert!(echoes(&namespace, "10.77.0.2", 7, 1000) && echoes(&namespace, "10.77.1.2", 7, 1000));
    appliance.wait_for("came to 10.77.0.2");
    appliance.wait_for("came to 10.77.1.2");
}

#[test]
fn the_hosts_end_comes_and_goes() {
    let namespace = Namespace::with_taps(1);
    namespace.run("ip link set tap0 mtu 1200");
    let echo = start(&namespace, "echo", &MAIN);
    echo.wait_for("main: link up");
    namespace.run("ip link set tap0 down");
    namespace.run("ip link set tap0 up");
    assert!(echoes(&namespace, "10.77.0.2", 7, 100_000));
    namespace.run("ip link delete tap0");
    echo.wait_for("main: link down");
    assert_eq!(echo.leave().code(), Some(0));
}

#[test]
fn who_may_not_is_told_what_to_do() {
    let namespace = Namespace::with_taps(1);
    let echo = start(&namespace, "echo", &MAIN);
    echo.wait_for("main: link up");
    for (params, said, status) in [
        (&MAIN[..], "fata: tap device tap0: another process uses it", 1),
        (&["tap=lo"], "fata: tap device lo: the interface of that name is no tap device with one queue", 1),
    ] {
        let mut second = start(&namespace, "echo", params);
        second.wait_for(said);
        assert_eq!(second.wait().code(), Some(status));
    }
    let mut half = start(&namespace, "two_networks", &["back.tap=tap7"]);
    half.wait_for(
        "fata: network interface main has no tap device, and another has one: give main.tap=NAME too",
    );
    assert_eq!(half.wait().code(), Some(64));
}
