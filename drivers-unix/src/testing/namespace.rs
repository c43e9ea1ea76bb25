//! A network of a test's own, with tap devices in it.

use super::{Process, is_root, run_tool};
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A network namespace, which lives as long as this value.
pub struct Namespace {
    /// Lives in it, so that it is there.
    keeper: Process,
    is_root: bool,
}

impl Namespace {
    /// One with tap devices: `tap0` has 10.77.0.1/24 on the host's side, `tap1` 10.77.1.1/24, and so on.
    ///
    /// Root is not needed where Linux lets everybody make user namespaces.
    ///
    /// # Panics
    /// Where this machine does not let us, with what is to be done.
    pub fn with_taps(count: u8) -> Self {
        const DEVICE: &str = "/dev/net/tun";
        assert!(
            count == 0 || Path::new(DEVICE).exists(),
            "this test needs {DEVICE}: as root, `modprobe tun`"
        );
        let is_root = is_root();
        let mut keeper = Command::new("unshare");
        keeper.args(["--user", "--map-root-user"].iter().take(if is_root { 0 } else { 2 }));
        let mut keeper = Process::spawn(keeper.args(["--net", "sh", "-c", "echo ready; exec sleep 300"]));
        assert!(
            keeper.says("ready"),
            "this test needs a network namespace: be root, or allow user namespaces \
             (`sysctl kernel.unprivileged_userns_clone=1`); unshare said: {}",
            keeper.said()
        );
        let namespace = Self { keeper, is_root };
        namespace.run("ip link set lo up");
        for n in 0..count {
            namespace.run(&format!("ip tuntap add tap{n} mode tap"));
            namespace.run(&format!("ip address add 10.77.{n}.1/24 dev tap{n}"));
            namespace.run(&format!("ip link set tap{n} up"));
        }
        namespace
    }

    /// A command that will run in it, as its root.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let of_process = format!("/proc/{}/ns", self.keeper.id());
        if !self.is_root {
            command.arg("--preserve-credentials").arg(format!("--user={of_process}/user"));
        }
        command.arg(format!("--net={of_process}/net")).arg(program);
        command
    }

    /// A command that will run in it without what root may do more than others.
    pub fn unprivileged_command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.command("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(program.as_ref());
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
