//! Addresses and names from a server, for a process with a tap device.

use fata::testing::{Namespace, Process, is_root, run_tool};

#[test]
fn a_lease_and_names_from_dnsmasq() {
    // A namespace's own root may not do what dnsmasq does first: change its groups.
    assert!(is_root(), "this test needs root, for dnsmasq");
    let namespace = Namespace::with_taps(1);
    run_tool("dnsmasq", ["--version"]);
    let mut dnsmasq = namespace.command("dnsmasq");
    dnsmasq.args(
        "--keep-in-foreground --no-resolv --no-hosts --user=root --interface=tap0 --bind-interfaces"
            .split(' '),
    );
    dnsmasq.args(
        "--dhcp-range=10.77.0.50,10.77.0.59,60s --address=/name.test/10.1.2.3 --pid-file --log-facility=-"
            .split(' '),
    );
    let leases = std::env::temp_dir().join(format!("fata-test-leases-{}", std::process::id()));
    let server = Process::spawn(dnsmasq.arg(format!("--dhcp-leasefile={}", leases.display())));
    server.wait_for("DHCP, IP range 10.77.0.50");
    let mut resolve = namespace.start(env!("CARGO_BIN_EXE_resolve"), &["tap=tap0"]);
    resolve.wait_for("main: 10.77.0.5");
    resolve.wait_for("type names");
    resolve.type_line("name.test other.test");
    let line = resolve.wait_for("other.test in");
    assert!(line.ends_with(": no such name") || line.ends_with(": name resolution failed"), "{line}");
    let line = resolve.wait_for("name.test in");
    assert!(line.ends_with(": 10.1.2.3"), "{line}");
    drop(server);
    let _ = std::fs::remove_file(leases);
    assert_eq!(resolve.leave().code(), Some(0));
}
