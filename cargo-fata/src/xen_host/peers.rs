//! dom0's programs without Xen: the same file system and agent as on a Xen host, as processes of this machine in namespaces of
//! their own, with the same two bridges. Guests are QEMUs or processes with tap devices on these.
//!
//! The namespaces' files are in memory, and nothing is left when the first process in them ends. Without root a user
//! namespace gives the rights that this takes. The agent's socket is made outside, so that the tool reaches it.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::agent::{Agent, Token};
use super::guest::{Guest, Life};
use super::guest_spec::{AtEnd, GuestSpec, Image, Kind};
use super::machine_guest::{MachineGuest, Taps};
use super::process_guest::ProcessGuest;
use super::{agent_program, build, qemu};
use crate::qemu_guest::{Backend, Board, Machine, Nic};
use crate::setup::packages;
use crate::{command, interrupt, ui};

const START_LIMIT: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_millis(50);
const OUTSIDE: &str = include_str!("peers-outside.sh");
const INIT: &str = include_str!("peers-init.sh");

/// Running peers; dropping it ends them.
pub struct Peers {
    child: Child,
    logs: PathBuf,
    /// How to talk with them.
    pub agent: Agent,
}

impl Peers {
    /// Starts them; guests' consoles are kept in `logs`.
    pub fn start(logs: &Path) -> Result<Self> {
        let parts = build::parts()?;
        let step = ui::step("starting dom0's programs without Xen");
        fs::create_dir_all(logs)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let token = Token::random()?;
        let agent = Agent { address: listener.local_addr()?, token: Some(token) };
        let said = logs.join("peers.log");
        let said_file = fs::File::create(&said)?;
        let root = logs.join("peers");
        fs::create_dir_all(&root)?;
        let mut command = Command::new("unshare");
        if !packages::is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", OUTSIDE, "peers"])
            .args([root.as_path(), &parts.initramfs, &agent_program::build()?])
            .env(fata_dom0::TOKEN_VARIABLE, token.to_text())
            .env("FATA_PEERS_INIT", INIT)
            .stdin(OwnedFd::from(listener))
            .stdout(said_file.try_clone()?)
            .stderr(Stdio::from(said_file));
        qemu::end_with_this_thread(&mut command);
        let child = command.spawn().context("cannot start unshare: is util-linux installed?")?;
        let mut peers = Self { child, logs: logs.to_owned(), agent };
        peers.wait_ready(&said)?;
        step.done();
        Ok(peers)
    }

    fn wait_ready(&mut self, said: &Path) -> Result<()> {
        let started = Instant::now();
        // The socket takes connections before anybody answers.
        while !fs::read_to_string(said)?.contains("FATA-PEERS-READY") || !self.agent.ping() {
            interrupt::check()?;
            if !self.is_alive() || started.elapsed() > START_LIMIT {
                let said = command::last_lines(&fs::read_to_string(said)?, 12);
                bail!("dom0's programs did not start in namespaces of their own:\n{said}");
            }
            std::thread::sleep(PERIOD);
        }
        Ok(())
    }

    /// Whether they run.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Where consoles are kept.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Starts a guest on a board, or a process.
    pub fn create(&self, spec: &GuestSpec, kind: Kind, name: &str) -> Result<Guest> {
        ensure!(spec.extra_config.is_empty(), "{name}: xl's configuration means nothing without Xen");
        let bridges: Vec<&str> = spec.vifs.iter().map(|vif| vif.bridge.as_str()).collect();
        let number = name.rsplit('-').next().unwrap_or_default();
        // What QEMU wants of a tap device, a process does not.
        let options = if kind == Kind::Process { "" } else { "vnet_hdr" };
        let taps = Taps::on(self.agent, &bridges, number, options)?;
        let started = Instant::now();
        let log = self.logs.join(format!("guest-{name}.log"));
        let life = match kind {
            Kind::Machine(board) => {
                let machine = self.machine(spec, board, &taps)?;
                Life::Machine(MachineGuest::start(name, &machine, taps, &log)?)
            }
            Kind::Process => Life::Process(ProcessGuest::start(name, spec, &self.wrapper(), taps, &log)?),
            Kind::Pv | Kind::Pvh => bail!("there is no Xen for a guest of Xen"),
        };
        Ok(Guest { life, domid: 0.into(), at_end: spec.at_end, create_time: started.elapsed() })
    }

    fn machine(&self, spec: &GuestSpec, board: Board, taps: &Taps) -> Result<Machine> {
        let Image::Local(kernel) = &spec.image else {
            bail!("{}: its image is not on this machine", spec.name)
        };
        let nic = |tap: &String| Nic { backend: Backend::Tap(tap.clone()), pcap: None };
        Ok(Machine {
            memory_mb: spec.memory_mb,
            command_line: spec.extra.clone(),
            nics: taps.names().iter().map(nic).collect(),
            paused: spec.paused,
            reboots: spec.at_end == AtEnd::Act,
            wrapper: self.wrapper(),
            ..Machine::new(board, kernel.clone())
        })
    }

    /// What starts a program in their network: its files are this machine's.
    fn wrapper(&self) -> Vec<String> {
        let mut wrapper = vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.child.id())];
        if !packages::is_root() {
            wrapper.push(format!("--user=/proc/{}/ns/user", self.child.id()));
            wrapper.push("--preserve-credentials".to_owned());
        }
        wrapper
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir(self.logs.join("peers"));
    }
}
