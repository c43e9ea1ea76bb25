//! Disks: what the guest wrote and what dom0 sees, what is refused, and disks that go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::BootTest;
use crate::run::disks::{self, Bus, Disk};
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec};

const SOON: Duration = Duration::from_secs(60);
const DISK_OCTETS: u64 = 4 << 20;
/// As the guest has it.
const CHUNK: usize = 64 << 10;

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::block::a_copy_is_one_for_dom0_too", 120, copy).both(),
    BootTest::new("boot::block::many_in_flight", 180, many_in_flight),
    BootTest::new("boot::block::sectors_of_4096", 180, sectors_of_4096),
    BootTest::new("boot::block::what_was_flushed_outlives_destroy", 120, flushed),
    BootTest::new("boot::block::a_read_only_disk_is_not_written", 120, read_only),
    BootTest::new("boot::block::what_leaves_the_disk_is_refused", 120, beyond_the_end),
    BootTest::new("boot::block::a_missing_disk_is_said", 120, missing),
    BootTest::new("boot::block::disks_are_chosen_by_name", 120, chosen_by_name).long(),
    BootTest::new("boot::block::a_detached_disk_fails_and_the_guest_lives", 180, detached),
    BootTest::new("boot::block::what_blkback_offers_is_used", 120, offers),
    BootTest::new("boot::block::neighbours_are_few_requests", 120, neighbours),
    BootTest::new("boot::block::a_disk_that_grows_is_noticed", 120, grows),
    BootTest::new("boot::block::without_kept_grants", 180, without_kept_grants).long(),
    BootTest::new("boot::block::the_example_counts", 120, example),
    BootTest::new("boot::block::the_tool_hands_a_file_on", 300, file_through_the_tool)
        .pv_only("is about the tool")
        .apart()
        .long(),
    BootTest::new("boot::block::virtio_on_pci", 120, |_| virtio(Bus::Pci))
        .pv_only("has no Xen below it")
        .apart(),
    BootTest::new("boot::block::virtio_on_mmio", 120, |_| virtio(Bus::Mmio))
        .pv_only("has no Xen below it")
        .apart(),
];

/// A disk in dom0, of zeros or of random octets, behind a loop device of its own; gives the device's name.
fn disk(host: &Host, options: &str, content: &str) -> Result<String> {
    let script = format!(
        "losetup -D; rm -f /tmp/disk.img; head -c {DISK_OCTETS} {content} >/tmp/disk.img
        losetup {options} --find --show /tmp/disk.img"
    );
    Ok(host.sh(&script, SOON)?.ok()?.stdout.trim().to_owned())
}

/// With the short script of this host; what is attached to a guest that runs has Debian's own.
fn line(device: &str, vdev: &str, access: &str) -> String {
    format!(
        "disk = [ 'format=raw,backendtype=phy,vdev={vdev},access={access},script=/fata/block,target={device}' ]"
    )
}

pub fn spec(case: &str, device: &str, access: &str) -> Result<GuestSpec> {
    let spec = GuestSpec::new("block", image("block")?).extra(&format!("case={case}"));
    Ok(spec.config(&line(device, "xvda", access)))
}

/// Runs a guest to its end, and gives what it said.
fn says(host: &mut Host, spec: &GuestSpec) -> Result<String> {
    let guest = host.create(spec)?;
    let end = guest.wait_gone(SOON)?;
    let console = guest.console();
    ensure!(end == End::PowerOff, "it ended with {end:?}: {console}");
    // As other domains' tools do, only when nobody has the disk any more.
    guest.destroy()?;
    Ok(console)
}

fn copy(host: &mut Host) -> Result<()> {
    let device = disk(host, "", "/dev/urandom")?;
    let console = says(host, &spec("copy", &device, "rw")?)?;
    ensure!(console.contains("8192 sectors of 512, ReadWrite") && console.contains("copied"), "{console}");
    let half = DISK_OCTETS / 2;
    let halves = "cmp <(head -c HALF /tmp/disk.img) <(tail -c HALF /tmp/disk.img)";
    host.sh(&halves.replace("HALF", &half.to_string()), SOON)?.ok()?;
    Ok(())
}

/// The octets that the guest writes for the case `patterns`.
pub fn patterns() -> Vec<u8> {
    let words = (CHUNK / 4) as u32;
    let chunk =
        |n: u32| (0..words).flat_map(move |w| n.wrapping_mul(0x9e37_79b9).wrapping_add(w).to_le_bytes());
    (0..(DISK_OCTETS / CHUNK as u64) as u32).flat_map(chunk).collect()
}

fn written_with_patterns(host: &mut Host, options: &str, geometry: &str) -> Result<()> {
    let device = disk(host, options, "/dev/zero")?;
    let console = says(host, &spec("patterns", &device, "rw")?)?;
    ensure!(console.contains(geometry), "{console}");
    ensure!(console.contains("64 chunks written and read"), "{console}");
    host.put("/tmp/expected", &patterns())?;
    let sums = host.sh("sha256sum </tmp/expected; sha256sum </tmp/disk.img", SOON)?.ok()?.stdout;
    let (expected, found) = sums.trim().split_once('\n').context("two sums")?;
    ensure!(expected == found, "dom0 sees something else: {sums}");
    Ok(())
}

fn many_in_flight(host: &mut Host) -> Result<()> {
    written_with_patterns(host, "", "8192 sectors of 512")
}

fn sectors_of_4096(host: &mut Host) -> Result<()> {
    written_with_patterns(host, "--sector-size 4096", "1024 sectors of 4096")
}

/// The highest number that the guest says to have flushed.
fn flushed_so_far(console: &str) -> u64 {
    let numbers = console.lines().filter_map(|line| line.trim().strip_prefix("flushed ")?.parse().ok());
    numbers.max().unwrap_or_default()
}

fn flushed(host: &mut Host) -> Result<()> {
    let device = disk(host, "", "/dev/zero")?;
    let guest = host.create(&spec("count", &device, "rw")?)?;
    guest.wait_console_until("thirty numbers", SOON, |console| flushed_so_far(console) >= 30)?;
    host.sh(&format!("xl destroy {}", guest.name()), SOON)?.ok()?;
    let told = flushed_so_far(&guest.console());
    let stored = host.sh("od -An -t u8 -N 8 /tmp/disk.img", SOON)?.ok()?.stdout;
    let stored: u64 = stored.trim().parse()?;
    ensure!(told >= 30 && stored >= told, "{told} were flushed, {stored} is stored");
    Ok(())
}

fn read_only(host: &mut Host) -> Result<()> {
    let device = disk(host, "", "/dev/zero")?;
    for (access, extra) in [("ro", ""), ("rw", "data.read-only=on")] {
        let console = says(host, &spec("refused", &device, access)?.extra(extra))?;
        ensure!(console.contains("sectors of 512, ReadOnly"), "{console}");
        let refused = "write: sector 0 cannot be written: the device is read-only";
        ensure!(console.contains(refused), "{console}");
        host.sh("cmp -n 4194304 /tmp/disk.img /dev/zero", SOON)?.ok()?;
    }
    Ok(())
}

fn beyond_the_end(host: &mut Host) -> Result<()> {
    let device = disk(host, "", "/dev/zero")?;
    let console = says(host, &spec("refused", &device, "rw")?)?;
    for line in [
        "write: done",
        "read beyond: 2 sectors from sector 8191 on: the device has 8192",
        "write beyond: 1 sectors from sector 8192 on: the device has 8192",
        "read far beyond: 1 sectors from sector 18446744073709551615 on: the device has 8192",
        "part of a sector: 256 octets at sector 0 are not whole sectors of 512",
        "read the last: done",
    ] {
        ensure!(console.contains(line), "no {line:?} in {console}");
    }
    let size = host.sh("stat -c %s /tmp/disk.img", SOON)?.ok()?.stdout;
    ensure!(size.trim() == DISK_OCTETS.to_string(), "the file has {size} octets now");
    Ok(())
}

fn crashes_with(host: &mut Host, spec: &GuestSpec, line: &str) -> Result<()> {
    let guest = host.create(spec)?;
    let end = guest.wait_gone(SOON)?;
    let console = guest.console();
    ensure!(end == End::Crash, "it ended with {end:?}: {console}");
    ensure!(console.contains(line), "no {line:?} in {console}");
    Ok(())
}

fn missing(host: &mut Host) -> Result<()> {
    let none = GuestSpec::new("block", image("block")?);
    crashes_with(
        host,
        &none,
        "fata: block device data is missing: the domain has 0 disks, none is number 0; its xl configuration needs the \
         line `disk = [ 'format=raw,vdev=xvda,access=rw,target=PATH' ]`",
    )?;
    let device = disk(host, "", "/dev/zero")?;
    let other = spec("copy", &device, "rw")?.extra("data.disk=xvdc");
    let line = "block device data is missing: the domain has 1 disks, none is xvdc;";
    crashes_with(host, &other, line)
}

/// With two disks the first is the manifest's first one, unless a boot parameter says otherwise.
fn chosen_by_name(host: &mut Host) -> Result<()> {
    let device = disk(host, "", "/dev/zero")?;
    let other = "head -c 2M /dev/zero >/tmp/other.img; losetup --find --show /tmp/other.img";
    let other = host.sh(other, SOON)?.ok()?.stdout.trim().to_owned();
    let disks = format!(
        "disk = [ 'format=raw,backendtype=phy,vdev=xvdb,access=rw,target={other}', \
         'format=raw,backendtype=phy,vdev=xvda,access=rw,target={device}' ]"
    );
    for (extra, sectors) in [("", 8192), ("disk=xvdb", 4096), ("data.disk=1", 4096), ("data.disk=vda", 8192)]
    {
        let spec = GuestSpec::new("block", image("block")?).extra("case=copy").extra(extra).config(&disks);
        let console = says(host, &spec)?;
        ensure!(console.contains(&format!("{sectors} sectors of 512")), "{extra}: {console}");
    }
    Ok(())
}

fn failures(console: &str) -> usize {
    console.lines().filter(|line| line.contains("failure ") && line.contains("the device is gone")).count()
}

fn detached(host: &mut Host) -> Result<()> {
    let device = disk(host, "", "/dev/zero")?;
    let guest = host.create(&spec("count", &device, "rw")?)?;
    guest.wait_console("flushed 5", SOON)?;
    let name = guest.name().to_owned();
    host.sh(&format!("xl block-detach {name} xvda"), SOON)?.ok()?;
    guest.wait_console_until("three failures", SOON, |console| failures(console) >= 3)?;
    let before = flushed_so_far(&guest.console());
    // The same disk again: the guest goes on with it.
    host.sh(
        &format!("xl block-attach {name} 'format=raw,backendtype=phy,vdev=xvda,access=rw,target={device}'"),
        SOON,
    )?
    .ok()?;
    guest.wait_console_until("more numbers", SOON, |console| flushed_so_far(console) > before + 3)?;
    leaves(&guest)
}

/// A number below the guest's or the back end's directory of the disk; `None` if it is not there.
pub fn key(host: &Host, path: &str) -> Result<Option<u32>> {
    let value = host.sh(&format!("xenstore-read {path} 2>/dev/null || true"), SOON)?.ok()?.stdout;
    let value = value.trim();
    Ok(if value.is_empty() { None } else { Some(value.parse().with_context(|| format!("{path}: {value}"))?) })
}

/// What dom0's xen-blkback says it can, and what the guest makes of it.
fn offers(host: &mut Host) -> Result<()> {
    let device = disk(host, "", "/dev/zero")?;
    let guest = host.create(&spec("count", &device, "rw")?)?;
    guest.wait_console("flushed 5", SOON)?;
    let console = guest.console();
    ensure!(console.contains("1 queues of 128 requests of ") && console.contains("copied: Yes"), "{console}");
    let number = guest.domid();
    let back = |name: &str| key(host, &format!("/local/domain/0/backend/vbd/{number}/51712/{name}"));
    let front = |name: &str| key(host, &format!("/local/domain/{number}/device/vbd/51712/{name}"));
    ensure!(back("max-ring-page-order")? >= Some(2), "this blkback has smaller rings, and shows nothing");
    ensure!(front("ring-page-order")? == Some(2), "not rings of four pages");
    for page in 0..4 {
        ensure!(front(&format!("ring-ref{page}"))?.is_some(), "page {page} of the ring is not named");
    }
    ensure!(front("ring-ref")?.is_none(), "there is a ring-ref beside ring-ref0");
    ensure!(front("feature-persistent")? == Some(1), "grants are not said to be kept");
    ensure!(back("feature-persistent")? == Some(1), "the back end does not keep them");
    ensure!(back("feature-max-indirect-segments")?.is_some_and(|n| n > 11), "no indirect segments");
    if back("multi-queue-max-queues")?.is_some() {
        ensure!(front("multi-queue-num-queues")? == Some(1), "not one queue");
    }
    leaves(&guest)
}

/// A thousand requests of a page each, all at once: blkback counts those of the ring.
fn neighbours(host: &mut Host) -> Result<()> {
    let device = disk(host, "", "/dev/zero")?;
    let guest = host.create(&spec("neighbours", &device, "rw")?)?;
    guest.wait_console("1024 pages written", SOON)?;
    let statistics = format!("/sys/bus/xen-backend/devices/vbd-{}-51712/statistics", guest.domid());
    let figures = host.sh(&format!("cat {statistics}/wr_req {statistics}/wr_sect"), SOON)?.ok()?.stdout;
    let (requests, sectors) = figures.trim().split_once('\n').context("two numbers")?;
    let (requests, sectors): (u64, u64) = (requests.parse()?, sectors.parse()?);
    ensure!(sectors == DISK_OCTETS / 512, "{sectors} sectors were written");
    // A guest of 16 MiB has requests of 32 pages; of 11 they would be 94.
    ensure!((16..=40).contains(&requests), "{requests} requests for 1024 neighbours");
    let zeros = host.sh("tr -d '\\000' </tmp/disk.img | wc -c", SOON)?.ok()?.stdout;
    ensure!(zeros.trim() == DISK_OCTETS.to_string(), "{zeros} octets are not zero");
    leaves(&guest)
}

/// The file behind the disk grows while the guest uses it.
fn grows(host: &mut Host) -> Result<()> {
    let device = disk(host, "", "/dev/zero")?;
    let guest = host.create(&spec("resize", &device, "rw")?)?;
    guest.wait_console("at work", SOON)?;
    for mib in [6, 9] {
        host.sh(&format!("truncate -s {mib}M /tmp/disk.img && losetup -c {device}"), SOON)?.ok()?;
        let sectors = mib * 2048;
        guest.wait_console(&format!("now {sectors} sectors, the last one is written"), SOON)?;
        let last = host.sh("tail -c 512 /tmp/disk.img | tr -d '\\132' | wc -c", SOON)?.ok()?.stdout;
        ensure!(last.trim() == "0", "the last sector has {last} other octets");
    }
    leaves(&guest)
}

/// dom0's blkback told not to keep grants: then the guest's own pages are granted for each request.
fn without_kept_grants(host: &mut Host) -> Result<()> {
    let keep = |host: &Host, what: &str| {
        host.sh(&format!("echo {what} >/sys/module/xen_blkback/parameters/feature_persistent"), SOON)?.ok()
    };
    keep(host, "N")?;
    let worked = written_with_patterns(host, "", "requests of 64 pages, copied: No");
    // For the tests that follow, whatever came of it.
    keep(host, "Y")?;
    worked
}

pub fn leaves(guest: &Guest) -> Result<()> {
    guest.xl("shutdown")?;
    ensure!(guest.wait_gone(SOON)? == End::PowerOff, "it did not power off: {}", guest.console());
    Ok(())
}

fn example(host: &mut Host) -> Result<()> {
    let device = disk(host, "", "/dev/zero")?;
    for boots in 1..=3 {
        let spec = GuestSpec::new("disk", image("disk")?).memory(8).config(&line(&device, "xvda", "rw"));
        let console = says(host, &spec)?;
        ensure!(console.contains(&format!("boot {boots} with this disk of 4194304 octets")), "{console}");
    }
    Ok(())
}

/// A file of this machine, removed at the end.
struct LocalFile(PathBuf);

impl LocalFile {
    fn new(octets: &[u8]) -> Result<Self> {
        let path = super::temporary("disk.img");
        fs::write(&path, octets)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn disk(&self, more: &str) -> Result<Vec<Disk>> {
        let arg = disks::parse(&format!("data={}{more}", self.0.display())).map_err(anyhow::Error::msg)?;
        disks::of_process(&[arg])
    }
}

impl Drop for LocalFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// The tool itself, with Xen hosts of its own: what the guest wrote is in the file when all of them are gone.
fn file_through_the_tool(_: &mut Host) -> Result<()> {
    let file = LocalFile::new(&[0; 1 << 20])?;
    let run = |disk: &str| -> Result<Output> {
        let mut tool = Command::new(std::env::current_exe()?);
        tool.args(["exec", "--disk", disk]).arg(image("disk")?);
        Ok(tool.stdin(Stdio::null()).output()?)
    };
    let data = format!("data={}", file.path().display());
    let output = run(&data)?;
    let said = text(&output);
    ensure!(output.status.success() && said.contains("boot 1 with this disk of 1048576 octets"), "{said}");
    ensure!(fs::read(file.path())?[..8] == 1_u64.to_le_bytes(), "the count is not in the file: {said}");
    let output = run(&format!("{data},ro"))?;
    let said = text(&output);
    ensure!(!output.status.success() && said.contains("the device is read-only"), "{said}");
    ensure!(fs::read(file.path())?[..8] == 1_u64.to_le_bytes(), "a read-only file was written");
    for (disk, line) in [
        ("data=/no/file", "--disk data=/no/file: there is no such file"),
        ("date=/no/file", "the image has no block device date; it has: data"),
    ] {
        let said = text(&run(disk)?);
        ensure!(said.contains(line), "no {line:?} in {said}");
    }
    Ok(())
}

/// A guest in a QEMU of its own, without Xen: what it says until QEMU ends.
fn in_qemu(name: &str, bus: Bus, append: &str, disks: &[Disk], more: &str) -> Result<String> {
    let machine = match bus {
        Bus::Pci => "q35",
        Bus::Mmio => "microvm,acpi=off",
    };
    let mut qemu = Command::new("timeout");
    // Where it crashes the guest says so at that port, and would stand still without it.
    let exit = "isa-debug-exit,iobase=0xf4,iosize=4";
    qemu.args(["60", "qemu-system-x86_64", "-M", machine, "-cpu", "max", "-m", "64", "-no-reboot"])
        .args(["-nodefaults", "-display", "none", "-serial", "stdio", "-device", exit, "-append", append])
        .args(
            disks::qemu_args(disks, bus)
                .into_iter()
                .map(|arg| if arg.starts_with("virtio-blk") { arg + more } else { arg }),
        )
        .arg("-kernel")
        .arg(image(name)?);
    let output = qemu.stdin(Stdio::null()).output()?;
    Ok(format!("{}\n{}", text(&output), output.status))
}

/// The same table as on Xen, as far as it is about the driver.
fn virtio(bus: Bus) -> Result<()> {
    let zeros = vec![0; DISK_OCTETS as usize];
    for (more, geometry) in [
        ("", "8192 sectors of 512, ReadWrite"),
        (",logical_block_size=4096,physical_block_size=4096", "1024 sectors of 4096, ReadWrite"),
    ] {
        let file = LocalFile::new(&zeros)?;
        let said = in_qemu("block", bus, "case=patterns", &file.disk("")?, more)?;
        ensure!(said.contains(geometry) && said.contains("64 chunks written and read"), "{said}");
        ensure!(fs::read(file.path())? == patterns(), "the file has something else");
    }
    let file = LocalFile::new(&zeros)?;
    let said = in_qemu("block", bus, "case=refused", &file.disk(",ro")?, "")?;
    for line in [
        "8192 sectors of 512, ReadOnly",
        "write: sector 0 cannot be written: the device is read-only",
        "read beyond: 2 sectors from sector 8191 on: the device has 8192",
        "read the last: done",
    ] {
        ensure!(said.contains(line), "no {line:?} in {said}");
    }
    ensure!(fs::read(file.path())? == zeros, "a read-only file was written");
    for boots in 1..=2 {
        let said = in_qemu("disk", bus, "", &file.disk("")?, "")?;
        ensure!(said.contains(&format!("boot {boots} with this disk of 4194304 octets")), "{said}");
    }
    let said = in_qemu("disk", bus, "data.disk=vdb", &file.disk("")?, "")?;
    let line = "block device data is missing: the machine has no virtio disk number 1";
    ensure!(said.contains(line), "no {line:?} in {said}");
    Ok(())
}
