//! Netstack in a process, over tap devices: real peers in a network namespace of the test's own.
//!
//! It needs root, for the namespace; without, each test says so and passes.

use fata::testing::{Process, example, is_root, run_tool};
use std::process::{Command, Output, Stdio};

/// A network namespace, which lives as long as the process that keeps it.
struct Namespace(Process);

impl Namespace {
    /// One with tap devices, `tap0` having 10.77.0.1/24 on the host's side, and so on.
    fn with_taps(count: u8) -> Option<Self> {
        if !is_root() || !std::path::Path::new("/dev/net/tun").exists() {
            eprintln!("not tested: tap devices need root and /dev/net/tun");
            return None;
        }
        let mut keeper = Command::new("unshare");
        let keeper = Process::spawn(keeper.args(["--net", "sh", "-c", "echo ready; exec sleep 300"]));
        keeper.wait_for("ready");
        let namespace = Self(keeper);
        namespace.ip("link set lo up");
        for n in 0..count {
            namespace.ip(&format!("tuntap add tap{n} mode tap"));
            namespace.ip(&format!("address add 10.77.{n}.1/24 dev tap{n}"));
            namespace.ip(&format!("link set tap{n} up"));
        }
        Some(namespace)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.0.id())).arg(program);
        command
    }

    /// Runs a program in it, which must succeed.
    fn run(&self, line: &str) -> Output {
        let (program, arguments) = line.split_once(' ').unwrap_or((line, ""));
        let is_there = run_tool("which", [program]).status.success();
        assert!(is_there, "this test needs the program {program}");
        let output = self.command(program).args(arguments.split(' ')).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn ip(&self, arguments: &str) {
        self.run(&format!("ip {arguments}"));
    }

    fn start(&self, name: &str, params: &[&str]) -> Process {
        Process::spawn(self.command(example(name)).args(params))
    }

    /// Sends `octets` random octets to an address and port, and says whether the same come back.
    fn echoes(&self, address: &str, port: u16, octets: u32) -> bool {
        let script = format!(
            "f=$(mktemp); head -c {octets} /dev/urandom >$f; timeout 20 nc -N {address} {port} <$f | cmp - $f; \
             e=$?; rm $f; exit $e"
        );
        run_tool("nc", ["-h"]);
        let output = self.command("sh").args(["-c", &script]).output().unwrap();
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        output.status.success()
    }
}

const MAIN: [&str; 3] = ["tap=tap0", "ipv4=10.77.0.2/24", "gateway=10.77.0.1"];

#[test]
fn echo_answers_ping_and_nc() {
    let Some(namespace) = Namespace::with_taps(1) else { return };
    let echo = namespace.start("echo", &MAIN);
    echo.wait_for("main: link up");
    namespace.run("ping -c 3 -i 0.2 -W 2 10.77.0.2");
    namespace.run("ping -c 1 -s 4000 -W 2 10.77.0.2");
    assert!(namespace.echoes("10.77.0.2", 7, 100));
    assert!(namespace.echoes("10.77.0.2", 7, 3_000_000));
    assert_eq!(echo.leave().code(), Some(0));
}

#[test]
fn two_interfaces_are_one_stack() {
    let Some(namespace) = Namespace::with_taps(2) else { return };
    let params = ["main.tap=tap0", "main.ipv4=10.77.0.2/24", "back.tap=tap1", "back.ipv4=10.77.1.2/24"];
    let appliance = namespace.start("two_networks", &params);
    appliance.wait_for("back: link up");
    assert!(namespace.echoes("10.77.0.2", 7, 1000) && namespace.echoes("10.77.1.2", 7, 1000));
    appliance.wait_for("came to 10.77.0.2");
    appliance.wait_for("came to 10.77.1.2");
}

#[test]
fn the_hosts_end_comes_and_goes() {
    let Some(namespace) = Namespace::with_taps(1) else { return };
    namespace.ip("link set tap0 mtu 1200");
    let echo = namespace.start("echo", &MAIN);
    echo.wait_for("main: link up");
    namespace.ip("link set tap0 down");
    namespace.ip("link set tap0 up");
    assert!(namespace.echoes("10.77.0.2", 7, 100_000));
    namespace.ip("link delete tap0");
    echo.wait_for("main: link down");
    assert_eq!(echo.leave().code(), Some(0));
}

#[test]
fn who_may_not_is_told_what_to_do() {
    let Some(namespace) = Namespace::with_taps(1) else { return };
    let echo = namespace.start("echo", &MAIN);
    echo.wait_for("main: link up");
    for (params, said, status) in [
        (&MAIN[..], "fata: tap device tap0: another process uses it", 1),
        (&["tap=lo"], "fata: tap device lo: the interface of that name is no tap device with one queue", 1),
    ] {
        let mut second = namespace.start("echo", params);
        second.wait_for(said);
        assert_eq!(second.wait().code(), Some(status));
    }
    let mut half = namespace.start("two_networks", &["back.tap=tap7"]);
    half.wait_for(
        "fata: network interface main has no tap device, and another has one: give main.tap=NAME too",
    );
    assert_eq!(half.wait().code(), Some(64));
}
