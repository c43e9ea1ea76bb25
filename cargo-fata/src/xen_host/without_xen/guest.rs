//! A guest without Xen: QEMU with the image as its kernel, or the appliance as a process.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Namespaces;
use crate::note::Note;
use crate::workspace::Workspace;
use crate::xen_host::guest::{End, GuestSpec, Image};
use crate::xen_host::guest_spec::{Machine, Place};

/// What `isa-debug-exit` makes of the guest's report of a crash.
const CRASHED: i32 = 99;
const SOCKET_LIMIT: Duration = Duration::from_secs(5);

/// It runs. Dropping it ends it.
pub struct LoneGuest {
    child: RefCell<Child>,
    input: RefCell<Box<dyn Write>>,
    is_process: bool,
}

impl LoneGuest {
    /// Starts it; its console goes to `guest-NAME.log`.
    pub fn start(namespaces: &Namespaces, place: Place, spec: &GuestSpec, name: &str) -> Result<Self> {
        let Image::Local(image) = &spec.image else {
            bail!("{name}: its image is in dom0, which is not here")
        };
        let log = namespaces.logs().join(format!("guest-{name}.log"));
        match place {
            Place::Xen(_) => bail!("{name} wants Xen, which is not here"),
            Place::Machine(machine) => Self::start_machine(namespaces, machine, image, spec, &log),
            Place::Process => Self::start_process(namespaces, image, spec, &log),
        }
    }

    fn start_machine(
        namespaces: &Namespaces,
        machine: Machine,
        image: &Path,
        spec: &GuestSpec,
        log: &Path,
    ) -> Result<Self> {
        // Not among the logs, where it would be read as one.
        let socket = namespaces.folder.join("run").join(log.file_name().unwrap_or_default());
        let mut qemu = namespaces.command(Path::new("qemu-system-x86_64"))?;
        qemu.args(["-accel", "tcg", "-cpu", "max", "-m", &spec.memory_mb.to_string()])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .args(["-M", machine.option()])
            .arg("-kernel")
            .arg(image)
            .args(["-append", &spec.extra])
            .arg("-chardev")
            .arg(format!(
                "socket,id=console,path={},server=on,wait=off,logfile={}",
                socket.display(),
                log.display()
            ))
            .args(["-serial", "chardev:console", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
        for (n, vif) in spec.vifs.iter().enumerate() {
            qemu.arg("-netdev")
                .arg(format!("tap,id=net{n},ifname={},script=no,downscript=no", vif.bridge))
                .args(["-device", &format!("{},netdev=net{n}", machine.net_device())]);
        }
        let child = spawn(qemu, log)?;
        let input = connect(&socket)?;
        // Read, though the log has it: QEMU and the guest in it wait for whoever is connected.
        let mut output = input.try_clone()?;
        std::thread::spawn(move || io::copy(&mut output, &mut io::sink()));
        Ok(Self { child, input: RefCell::new(Box::new(input)), is_process: false })
    }

    fn start_process(namespaces: &Namespaces, image: &Path, spec: &GuestSpec, log: &Path) -> Result<Self> {
        let name = image.file_name().context("an image without a name")?.to_string_lossy().into_owned();
        let program = Workspace::current()?.find(&name, false)?.build_for_host()?;
        let note = Note::of(image)?.with_context(|| format!("{name} has no manifest"))?;
        let networks = note.manifest.networks.iter().zip(&spec.vifs);
        let taps = networks.map(|(network, vif)| format!("{}.tap={}", network.name, vif.bridge));
        let mut process = namespaces.command(&program)?;
        process.args(spec.extra.split_ascii_whitespace()).args(taps).stdin(Stdio::piped());
        let child = spawn(process, log)?;
        let input = child.borrow_mut().stdin.take().context("no standard input")?;
        Ok(Self { child, input: RefCell::new(Box::new(input)), is_process: true })
    }

    /// Types bytes on its console.
    pub fn type_bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut input = self.input.borrow_mut();
        input.write_all(bytes).and_then(|()| input.flush()).context("the console")
    }

    /// Processor time that it took, nanoseconds: of a machine, all of QEMU's.
    pub fn cpu_ns(&self) -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.borrow().id()))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().context("no fields")?.split(' ').collect();
        let ticks = |n: usize| -> Result<u64> { Ok(fields.get(n).context("few fields")?.parse()?) };
        // SAFETY: sysconf(3) has no preconditions.
        let ticks_per_s = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
        Ok((ticks(11)? + ticks(12)?) * (1_000_000_000 / ticks_per_s))
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Result<Option<End>> {
        let status = self.child.borrow_mut().try_wait()?;
        Ok(status.map(|status| self.end_of(status)))
    }

    fn end_of(&self, status: ExitStatus) -> End {
        match status.code() {
            Some(0) => End::PowerOff,
            Some(code) if self.is_process || code == CRASHED => End::Crash,
            Some(code) => End::Other(code as u8),
            None if status.signal() == Some(libc::SIGKILL) => End::Destroyed,
            None => End::Crash,
        }
    }

    /// SIGTERM, which is a process's `xl shutdown`.
    pub fn ask_to_leave(&self) -> Result<()> {
        if !self.is_process {
            bail!("nothing tells a guest without Xen to leave");
        }
        // SAFETY: kill(2) touches no memory; the child has not been waited for, or the call fails.
        unsafe { libc::kill(self.child.borrow().id() as i32, libc::SIGTERM) };
        Ok(())
    }
}

impl Drop for LoneGuest {
    fn drop(&mut self) {
        let mut child = self.child.borrow_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn spawn(mut command: Command, log: &Path) -> Result<RefCell<Child>> {
    let said = File::options().create(true).append(true).open(log)?;
    command.stdout(said.try_clone()?).stderr(said);
    Ok(RefCell::new(command.spawn().context("cannot start nsenter")?))
}

/// QEMU listens a moment after it has been started.
fn connect(socket: &PathBuf) -> Result<UnixStream> {
    let started = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if started.elapsed() > SOCKET_LIMIT => return Err(error).context("QEMU's console"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
