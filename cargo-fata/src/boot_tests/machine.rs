//! Machines without Xen that are not as they should be: a busy host, hosts that take nothing, tables that lie.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::virtio::{Machine, MachineTest};
use crate::workspace::image;
use crate::xen_host::qemu::{end_with_this_thread, free_port};

/// The tests of this topic.
pub const TESTS: &[MachineTest] = &[
    MachineTest { name: "machine::clock_on_a_busy_host", run: clock_on_a_busy_host },
    MachineTest { name: "machine::a_console_that_takes_nothing", run: a_console_that_takes_nothing },
    MachineTest { name: "machine::a_crash_stands_still", run: a_crash_stands_still },
    MachineTest { name: "machine::memory_is_no_device", run: memory_is_no_device },
    MachineTest { name: "machine::a_wrong_start_info_is_said", run: a_wrong_start_info_is_said },
    MachineTest { name: "machine::nothing_half_configured_starts", run: nothing_half_configured_starts },
];

/// A process; dropping it ends it.
struct Ended(Child);

impl Ended {
    /// One that leaves the processors to nobody.
    fn spinner() -> Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", "while :; do :; done"]);
        end_with_this_thread(&mut shell);
        Ok(Self(shell.spawn()?))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the processor does not tell its counter's rate the guest measures it, and others run meanwhile.
fn clock_on_a_busy_host(logs: &Path) -> Result<()> {
    let processors = std::thread::available_parallelism()?.get();
    for machine in ["-M q35", "-M microvm", "-M microvm,pit=off,pic=off"] {
        let mut spinners = (0..6 * processors).map(|_| Ended::spinner()).collect::<Result<Vec<_>>>()?;
        let guests = (0..4).map(|_| Machine::start(logs, "probe", "case=idle", machine));
        let guests = guests.collect::<Result<Vec<_>>>()?;
        // What passes of the guest's 12 s is seen as late as the guest and this process come to run.
        let mut seen = vec![(None, None); guests.len()];
        while seen.iter().any(|(_, awake)| awake.is_none()) {
            crate::interrupt::check()?;
            for (guest, (idle, awake)) in guests.iter().zip(&mut seen) {
                let log = guest.log();
                for (at, word) in [(idle, "idle\n"), (awake, "awake\n")] {
                    if at.is_none() && log.contains(word) {
                        *at = Some(Instant::now());
                    }
                }
            }
            // They have measured: what follows is seen sooner without the others.
            if seen.iter().all(|(idle, _)| idle.is_some()) {
                spinners.clear();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for (idle, awake) in seen {
            let slept = awake.zip(idle).map_or(0.0, |(awake, idle)| (awake - idle).as_secs_f64());
            // Within 3 %, and half a second for what was seen late.
            ensure!((11.14..12.86).contains(&slept), "{machine}: 12 s of the guest took {slept:.2} s");
        }
    }
    Ok(())
}

/// Nobody reads the pipe: the guest waits once, then goes on without its output.
fn a_console_that_takes_nothing(_logs: &Path) -> Result<()> {
    for machine in ["q35", "microvm"] {
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-M", machine, "-cpu", "max", "-m", "64", "-display", "none", "-nic", "none"]);
        qemu.args(["-serial", "stdio", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
        qemu.arg("-kernel").arg(image("probe")?).args(["-append", "case=flood"]);
        qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        end_with_this_thread(&mut qemu);
        let mut guest = Ended(qemu.spawn().context("cannot start qemu-system-x86_64")?);
        let mut pipe = guest.0.stdout.take().context("no stdout")?;
        // SAFETY: changes the pipe's size, and no memory.
        let size = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) };
        ensure!(size > 0 && size < 16 << 10, "the pipe holds {size} octets");
        let started = Instant::now();
        let status = loop {
            crate::interrupt::check()?;
            if let Some(status) = guest.0.try_wait()? {
                break status;
            }
            ensure!(started.elapsed() < Duration::from_secs(30), "{machine}: it waits for its console");
            std::thread::sleep(Duration::from_millis(20));
        };
        ensure!(status.code() == Some(101), "{machine}: the status is {status}");
        let mut said = Vec::new();
        pipe.read_to_end(&mut said)?;
        ensure!(said.len() < 40_000, "{machine}: it took {} octets", said.len());
    }
    Ok(())
}

/// What is wrong with a boot parameter is said once, not without end.
fn a_crash_stands_still(logs: &Path) -> Result<()> {
    let machines = ["-M q35", "-M microvm", "-M microvm,acpi=off"];
    let guests = machines.map(|machine| Machine::start(logs, "probe", "colour=red", machine));
    let guests = guests.into_iter().collect::<Result<Vec<_>>>()?;
    let said = "boot parameter \"colour\" is unknown";
    guests.iter().try_for_each(|guest| guest.wait_log(said))?;
    std::thread::sleep(Duration::from_secs(3));
    for (machine, guest) in machines.iter().zip(&guests) {
        let times = guest.log().matches(said).count();
        ensure!(times == 1, "{machine}: it was said {times} times");
    }
    Ok(())
}

/// A command line that names memory as a device's registers, and octets there that look like some.
fn memory_is_no_device(logs: &Path) -> Result<()> {
    const REGISTERS: &str = "-device loader,addr=0x3000000,data=0x74726976,data-len=4 \
         -device loader,addr=0x3000004,data=2,data-len=4 -device loader,addr=0x3000008,data=1,data-len=4";
    for at in ["0x3000000", "0x100000"] {
        let append = format!("ipv4=10.0.2.15/24 virtio_mmio.device=4K@{at}:5");
        let machine = format!("-M microvm,acpi=off -no-reboot {REGISTERS}");
        let guest = Machine::start(logs, "web", &append, &machine)?;
        guest.wait_log("there is no virtio network device number 0").context(at)?;
    }
    Ok(())
}

/// Whatever is wrong with what the loader says, the guest has a console by then.
fn a_wrong_start_info_is_said(logs: &Path) -> Result<()> {
    let entry = crate::note::entries(&image("hello")?)?.pvh.context("no PVH entry")?;
    let port = free_port()?;
    let machine = format!("-M microvm,acpi=off -S -gdb tcp:127.0.0.1:{port}");
    let guest = Machine::start(logs, "hello", "", &machine)?;
    let connect = format!("target remote 127.0.0.1:{port}");
    let stop = format!("hbreak *{entry:#x}");
    let mut gdb = Command::new("timeout");
    gdb.args(["60", "gdb", "-batch", "-ex", "set tcp connect-timeout 20", "-ex", &connect, "-ex", &stop]);
    gdb.args(["-ex", "continue", "-ex", "set $ebx = 0xfffffff0", "-ex", "delete", "-ex", "detach"]);
    let said = gdb.stdin(Stdio::null()).output().context("cannot start gdb")?;
    let said = [&said.stdout[..], &said.stderr].map(String::from_utf8_lossy).concat();
    let wanted = "the PVH loader's start_info makes no sense: an address in it is not below 1 GiB";
    guest.wait_log(wanted).with_context(|| format!("gdb said: {said}"))
}

/// What is wrong with one of two interfaces, or missing, is known before the one that is there has sent anything.
fn nothing_half_configured_starts(logs: &Path) -> Result<()> {
    /// A capture without frames: its header.
    const EMPTY: usize = 24;
    for (board, device) in [("-M q35", "virtio-net-pci"), ("-M microvm", "virtio-net-device")] {
        let dump = logs.join(format!("machine-half{board}.pcap").replace(' ', ""));
        let machine = format!(
            "{board} -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4 -netdev user,id=n0 -device {device},netdev=n0 \
             -object filter-dump,id=f0,netdev=n0,file={}",
            dump.display()
        );
        let frames = || std::fs::read(&dump).map_or(0, |dump| dump.len().saturating_sub(EMPTY));
        // What is looked for is there, where a guest does start: it asks for an address.
        let guest = Machine::start(logs, "echo", "ipv4=dhcp", &machine)?;
        let end = Instant::now() + Duration::from_secs(20);
        while frames() == 0 {
            crate::interrupt::check()?;
            ensure!(Instant::now() < end, "{board}: a guest that starts sends nothing: {}", guest.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(guest);
        for (parameters, said) in [
            ("", "there is no virtio network device number 1"),
            (
                "back.gateway=10.0.2.2",
                "boot parameter back.gateway: 10.0.2.2 is not in the network of 10.0.3.77/24",
            ),
            ("number=8 colour=red", "boot parameter \"colour\" is unknown"),
            (
                "virtio_mmio.device=512@0xfeb00e00:12 back.ipv4=10.0.3.77/24",
                "boot parameters behind virtio_mmio.device=: they go before it",
            ),
        ] {
            let guest = Machine::start(logs, "manifest", parameters, &machine)?;
            let (status, log) = guest.wait_end().with_context(|| machine.clone())?;
            ensure!(
                status == 99 && log.contains(said),
                "{board}, {parameters:?}: status {status}, not {said:?}: {log}"
            );
            ensure!(!log.contains("greeting good day"), "{board}, {parameters:?}: main has begun: {log}");
            ensure!(frames() == 0, "{board}, {parameters:?}: it has sent {} octets", frames());
        }
    }
    Ok(())
}
