//! QEMU with the Xen host in it, in plain software emulation: start, readiness, end.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::agent::Agent;
use super::build::Parts;
use crate::run::disks::{self, Bus, Disk};
use crate::{command, interrupt};

/// A quiet machine needs 11 s; one that also builds can need many times that.
const BOOT_LIMIT: Duration = Duration::from_secs(300);
const AGENT_LIMIT: Duration = Duration::from_secs(30);
/// What dom0 needs for its root file system in memory and for images.
const DOM0_MEMORY_MB: u32 = 1500;
const READY: &str = "FATA-HOST-READY";
const FAILURES: [&str; 3] = ["FATA-HOST-FAILED", "Kernel panic", "Panic on CPU"];

/// A port of this machine that leads to a port of a guest.
#[derive(Debug, Clone)]
pub struct Forward {
    /// On 127.0.0.1.
    pub host_port: u16,
    /// On the guests' network, 10.0.2.0/24.
    pub guest: Ipv4Addr,
    /// On the guest.
    pub guest_port: u16,
}

/// A port of the guests' network that leads to this machine, which nothing else there does.
#[derive(Debug, Clone)]
pub struct Backward {
    /// Of 10.0.2.0/24, where nobody else has the address.
    pub address: SocketAddrV4,
    /// Of the domain AF_UNIX: a port might be another's by the time that somebody listens.
    pub socket: PathBuf,
}

/// What may differ from one Xen host to the next.
#[derive(Debug, Clone)]
pub struct Options {
    /// Memory of the whole machine, dom0 included.
    pub memory_mb: u32,
    /// TCP ports led to guests.
    pub forwards: Vec<Forward>,
    /// TCP ports led from guests to this machine.
    pub backwards: Vec<Backward>,
    /// Disks of the machine, which dom0 has as `/dev/vda` and so on.
    pub disks: Vec<Disk>,
    /// Where the serial log is written.
    pub log: PathBuf,
    /// A port of 127.0.0.1 for gdb.
    pub gdb_port: Option<u16>,
}

/// A running machine; dropping it ends it.
pub struct Qemu {
    child: Child,
    log: PathBuf,
    /// The agent in its dom0.
    pub agent: Agent,
}

impl Qemu {
    /// Starts the machine and waits until dom0 is up.
    ///
    /// To be called from a thread that lives as long as the machine: the kernel ends QEMU when that thread ends.
    pub fn boot(parts: &Parts, overlay: &Path, options: &Options) -> Result<Self> {
        if let Some(folder) = options.log.parent() {
            fs::create_dir_all(folder)?;
        }
        // One of an earlier machine says that that one was ready.
        if let Err(error) = fs::remove_file(&options.log)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("cannot remove {}", options.log.display()));
        }
        let agent_port = free_port()?;
        let agent = Agent { address: SocketAddr::from((Ipv4Addr::LOCALHOST, agent_port)), token: None };
        let said = File::create(options.log.with_extension("qemu"))?;
        let mut command = qemu_command(parts, overlay, options, agent_port);
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        // A Ctrl-C on the terminal is for the tool, which ends QEMU when guests have been told.
        command.process_group(0);
        end_with_this_thread(&mut command);
        let child =
            command.spawn().context("cannot start qemu-system-x86_64: is qemu-system-x86 installed?")?;
        let mut qemu = Self { child, log: options.log.clone(), agent };
        qemu.wait_ready()?;
        Ok(qemu)
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once. Nothing in the machine is kept: there is nothing to shut down in order.
    pub fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + BOOT_LIMIT;
        loop {
            interrupt::check()?;
            let log = String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
            if log.contains(READY) {
                return self.wait_agent();
            }
            if FAILURES.iter().any(|failure| log.contains(failure)) || !self.is_alive() {
                let said = fs::read_to_string(self.log.with_extension("qemu")).unwrap_or_default();
                return self.failure("the Xen host did not come up", &format!("{log}\n{said}"));
            }
            if Instant::now() > deadline {
                return self
                    .failure(&format!("the Xen host is not up after {} s", BOOT_LIMIT.as_secs()), &log);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn wait_agent(&self) -> Result<()> {
        let deadline = Instant::now() + AGENT_LIMIT;
        while !self.agent.ping() {
            interrupt::check()?;
            if Instant::now() > deadline {
                return self.failure("dom0 is up, but its agent does not answer", "");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn failure<T>(&self, what: &str, log: &str) -> Result<T> {
        bail!("{what}; serial log: {}\n{}", self.log.display(), command::last_lines(log, 12))
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.end();
    }
}

fn qemu_command(parts: &Parts, overlay: &Path, options: &Options, agent_port: u16) -> Command {
    let xen = format!(
        "dom0_mem={DOM0_MEMORY_MB}M,max:{DOM0_MEMORY_MB}M com1=115200 console=com1 dom0_max_vcpus=1 dom0_vcpus_pin \
         loglvl=error guest_loglvl=all"
    );
    let modules = format!("{} console=hvc0 panic=-1 quiet,{}", parts.kernel.display(), overlay.display());
    let mut network = format!(
        "user,model=e1000,restrict=on,hostfwd=tcp:127.0.0.1:{agent_port}-10.0.2.14:{}",
        fata_dom0::AGENT_PORT
    );
    for forward in &options.forwards {
        network +=
            &format!(",hostfwd=tcp:127.0.0.1:{}-{}:{}", forward.host_port, forward.guest, forward.guest_port);
    }
    for Backward { address, socket } in &options.backwards {
        network += &format!(",guestfwd=tcp:{address}-cmd:nc -N -U {}", socket.display());
    }
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-accel", "tcg,thread=multi", "-smp", "2"])
        // QEMU before 9.1 faults when an iret to ring 3 meets SMAP.
        .args(["-cpu", "max,-smap"])
        .args(["-m", &options.memory_mb.to_string()])
        .args(["-display", "none", "-monitor", "none", "-no-reboot"])
        .args(["-serial", &format!("file:{}", options.log.display())])
        .arg("-kernel")
        .arg(&parts.xen)
        .args(["-append", &xen, "-initrd", &modules, "-nic", &network]);
    command.args(disks::qemu_args(&options.disks, Bus::Pci));
    if let Some(port) = options.gdb_port {
        command.args(["-gdb", &format!("tcp:127.0.0.1:{port}")]);
    }
    command
}

/// Has the kernel kill the command's process when the thread that starts it ends, however it ends.
pub fn end_with_this_thread(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe calls are made, and no memory is allocated.
    unsafe {
        command.pre_exec(move || {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            if libc::getppid() as u32 != parent {
                libc::_exit(1);
            }
            Ok(())
        });
    }
}

/// A TCP port that nobody listens on now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
