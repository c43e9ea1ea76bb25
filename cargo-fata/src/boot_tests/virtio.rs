//! Guests without Xen below them, each in a QEMU of its own: its machines and virtio devices, ways out, clocks, seeds.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use crate::workspace::image;
use crate::xen_host::qemu::{end_with_this_thread, free_port};
use crate::{command, interrupt};

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
const SOON: Duration = Duration::from_secs(30);
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

/// A guest in a QEMU of its own; dropping it ends it.
pub(super) struct Machine {
    child: Child,
    log: PathBuf,
}

impl Machine {
    /// Starts an image with a command line, on a machine in QEMU's words; what its serial port says is the log.
    pub(super) fn start(logs: &Path, name: &str, append: &str, machine: &str) -> Result<Self> {
        let log = logs.join(format!("virtio-{}.log", free_port()?));
        let said = File::create(&log)?;
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-m", "64", "-display", "none", "-nic", "none"]);
        if !machine.contains("-serial ") {
            qemu.args(["-serial", "stdio"]);
        }
        if !machine.contains("-cpu ") {
            qemu.args(["-cpu", "max"]);
        }
        qemu.args(machine.split_ascii_whitespace());
        qemu.arg("-kernel").arg(image(name)?).args(["-append", append]);
        qemu.stdin(Stdio::piped()).stdout(said.try_clone()?).stderr(said);
        end_with_this_thread(&mut qemu);
        let child = qemu.spawn().context("cannot start qemu-system-x86_64: is qemu-system-x86 installed?")?;
        Ok(Self { child, log })
    }

    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).replace('\r', "")
    }

    pub(super) fn wait_log(&self, text: &str) -> Result<()> {
        self.wait_log_until(text, |log| log.contains(text))
    }

    fn wait_log_until(&self, what: &str, is_there: impl Fn(&str) -> bool) -> Result<()> {
        let end = Instant::now() + SOON;
        while !is_there(&self.log()) {
            interrupt::check()?;
            ensure!(Instant::now() < end, "no {what:?} in {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until QEMU ends by itself: its status, and what the guest said.
    pub(super) fn wait_end(mut self) -> Result<(i32, String)> {
        let end = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status.code().context("QEMU was killed")?, self.log()));
            }
            interrupt::check()?;
            ensure!(Instant::now() < end, "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn type_line(&mut self, line: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("it has no input")?;
        stdin.write_all(line.as_bytes())?;
        stdin.flush()?;
        Ok(())
    }

    /// What the guest's web server answers behind a port of this host.
    fn get(&mut self, port: u16) -> Result<String> {
        let end = Instant::now() + SOON;
        loop {
            interrupt::check()?;
            let answer = ask(port).unwrap_or_default();
            if !answer.is_empty() {
                return Ok(answer);
            }
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none() && Instant::now() < end, "no answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

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

/// Tells QEMU something, on its own socket.
fn qmp(socket: &Path, say: &str) -> Result<()> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SOON))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    lines.next().context("QEMU does not greet")??;
    for say in ["{\"execute\": \"qmp_capabilities\"}", say] {
        (&stream).write_all(say.as_bytes())?;
        loop {
            let line = lines.next().context("QEMU does not answer")??;
            ensure!(!line.contains("\"error\""), "{say}: {line}");
            if line.contains("\"return\"") {
                break;
            }
        }
    }
    Ok(())
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

/// Sends 4 MB through a tap device to the guest and back. The host's kernel leaves checksums to the guest, and cuts nothing up:
/// frames larger than a wire's must come in, the guest must leave the cutting of its own to the host, and all that comes back must be
/// what went.
const LARGE: &str = r#"
set -e
ip link set lo up
ip tuntap add tap0 mode tap vnet_hdr
ip address add 10.0.2.2/24 dev tap0
ip link set tap0 up
head -c 4000000 /dev/urandom > $DATA
qemu-system-x86_64 -m 64 -cpu max -display none -nic none -serial file:$LOG -kernel $IMAGE -append ipv4=10.0.2.15/24 \
    -netdev tap,id=n0,ifname=tap0,script=no,downscript=no -object filter-dump,id=dump,netdev=n0,file=$DUMP $MACHINE &
qemu=$!
trap 'kill $qemu' EXIT
curl -sS -m 60 --retry 20 --retry-delay 1 --retry-all-errors --data-binary @$DATA -o $DATA.back http://10.0.2.15/echo
cmp $DATA $DATA.back
"#;

fn large_frames(logs: &Path) -> Result<()> {
    for (machine, large_in, large_out) in [
        ("-M q35 -device virtio-net-pci,netdev=n0", true, true),
        ("-M microvm -device virtio-net-device,netdev=n0", true, true),
        // Without buffers that a frame may be spread over, none that is large comes; without both offloads, no sums left out.
        ("-M q35 -device virtio-net-pci,netdev=n0,mrg_rxbuf=off", false, true),
        ("-M q35 -device virtio-net-pci,netdev=n0,csum=off,guest_csum=off", false, false),
    ] {
        let [data, log, dump] = ["data", "log", "pcap"].map(|part| logs.join(format!("virtio-large.{part}")));
        let mut shell = Command::new("unshare");
        shell.args(["--user", "--map-root-user", "--net", "sh", "-c", LARGE]);
        shell.env("DATA", &data).env("LOG", &log).env("DUMP", &dump).env("MACHINE", machine);
        shell.env("IMAGE", image("http")?).stdin(Stdio::null());
        end_with_this_thread(&mut shell);
        let said = shell.output().context("cannot start unshare")?;
        let errors = String::from_utf8_lossy(&said.stderr).into_owned();
        let guest = fs::read_to_string(&log).unwrap_or_default();
        ensure!(said.status.success(), "{machine}: {errors}\n{}", command::last_lines(&guest, 12));
        let (came, went) = longest_frames(&fs::read(&dump)?);
        ensure!((came > 2000) == large_in, "{machine}: the longest frame that came has {came} octets");
        ensure!((went > 2000) == large_out, "{machine}: the longest frame of the guest has {went} octets");
    }
    Ok(())
}

/// The address that QEMU gives its first network device.
const GUEST: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/// Octets of the longest frame in a capture that came to the guest, and of the longest that it has sent (24 octets of header, 16 before
/// each frame, of which the last four are its length).
fn longest_frames(mut capture: &[u8]) -> (u32, u32) {
    let (mut came, mut went) = (0, 0);
    capture = capture.get(24..).unwrap_or_default();
    while let Some(header) = capture.first_chunk::<16>() {
        let [.., a, b, c, d] = *header;
        let [.., e, f, g, h, _, _, _, _] = *header;
        // Before the frame QEMU writes the header of virtio, where there is one, of 10 or 12 octets.
        let from_guest = [22, 32, 34].iter().any(|at| capture.get(*at..at + 6) == Some(&GUEST));
        let longest = if from_guest { &mut went } else { &mut came };
        *longest = u32::from_le_bytes([a, b, c, d]).max(*longest);
        capture = capture.get(16 + u32::from_le_bytes([e, f, g, h]) as usize..).unwrap_or_default();
    }
    (came, went)
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
    for machine in ["-M q35", "-M microvm"] {
        // Who can do without is told, and lives.
        let (_, log) = random(logs, &format!("{machine} -cpu qemu64"))?;
        let said = "refused: no entropy: the processor has neither RDSEED nor RDRAND, and the machine has no virtio-rng";
        ensure!(log.contains(said) && !log.contains("source"), "{machine}: {log}");
        // A device that gives two guests the same: clocks and jitter still tell them apart.
        let rng = if machine.contains("q35") { "virtio-rng-pci" } else { "virtio-rng-device" };
        let source = "-object rng-random,id=r0,filename=/dev/zero";
        let with = format!("{machine} -cpu qemu64 {source} -device {rng},rng=r0");
        let (first, log) = random(logs, &with)?;
        ensure!(log.contains("source Virtio") && !log.contains("source Rd"), "{machine}: {log}");
        let (second, _) = random(logs, &with)?;
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
    let (started, before) = (Instant::now(), cpu_time(guest.child.id())?);
    std::thread::sleep(Duration::from_secs(5));
    let spent = cpu_time(guest.child.id())?.saturating_sub(before);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_frame_of_a_capture() {
        let frame = |len: u8, from: &[u8]| {
            let mut octets = vec![1; len.into()];
            octets[6..12].copy_from_slice(from);
            [&[0; 8][..], &[len, 0, 0, 0, len, 0, 0, 0], &octets].concat()
        };
        let other = [2; 6];
        let capture =
            [vec![0; 24], frame(60, &other), frame(200, &other), frame(210, &GUEST), frame(90, &GUEST)];
        assert_eq!(longest_frames(&capture.concat()), (200, 210));
        assert_eq!(longest_frames(&[]), (0, 0));
    }
}
