//! A network of a test's own, with tap devices in it.

use super::{Process, is_root, run_tool};
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A network namespace, which lives as long as this value.
pub struct Namespace(Process);

impl Namespace {
    /// One with tap devices: `tap0` has 10.77.0.1/24 on the host's side, `tap1` 10.77.1.1/24, and so on. `None`, and a line
    /// that says so, where this process may not make one.
    pub fn with_taps(count: u8) -> Option<Self> {
        if !is_root() || !Path::new("/dev/net/tun").exists() {
            eprintln!("not tested: tap devices need root and /dev/net/tun");
            return None;
        }
        let mut keeper = Command::new("unshare");
        let keeper = Process::spawn(keeper.args(["--net", "sh", "-c", "echo ready; exec sleep 300"]));
        keeper.wait_for("ready");
        let namespace = Self(keeper);
        namespace.run("ip link set lo up");
        for n in 0..count {
            namespace.run(&format!("ip tuntap add tap{n} mode tap"));
            namespace.run(&format!("ip address add 10.77.{n}.1/24 dev tap{n}"));
            namespace.run(&format!("ip link set tap{n} up"));
        }
        Some(namespace)
    }

    /// A command that will run in it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.0.id())).arg(program);
        command
    }

    /// Runs a program in it, its words with a blank between.
    ///
    /// # Panics
    /// If the program is not there, or fails.
    pub fn run(&self, line: &str) -> Output {
        let mut words = line.split(' ');
        let program = words.next().unwrap_or_default();
        let is_there = run_tool("which", [program]).status.success();
        assert!(is_there, "this test needs the program {program}");
        let output = self.command(program).args(words).stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("this test needs the program nsenter: {error}"));
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Starts an appliance in it with its boot parameters.
    pub fn start(&self, program: impl AsRef<Path>, params: &[&str]) -> Process {
        Process::spawn(self.command(program.as_ref()).args(params))
    }
}
