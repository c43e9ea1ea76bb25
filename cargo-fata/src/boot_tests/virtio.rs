//! Guests without Xen below them, each in a QEMU of its own: its machines and virtio devices, ways out, clocks, seeds.

mod ciphers;
mod guest;
mod large_frames;
mod restored;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use crate::interrupt;
use crate::xen_host::qemu::free_port;
use ciphers::known_answers;
pub(super) use guest::Machine;
use guest::SOON;
use large_frames::large_frames;
use restored::restored_guests_reseed;

/// A test that needs no Xen host.
pub struct MachineTest {
    /// `virtio::what`.
    pub name: &'static str,
    pub(super) run: fn(&Path) -> Result<()>,
}

impl MachineTest {
    /// Whether it is run when nothing else is.
    pub fn is_alone(&self) -> bool {
        ALONE.contains(&self.name)
    }

    /// Runs it; its guests' logs are kept in `logs`.
    pub fn run(&self, logs: &Path) -> Result<()> {
        interrupt::set_limit(Some(LIMIT));
        let outcome = (self.run)(logs);
        interrupt::set_limit(None);
        outcome
    }
}

/// The tests of this topic.
pub const TESTS: &[MachineTest] = &[
    MachineTest { name: "virtio::net_on_each_machine", run: net_on_each_machine },
    MachineTest { name: "virtio::what_is_not_driven_is_said", run: what_is_not_driven_is_said },
    MachineTest { name: "virtio::the_link_goes_down_and_up", run: the_link_goes_down_and_up },
    MachineTest { name: "virtio::large_frames_of_the_hosts_kernel", run: large_frames },
    MachineTest { name: "virtio::seeds", run: seeds },
    MachineTest { name: "virtio::restored_guests_reseed", run: restored_guests_reseed },
    MachineTest { name: "virtio::known_answers", run: known_answers },
    MachineTest { name: "virtio::power_off", run: power_off },
    MachineTest { name: "virtio::reboot", run: reboot },
    MachineTest { name: "virtio::a_panic_has_its_status", run: a_panic_has_its_status },
    MachineTest { name: "virtio::clocks", run: clocks },
    MachineTest { name: "virtio::idle_sleeps", run: idle_sleeps },
    MachineTest { name: "virtio::console", run: console },
];

/// Those whose names contain `filter`.
pub fn select(filter: &str, long: bool) -> Vec<&'static MachineTest> {
    let all = TESTS.iter().chain(super::machine::TESTS);
    all.filter(|test| test.name.contains(filter) && (long || !test.is_alone())).collect()
}

/// Those that measure, or take the processors from others: only with `--long`, and when all others are done.
const ALONE: [&str; 2] = ["machine::clock_on_a_busy_host", "virtio::idle_sleeps"];

const LIMIT: Duration = Duration::from_secs(300);
const ADDRESS: &str = "ipv4=10.0.2.15/24 gateway=10.0.2.2";

/// Machines with a network device each, in the words of QEMU.
const MACHINES: &[&str] = &[
    "-M q35 -device virtio-net-pci,netdev=n0",
    "-M q35 -device pcie-root-port,id=rp,chassis=1 -device virtio-net-pci,netdev=n0,bus=rp",
    "-M q35 -device pcie-root-port,id=rp,chassis=1 -device pcie-pci-bridge,id=br,bus=rp \
     -device virtio-net-pci,netdev=n0,bus=br,addr=3",
    "-M q35 -device virtio-net-pci,netdev=n0,vectors=0",
    // Registers above 4 GiB.
    "-M q35 -device pcie-root-port,id=rp,chassis=1,pref64-reserve=8G -device virtio-net-pci,netdev=n0,bus=rp",
    "-M pc -device virtio-net-pci,netdev=n0",
    "-M microvm -device virtio-net-device,netdev=n0",
    "-M microvm,ioapic2=off -device virtio-net-device,netdev=n0",
    "-M microvm,acpi=off -device virtio-net-device,netdev=n0",
    "-M microvm,acpi=off,pit=off,pic=off,rtc=off -device virtio-net-device,netdev=n0",
    "-M microvm -global virtio-mmio.force-legacy=off -device virtio-net-device,netdev=n0",
];

/// The web server behind `port`, on a machine.
fn web(logs: &Path, port: u16, machine: &str) -> Result<Machine> {
    let network = format!("-netdev user,id=n0,hostfwd=tcp:127.0.0.1:{port}-:80");
    Machine::start(logs, "web", ADDRESS, &format!("{network} {machine}"))
}

fn net_on_each_machine(logs: &Path) -> Result<()> {
    for machine in MACHINES {
        let port = free_port()?;
        let mut guest = web(logs, port, machine)?;
        let answer = guest.get(port).with_context(|| (*machine).to_owned())?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{machine}: {answer}");
    }
    Ok(())
}

fn what_is_not_driven_is_said(logs: &Path) -> Result<()> {
    for (machine, said) in [
        ("-M q35", "there is no virtio network device number 0"),
        ("-M microvm", "there is no virtio network device number 0"),
        ("-M microvm,acpi=off -device virtio-rng-device", "there is no virtio network device number 0"),
        (
            "-M q35 -device virtio-net-pci,netdev=n0,disable-modern=on,disable-legacy=off",
            "the virtio device is of before virtio 1.0 on PCI",
        ),
        (
            "-M q35 -device virtio-net-pci,netdev=n0,rx_queue_size=256,vectors=0",
            "it is looked at each millisecond",
        ),
    ] {
        let guest = web(logs, free_port()?, &format!("-no-reboot {machine}"))?;
        guest.wait_log(said).context(machine)?;
    }
    Ok(())
}

/// Tells QEMU something, on its own socket: what it answers.
fn qmp(socket: &Path, say: &str) -> Result<String> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SOON))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    lines.next().context("QEMU does not greet")??;
    let mut answer = String::new();
    for say in ["{\"execute\": \"qmp_capabilities\"}", say] {
        (&stream).write_all(say.as_bytes())?;
        answer.clear();
        while !answer.contains("\"return\"") {
            answer = lines.next().context("QEMU does not answer")??;
            ensure!(!answer.contains("\"error\""), "{say}: {answer}");
        }
    }
    Ok(answer)
}

fn the_link_goes_down_and_up(logs: &Path) -> Result<()> {
    for machine in [MACHINES[0], "-M microvm -device virtio-net-device,netdev=n0"] {
        let (port, socket) = (free_port()?, logs.join(format!("qmp-{}", free_port()?)));
        let mut guest =
            web(logs, port, &format!("-qmp unix:{},server=on,wait=off {machine}", socket.display()))?;
        guest.get(port)?;
        for (up, said) in [("false", "main: link down"), ("true", "main: link up")] {
            let before = guest.log().len();
            let arguments = format!("{{\"name\": \"n0\", \"up\": {up}}}");
            qmp(&socket, &format!("{{\"execute\": \"set_link\", \"arguments\": {arguments}}}"))?;
            guest.wait_log_until(said, |log| log.get(before..).is_some_and(|new| new.contains(said)))?;
        }
        guest.get(port).context("after the link came back")?;
    }
    Ok(())
}

fn seeds(logs: &Path) -> Result<()> {
    for machine in
        ["-M q35 -device virtio-net-pci,netdev=n0", "-M microvm -device virtio-net-device,netdev=n0"]
    {
        let rng =
            if machine.contains("q35") { "-device virtio-rng-pci" } else { "-device virtio-rng-device" };
        // The processor's own generator, both, the machine's alone.
        for with in ["-cpu max", &format!("-cpu max {rng}"), &format!("-cpu qemu64 {rng}")] {
            let port = free_port()?;
            let answer = web(logs, port, &format!("{with} {machine}"))?.get(port)?;
            ensure!(answer.starts_with("HTTP/1.1 200"), "{with} {machine}: {answer}");
        }
        let none = web(logs, free_port()?, &format!("-cpu qemu64 -no-reboot {machine}"))?;
        let said =
            "no entropy: the processor has neither RDSEED nor RDRAND, and the machine has no virtio-rng";
        none.wait_log(said)?;
    }
    let same = logs.join("same");
    let octets: Vec<u8> =
        (1..=512_u64).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    fs::write(&same, octets)?;
    let same = same.display().to_string();
    for machine in ["-M q35", "-M microvm"] {
        // Who can do without is told, and lives.
        let (_, log) = random(logs, &format!("{machine} -cpu qemu64"))?;
        let said = "refused: no entropy: the processor has neither RDSEED nor RDRAND, and the machine has no virtio-rng";
        ensure!(log.contains(said) && !log.contains("source"), "{machine}: {log}");
        let rng = if machine.contains("q35") { "virtio-rng-pci" } else { "virtio-rng-device" };
        let with = |file: &str| {
            let source = format!("-object rng-random,id=r0,filename={file}");
            random(logs, &format!("{machine} -cpu qemu64 {source} -device {rng},rng=r0"))
        };
        // A device that gives nothing but zeros is none.
        let (_, log) = with("/dev/zero")?;
        let said = "refused: no entropy: its sources give nothing or repeat themselves";
        let warned = "virtio-rng fails: not counted";
        ensure!(log.contains(said) && log.matches(warned).count() == 1, "{machine}: {log}");
        ensure!(!log.contains("source "), "{machine}: {log}");
        // One that gives two guests the same: clocks and jitter still tell them apart.
        let (first, log) = with(&same)?;
        ensure!(log.contains("source Virtio") && !log.contains("source Rd"), "{machine}: {log}");
        let (second, _) = with(&same)?;
        ensure!(first.is_some() && first != second, "{machine}: two guests have {first:?}");
    }
    // Vector registers: a processor that has none is as good.
    let (_, log) =
        Machine::start(logs, "probe", "case=vectors", "-M q35 -cpu qemu64 -no-reboot")?.wait_end()?;
    ensure!(log.contains("avx 0 osxsave 0"), "{log}");
    Ok(())
}

/// What a guest says that asks for random octets: those, and its log.
fn random(logs: &Path, machine: &str) -> Result<(Option<String>, String)> {
    let (_, log) =
        Machine::start(logs, "probe", "case=random", &format!("{machine} -no-reboot"))?.wait_end()?;
    let octets = log.lines().find_map(|line| line.strip_prefix("random "));
    Ok((octets.map(str::to_owned), log))
}

fn power_off(logs: &Path) -> Result<()> {
    // QEMU would start each again that only resets.
    for machine in ["-M q35", "-M pc", "-M microvm", "-M microvm,ioapic2=off"] {
        let (status, log) = Machine::start(logs, "hello", "", machine)?.wait_end().context(machine)?;
        ensure!(status == 0 && log.matches("hello from Fata").count() == 1, "{machine}: {status}: {log}");
    }
    // A machine without ACPI has nothing but its reset.
    let without = Machine::start(logs, "hello", "", "-M microvm,acpi=off -no-reboot")?;
    ensure!(without.wait_end()?.0 == 0, "a microvm without ACPI does not end");
    Ok(())
}

fn reboot(logs: &Path) -> Result<()> {
    for machine in ["-M q35", "-M microvm", "-M microvm,acpi=off"] {
        let guest = Machine::start(logs, "probe", "case=reboot", machine)?;
        let again = |log: &str| log.matches("once more").count() >= 3;
        guest.wait_log_until("a third start", again).context(machine)?;
    }
    Ok(())
}

fn a_panic_has_its_status(logs: &Path) -> Result<()> {
    for machine in ["-M q35", "-M microvm", "-M microvm,acpi=off"] {
        for (exit, wanted) in [
            ("-device isa-debug-exit,iobase=0xf4,iosize=4", 101),
            ("-device pvpanic -action panic=exit-failure", 1),
        ] {
            let guest = Machine::start(logs, "probe", "case=panic", &format!("{machine} {exit} -no-reboot"))?;
            let (status, log) = guest.wait_end()?;
            ensure!(status == wanted, "{machine} {exit}: the status is {status}: {log}");
            ensure!(log.contains("this panic is the test: 42"), "{machine}: {log}");
        }
        // Another crash has another.
        let exit = "-device isa-debug-exit,iobase=0xf4,iosize=4 -no-reboot";
        let (status, log) =
            Machine::start(logs, "probe", "case=error", &format!("{machine} {exit}"))?.wait_end()?;
        ensure!(status == 99, "{machine}: the status of an error of main is {status}: {log}");
        ensure!(log.contains("this main ends with an error"), "{machine}: {log}");
        ensure!(!log.contains("panicked"), "{machine}: {log}");
    }
    Ok(())
}

fn clocks(logs: &Path) -> Result<()> {
    for machine in ["-M q35", "-M microvm", "-M microvm,pit=off,pic=off,x-option-roms=off"] {
        let (_, log) =
            Machine::start(logs, "probe", "case=clock", &format!("{machine} -no-reboot"))?.wait_end()?;
        let told =
            log.lines().find_map(|line| line.strip_prefix("wall ")?.split(' ').next()?.parse::<u64>().ok());
        let told = told.with_context(|| format!("{machine}: no time in {log}"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        ensure!(now.abs_diff(told) <= 3, "{machine}: it says {told}, and it is {now}");
    }
    // A thousand timers of up to a second take a second, whatever the counter is measured by; without a battery clock it is
    // 1970, and said so.
    for machine in ["-M q35", "-M microvm,pit=off,pic=off,rtc=off"] {
        let (_, log) =
            Machine::start(logs, "probe", "case=timers", &format!("{machine} -no-reboot"))?.wait_end()?;
        ensure!(log.contains("timers done"), "{machine}: {log}");
        let is_said = log.contains("this machine has no clock of the day");
        ensure!(is_said == machine.contains("rtc=off"), "{machine}: {log}");
    }
    Ok(())
}

/// A guest that sleeps for 12 s, three times as long as the timer counts, costs its host next to nothing, and wakes in time.
fn idle_sleeps(logs: &Path) -> Result<()> {
    let guest = Machine::start(logs, "probe", "case=idle", "-M q35 -no-reboot")?;
    guest.wait_log("idle")?;
    let (started, before) = (Instant::now(), cpu_time(guest.process())?);
    std::thread::sleep(Duration::from_secs(5));
    let spent = cpu_time(guest.process())?.saturating_sub(before);
    ensure!(spent < Duration::from_millis(500), "QEMU has used {spent:?} in 5 s of sleep");
    let (_, log) = guest.wait_end()?;
    let slept = started.elapsed();
    ensure!(log.contains("awake") && slept >= Duration::from_secs(11), "it slept {slept:?}: {log}");
    Ok(())
}

/// Processor time of a process and its threads (`proc_pid_stat(5)`, fields 14 and 15, hundredths of a second).
fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = behind_name.split_ascii_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks = fields.sum::<std::result::Result<u64, _>>().context("a /proc/PID/stat of another kind")?;
    Ok(Duration::from_millis(10 * ticks))
}

fn console(logs: &Path) -> Result<()> {
    // The guest's console is QEMU's standard input and output, whichever device it is.
    let virtio = "-serial none -chardev stdio,id=c0";
    for machine in [
        "-serial stdio -M q35".to_owned(),
        "-serial stdio -M microvm".to_owned(),
        format!("{virtio} -M q35 -device virtio-serial-pci -device virtconsole,chardev=c0"),
        format!(
            "{virtio} -M microvm,isa-serial=off -device virtio-serial-device -device virtconsole,chardev=c0"
        ),
        format!(
            "{virtio} -M microvm,acpi=off,isa-serial=off -device virtio-serial-device -device virtconsole,chardev=c0"
        ),
    ] {
        let exit = "-no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4";
        let start = |case| Machine::start(logs, "probe", case, &format!("{machine} {exit}"));
        let mut guest = start("case=console")?;
        guest.wait_log("type").context(machine.clone())?;
        guest.type_line("some words\r")?;
        guest.wait_log("10 octets: some words").context(machine.clone())?;
        guest.type_line("end\r")?;
        let (status, log) = guest.wait_end()?;
        // Where nothing ends power, the guest says so at the port of `isa-debug-exit`.
        let off = if machine.contains("acpi=off") { 33 } else { 0 };
        ensure!(status == off && log.contains("3 octets: end"), "{machine}: {status}: {log}");
        // Its last words too, after more than any queue holds.
        let (status, log) = start("case=flood")?.wait_end()?;
        let lines = log.matches(" of a flood").count();
        ensure!(
            status == 101 && lines == 1000 && log.contains("after the flood"),
            "{machine}: {lines} lines"
        );
    }
    Ok(())
}
