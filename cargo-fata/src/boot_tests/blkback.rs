//! What only dom0's own blkback shows: several queues, discard, sectors that it cannot read, and a back end that closes and comes
//! back under load.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::BootTest;
use super::block::{key, leaves, patterns, spec};
use crate::ui;
use crate::xen_host::Host;
use crate::xen_host::guest::Guest;

const SOON: Duration = Duration::from_secs(60);
const SLOW: Duration = Duration::from_secs(120);
/// As the disk of [`block`](super::block).
const DISK_KIB: u64 = 4096;
/// Chunks that the guest's tasks have written and read before something is done to the back end, and after it.
const AT_WORK: u64 = 100;

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::blkback::two_queues", 180, |h| queues(h, 2, 2, 2)),
    BootTest::new("boot::blkback::more_queues_than_are_offered", 180, |h| queues(h, 3, 8, 3)),
    BootTest::new("boot::blkback::discarded_is_zeros_and_takes_no_room", 120, discard),
    BootTest::new("boot::blkback::bad_sectors_are_told_one_by_one", 180, bad_sectors),
    BootTest::new("boot::blkback::closes_and_comes_back_under_load", 300, closes),
    BootTest::new("boot::blkback::closes_before_its_medium_has_ended", 300, closes_early),
    BootTest::new("boot::blkback::its_driver_is_bound_anew_under_load", 300, bound_anew).long(),
];

/// A sparse file behind a loop device in dom0; gives the device's name.
fn sparse(host: &Host) -> Result<String> {
    let script = format!(
        "losetup -D; rm -f /tmp/disk.img; truncate -s {DISK_KIB}K /tmp/disk.img
        losetup --find --show /tmp/disk.img"
    );
    Ok(host.sh(&script, SOON)?.ok()?.stdout.trim().to_owned())
}

/// Chunks that the tasks of a guest have read back as they wrote them.
fn right(console: &str) -> u64 {
    let counts =
        console.lines().filter_map(|line| line.strip_suffix(" chunks were right")?.trim().parse().ok());
    counts.max().unwrap_or_default()
}

/// Waits for the tasks to do some more.
fn works_on(guest: &Guest) -> Result<()> {
    let before = right(&guest.console());
    guest.wait_console_until("more work done", SLOW, |console| right(console) >= before + AT_WORK)?;
    Ok(())
}

/// Has the tasks end, and looks at what they have left.
fn ends_well(host: &Host, guest: Guest) -> Result<()> {
    guest.type_line("end")?;
    guest.wait_console("all 64 chunks are right", SLOW)?;
    leaves(&guest)?;
    guest.destroy()?;
    host.put("/tmp/expected", &patterns())?;
    host.sh("cmp /tmp/expected /tmp/disk.img", SOON)?.ok().context("dom0 sees something else")?;
    Ok(())
}

/// blkback offers as many queues as dom0 has processors, unless it is told otherwise.
const OFFER: &str = "cd /sys/module/xen_blkback/parameters; cat max_queues; echo COUNT > max_queues";

fn queues(host: &mut Host, offered: u32, asked: u32, expected: u32) -> Result<()> {
    let before = host.sh(&OFFER.replace("COUNT", &offered.to_string()), SOON)?.ok()?.stdout;
    let result = works_on_queues(host, asked, expected);
    host.sh(&OFFER.replace("COUNT", before.trim()), SOON)?.ok()?;
    result
}

fn works_on_queues(host: &mut Host, asked: u32, expected: u32) -> Result<()> {
    let device = sparse(host)?;
    let guest = host.create(&spec("tasks", &device, "rw")?.extra(&format!("queues={asked}")))?;
    guest.wait_console(&format!("{expected} queues of 128 requests of "), SOON)?;
    works_on(&guest)?;
    let number = guest.domid();
    let front = |name: &str| key(host, &format!("/local/domain/{number}/device/vbd/51712/{name}"));
    ensure!(front("multi-queue-num-queues")? == Some(expected), "not {expected} queues are said to be there");
    for queue in 0..expected {
        ensure!(front(&format!("queue-{queue}/ring-ref3"))?.is_some(), "ring {queue} has no four pages");
    }
    // How often each ring's channel has told blkback of requests.
    let interrupts = "awk '$NF == \"blkif-backend\" { print $2 }' /proc/interrupts";
    let said = host.sh(interrupts, SOON)?.ok()?.stdout;
    let counts: Vec<u64> = said.lines().filter_map(|line| line.parse().ok()).collect();
    ensure!(counts.len() == expected as usize, "{} channels: {said}", counts.len());
    ensure!(counts.iter().all(|count| *count >= 10), "not all rings are used: {said}");
    ends_well(host, guest)
}

/// Octets of memory that the file behind the disk takes, in KiB.
fn room(host: &Host) -> Result<u64> {
    let said = host.sh("du -k /tmp/disk.img", SOON)?.ok()?.stdout;
    Ok(said.split_whitespace().next().unwrap_or_default().parse()?)
}

fn discard(host: &mut Host) -> Result<()> {
    let device = sparse(host)?;
    for (option, expected) in [("", DISK_KIB / 2), (",no-discard", DISK_KIB)] {
        let guest = host.create(&spec("discard", &device, &format!("rw{option}"))?)?;
        guest.wait_console("filled", SOON)?;
        let before = room(host)?;
        ensure!(before == DISK_KIB, "the whole disk is written, and takes {before} KiB");
        guest.type_line("go")?;
        let zeros = (DISK_KIB - expected) << 10;
        let read = format!("{zeros} octets are zeros, {} as written", expected << 10);
        let console = guest.wait_console(&read, SOON)?;
        let refused = console.contains("discard: the device does not do this (sector 2048)");
        ensure!(refused != option.is_empty(), "{console}");
        let after = room(host)?;
        ensure!(after == expected, "{after} KiB are left of {before}, not {expected}: {}", guest.console());
        leaves(&guest)?;
        guest.destroy()?;
    }
    Ok(())
}

/// A disk of pages of `Z`, two of which the device mapper gives errors for: one alone, and one between two requests' ends.
fn bad_sectors(host: &mut Host) -> Result<()> {
    let device = sparse(host)?;
    let bad = [1000, 4088];
    let table = format!(
        "0 1000 linear {device} 0\n1000 8 error\n1008 3080 linear {device} 1008\n4088 8 error\n4096 4096 linear {device} 4096\n"
    );
    host.put("/tmp/table", table.as_bytes())?;
    let script = format!(
        "export DM_DISABLE_UDEV=1; modprobe dm-mod; tr '\\000' Z </dev/zero | head -c {DISK_KIB}K >/tmp/content
        dd if=/tmp/content of={device} bs=64k conv=fsync status=none
        dmsetup create bad /tmp/table && dmsetup mknodes bad; ls /dev/mapper/bad"
    );
    host.sh(&script, SOON)?.ok().context("the device mapper does not")?;
    let result = reads_around(host, &bad);
    host.sh("DM_DISABLE_UDEV=1 dmsetup remove --retry bad", SOON)?.ok()?;
    result
}

fn reads_around(host: &mut Host, bad: &[u32]) -> Result<()> {
    let guest = host.create(&spec("sectors", "/dev/mapper/bad", "rw")?)?;
    let console = guest.wait_console("1022 pages are right, 2 failed", SOON)?;
    for what in ["read", "write"] {
        let failures = console.lines().filter(|line| line.starts_with(&format!("{what} "))).count();
        ensure!(failures == bad.len(), "{failures} of {what}: {console}");
        for sector in bad {
            let line = format!("{what} {sector}: the device failed at sector {sector}, status -1");
            ensure!(console.lines().any(|l| l == line), "no {line:?} in {console}");
        }
    }
    leaves(&guest)?;
    guest.destroy()
}

/// Requests that were in flight when a back end went away, as the guest has told so far.
fn in_flight(console: &str) -> u64 {
    let counts = console
        .lines()
        .filter_map(|line| line.split_once("vbd51712: ")?.1.strip_suffix(" requests were in flight"));
    counts.filter_map(|count| count.parse::<u64>().ok()).sum()
}

/// How often the guest's driver was connected.
fn connections(console: &str) -> usize {
    console.lines().filter(|line| line.contains("vbd51712: connected to domain ")).count()
}

/// As a back end that closes and is started anew by its host: its state is Closing while the device stays attached.
fn closes(host: &mut Host) -> Result<()> {
    let script = "xenstore-write BACK/state 5";
    let console = comes_back(host, script)?;
    ensure!(
        !console.contains("a flush tells of a loss"),
        "a back end that closed has lost nothing: {console}"
    );
    Ok(())
}

/// The medium stands still while the back end closes: Linux's says that it has, and uses the pages of what is in flight all the same.
/// So it is for longer than a few attempts to connect take.
fn closes_early(host: &mut Host) -> Result<()> {
    let device = sparse(host)?;
    let sectors = DISK_KIB * 2;
    let script = format!(
        "export DM_DISABLE_UDEV=1; modprobe dm-mod
        echo 0 {sectors} linear {device} 0 | dmsetup create still && dmsetup mknodes still"
    );
    host.sh(&script, SOON)?.ok().context("the device mapper does not")?;
    let script = "export DM_DISABLE_UDEV=1; dmsetup suspend --noflush --nolockfs still; sleep 0.5
        xenstore-write BACK/state 5; sleep 2; dmsetup resume still";
    let result = comes_back_from(host, "/dev/mapper/still", script, &["Y", "N", "Y"]);
    host.sh("export DM_DISABLE_UDEV=1; dmsetup resume still; dmsetup remove --retry still", SOON)?.ok()?;
    let console = result?;
    ensure!(!console.contains("holds pages of requests"), "it was not waited for: {console}");
    Ok(())
}

/// blkback's driver is taken from the device and given back, without a word to the guest: the kernel's way to another version of it.
fn bound_anew(host: &mut Host) -> Result<()> {
    let script = "cd /sys/bus/xen-backend/drivers/vbd; echo vbd-DOMID-51712 > unbind; sleep 0.5; echo vbd-DOMID-51712 > bind";
    comes_back(host, script).map(drop)
}

/// Does something to the back end of a disk in use, several times, with kept grants and without; everything is as it was written.
fn comes_back(host: &mut Host, script: &str) -> Result<String> {
    let device = sparse(host)?;
    comes_back_from(host, &device, script, &["Y", "N", "N", "Y", "Y"])
}

/// With grants kept or not in each round.
fn comes_back_from(host: &mut Host, device: &str, script: &str, rounds: &[&str]) -> Result<String> {
    let guest = host.create(&spec("tasks", device, "rw")?)?;
    let result = goes_and_comes(host, &guest, script, rounds);
    keep_grants(host, "Y")?;
    result?;
    let console = guest.console();
    ends_well(host, guest)?;
    Ok(console)
}

/// Tells blkback whether to keep grants from the next connection on.
fn keep_grants(host: &Host, what: &str) -> Result<()> {
    let parameter = "/sys/module/xen_blkback/parameters/feature_persistent";
    host.sh(&format!("echo {what} >{parameter}"), SOON)?.ok()?;
    Ok(())
}

fn goes_and_comes(host: &Host, guest: &Guest, script: &str, rounds: &[&str]) -> Result<()> {
    let number = guest.domid().to_string();
    let back = format!("/local/domain/0/backend/vbd/{number}/51712");
    let script = script.replace("DOMID", &number).replace("BACK", &back);
    works_on(guest)?;
    for (round, keep) in rounds.iter().enumerate() {
        keep_grants(host, keep)?;
        let before = connections(&guest.console());
        host.sh(&script, SOON)?.ok()?;
        works_on(guest).with_context(|| format!("round {round}"))?;
        ui::say(format!("round {round}: {} connections more", connections(&guest.console()) - before));
        let online = key(host, &format!("{back}/online"))?;
        ensure!(online == Some(1), "the device was detached");
    }
    let console = guest.console();
    ui::say(format!("{} requests were in flight at the ends", in_flight(&console)));
    ensure!(in_flight(&console) > 0, "no end had requests in flight: {console}");
    Ok(())
}
