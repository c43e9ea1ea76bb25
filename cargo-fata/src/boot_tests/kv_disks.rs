//! The key-value store on disks with bad sectors, that fail, are full, go away, or are read-only: the errors that are stated, and what is
//! there afterwards.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{BootTest, kv, kv_damage};
use crate::ui;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec};

const SOON: Duration = Duration::from_secs(60);
/// Thousands of answers to an emulated dom0; a disk that is tried every eight seconds.
const SLOW: Duration = Duration::from_secs(120);
const KV: &str = "10.0.2.15";
/// What clients are told.
const FAILS: &str = "MISCONF Errors writing to the disk";
const READ_ONLY: &str = "MISCONF The disk is read-only";

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::kv_disks::bad_sectors_are_passed_over", 240, bad_sectors),
    BootTest::new("boot::kv_disks::what_bad_sectors_leave_is_served", 300, kv_damage::serves_what_is_whole)
        .long(),
    BootTest::new("boot::kv_disks::a_disk_that_fails_and_is_mended", 300, fails),
    BootTest::new("boot::kv_disks::a_full_disk_takes_deletes", 240, full),
    BootTest::new("boot::kv_disks::detached_under_load_and_attached_again", 300, detached),
    BootTest::new("boot::kv_disks::a_read_only_disk_is_read", 180, read_only).long(),
];

/// The device mapper's device over the loop device.
pub const MAPPED: &str = "/dev/mapper/kv";
/// Sectors of the disk, of [`kv::new_disk`].
pub const SECTORS: u32 = 131_072;
/// Of a segment of the store on such a disk, the first of which begins at this sector too.
const SEGMENT: u32 = 128;

/// A command by dom0's redis-cli; its answer, or nothing where the connection ends before.
pub fn say(host: &Host, command: &str) -> Result<String> {
    let said =
        host.sh(&format!("timeout 40 redis-cli -h {KV} {command} 2>&1"), SLOW)?.stdout.trim().to_owned();
    Ok(if said.starts_with("Error: Server closed") { String::new() } else { said })
}

pub fn says(host: &Host, guest: &Guest, command: &str, answer: &str) -> Result<()> {
    let said = say(host, command)?;
    ensure!(said == answer, "{command}: {said:?}, not {answer:?}\n{}", guest.console());
    Ok(())
}

pub fn refuses(host: &Host, guest: &Guest, command: &str, words: &str) -> Result<()> {
    let said = say(host, command)?;
    ensure!(said.starts_with(words), "{command}: {said:?}, not {words:?}\n{}", guest.console());
    Ok(())
}

/// Says a command until it is done, which takes as long as the store waits before it tries the disk again.
fn insist(host: &Host, guest: &Guest, command: &str) -> Result<()> {
    let since = Instant::now();
    loop {
        let said = say(host, command)?;
        if said == "OK" {
            return Ok(());
        }
        let console = guest.console();
        ensure!(said.is_empty() || said.contains("MISCONF"), "{command}: {said}\n{console}");
        ensure!(since.elapsed() < SOON, "{command}: it does not get well: {console}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Has the device mapper show the loop device so: lines of a table, in which `LOOP` stands for it.
pub fn map(host: &Host, device: &str, table: &str) -> Result<()> {
    host.put("/tmp/table", table.replace("LOOP", device).as_bytes())?;
    let script = "export DM_DISABLE_UDEV=1; modprobe dm-mod
        if [ -e /dev/mapper/kv ]; then
            dmsetup suspend kv && dmsetup load kv /tmp/table && dmsetup resume kv
        else
            dmsetup create kv /tmp/table && dmsetup mknodes kv
        fi; ls /dev/mapper/kv";
    host.sh(script, SOON)?.ok().context("the device mapper does not")?;
    Ok(())
}

pub fn unmap(host: &Host) -> Result<()> {
    host.sh("DM_DISABLE_UDEV=1 dmsetup remove --retry kv", SOON)?.ok()?;
    Ok(())
}

pub fn whole() -> String {
    format!("0 {SECTORS} linear LOOP 0")
}

/// Of three segments one has a bad header, and one bad sectors in its middle.
fn with_holes() -> String {
    let (mut lines, mut at) = (Vec::new(), 0);
    for (segment, offset) in
        (1..120).filter_map(|n| [None, Some((n, 0)), Some((n, SEGMENT / 2))][n as usize % 3])
    {
        let bad = SEGMENT + segment * SEGMENT + offset;
        lines.extend([format!("{at} {} linear LOOP {at}", bad - at), format!("{bad} 8 error")]);
        at = bad + 8;
    }
    lines.push(format!("{at} {} linear LOOP {at}", SECTORS - at));
    lines.join("\n")
}

/// Values of 4000 octets, each of which says which it is.
const COUNT: u32 = 300;
const FILL: &str = r#"busybox awk 'BEGIN { for (n = 0; n < COUNT; n++) { k = "fill:" n
    printf "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$4000\r\n%04000d\r\n", length(k), k, n } }' |
    redis-cli -h 10.0.2.15 --pipe 2>&1"#;
const FILLED: &str = r#"cmp <(busybox awk 'BEGIN { for (n = 0; n < COUNT; n++) printf "GET fill:%d\r\n", n
        printf "QUIT\r\n" }' | timeout 60 nc 10.0.2.15 6379) \
    <(busybox awk 'BEGIN { for (n = 0; n < COUNT; n++) printf "$4000\r\n%04000d\r\n", n; printf "+OK\r\n" }') && echo same"#;

/// Sets them.
pub fn fill(host: &Host, guest: &Guest) -> Result<()> {
    let said = host.sh(&FILL.replace("COUNT", &COUNT.to_string()), SLOW)?.ok()?.stdout;
    ensure!(said.contains(&format!("errors: 0, replies: {COUNT}")), "{said}\n{}", guest.console());
    Ok(())
}

/// Each of them is there as it was set.
pub fn is_filled(host: &Host, guest: &Guest) -> Result<()> {
    let said = host.sh(&FILLED.replace("COUNT", &COUNT.to_string()), SLOW)?;
    ensure!(said.stdout.trim() == "same", "{said:?}\n{}", guest.console());
    Ok(())
}

/// The log goes on elsewhere; nobody is told of an error.
fn bad_sectors(host: &mut Host) -> Result<()> {
    let device = kv::new_disk(host)?;
    map(host, &device, &whole())?;
    let guest = kv::start(host, MAPPED, "durability=every-command")?;
    says(host, &guest, "set first 1", "OK")?;
    map(host, &device, &with_holes())?;
    let bad = SEGMENT + 2 * SEGMENT + SEGMENT / 2;
    let read = format!("dd if={MAPPED} of=/dev/null bs=512 skip={bad} count=1 2>&1");
    ensure!(host.sh(&read, SOON)?.status != 0, "no sector is bad");
    fill(host, &guest)?;
    is_filled(host, &guest)?;
    says(host, &guest, "set last 1", "OK")?;
    guest.wait_console("writes met bad sectors, and were made elsewhere", SOON)?;
    guest.destroy()?;
    // On the disk as it is, and on one that is whole again.
    for table in [with_holes(), whole()] {
        map(host, &device, &table)?;
        let guest = kv::start(host, MAPPED, "durability=every-command")?;
        is_filled(host, &guest)?;
        says(host, &guest, "mget first last", "1\n1")?;
        says(host, &guest, "dbsize", &(COUNT + 2).to_string())?;
        guest.destroy()?;
    }
    unmap(host)
}

/// All of the disk fails under a load; it works again for the same guest, and for another one.
fn fails(host: &mut Host) -> Result<()> {
    let device = kv::new_disk(host)?;
    map(host, &device, &whole())?;
    let guest = kv::start(host, MAPPED, "durability=every-command")?;
    says(host, &guest, "set before 1", "OK")?;
    let break_it =
        |host: &Host| under_load(host, &guest, || map(host, &device, &format!("0 {SECTORS} error")));
    break_it(host)?;
    map(host, &device, &whole())?;
    insist(host, &guest, "set mended 1")?;
    guest.wait_console("what was changed is on the disk again", SOON)?;
    let acknowledged = break_it(host)?;
    guest.destroy()?;
    map(host, &device, &whole())?;
    let guest = kv::start(host, MAPPED, "durability=every-command")?;
    what_was_acknowledged_is_there(host, &guest, acknowledged, &["before", "mended"])?;
    guest.destroy()?;
    unmap(host)
}

/// Takes the disk away while clients write; how many batches were acknowledged until then. The guest says to changes the stated
/// error, to reads the answer.
fn under_load(host: &Host, guest: &Guest, take_away: impl FnOnce() -> Result<()>) -> Result<u64> {
    kv::write(host)?;
    std::thread::sleep(Duration::from_secs(2));
    take_away()?;
    let acknowledged = kv::end_writers(host)?;
    // The first change may be the one that finds out.
    let since = Instant::now();
    while !say(host, "set probe 1")?.starts_with(FAILS) {
        ensure!(since.elapsed() < SOON, "changes are not refused: {}", guest.console());
    }
    refuses(host, guest, "set refused 1", FAILS)?;
    refuses(host, guest, "del before", FAILS)?;
    says(host, guest, "get before", "1")?;
    says(host, guest, "ping", "PONG")?;
    ensure!(say(host, "info persistence")?.contains("aof_last_write_status:err"), "it says that all is well");
    Ok(acknowledged)
}

/// Nothing that was acknowledged is lost, no batch is there in parts, and nothing is there that nobody has asked for.
fn what_was_acknowledged_is_there(host: &Host, guest: &Guest, batches: u64, others: &[&str]) -> Result<()> {
    ensure!(batches > 0, "no batch was acknowledged");
    kv::all_is_there(host, guest)?;
    for key in others {
        says(host, guest, &format!("get {key}"), "1")?;
    }
    says(host, guest, "exists refused", "0")?;
    let keys: u64 = say(host, "dbsize")?.parse()?;
    // What was under way and not answered may be there.
    let (least, more) = (3 * batches + others.len() as u64, 3 * u64::from(kv::WRITERS) + 1);
    ensure!((least..=least + more).contains(&keys), "{keys} keys of {batches} batches");
    ui::say(format!("all of {batches} acknowledged batches are there"));
    Ok(())
}

/// Sets values of 100,000 octets until one is refused, or not answered; says how many there were.
const FILL_UP: &str = r#"exec 3<>/dev/tcp/10.0.2.15/6379; v=$(head -c 100000 /dev/zero | tr '\0' v); n=0
    while printf '*3\r\n$3\r\nSET\r\n$6\r\nkey%03d\r\n$100000\r\n%s\r\n' $n "$v" >&3 && read -t 30 -r answer <&3 &&
        [ "$answer" = +OK$(printf '\r') ]; do n=$((n + 1)); done; echo $n"#;
const LENGTHS: &str = r#"(for n in $(seq FROM TO); do printf 'STRLEN key%03d\r\n' $n; done; printf 'QUIT\r\n') |
    timeout 60 nc 10.0.2.15 6379 | tr -d '\r' | sort | uniq -c | awk '{ print $1 "x" $2 }'"#;

fn full(host: &mut Host) -> Result<()> {
    let device = kv::new_disk_of(host, "8M")?;
    let guest = kv::start(host, &device, "durability=every-command")?;
    says(host, &guest, "rpush list a b c", "3")?;
    let kept: u32 = host.sh(FILL_UP, SLOW)?.ok()?.stdout.trim().parse()?;
    ensure!((10..100).contains(&kept), "{kept} values of 100,000 octets on 8 MiB: {}", guest.console());
    refuses(host, &guest, "set more 1", FAILS)?;
    refuses(host, &guest, "append key000 v", FAILS)?;
    says(host, &guest, "strlen key000", "100000")?;
    says(host, &guest, "lpop list", "a")?;
    says(host, &guest, "del key000 key001 key002 key003 key004 key005", "6")?;
    // What the log held of them is of no use any more, and is made room of.
    insist(host, &guest, "set more 1")?;
    guest.destroy()?;
    let guest = kv::start(host, &device, "durability=every-command")?;
    let lengths = LENGTHS.replace("FROM", "0").replace("TO", &(kept - 1).to_string());
    let said = host.sh(&lengths, SLOW)?.ok()?.stdout;
    let wanted = format!("1x+OK\n6x:0\n{}x:100000", kept - 6);
    ensure!(said.trim() == wanted, "{said}, not {wanted}\n{}", guest.console());
    says(host, &guest, "get more", "1")?;
    says(host, &guest, "llen list", "2")?;
    // The one that was refused was not answered; it may be there, others may not.
    let keys: u32 = say(host, "dbsize")?.parse()?;
    let least = kept - 6 + 2;
    ensure!((least..=least + 1).contains(&keys), "{keys} keys, {kept} kept");
    guest.destroy()
}

fn detached(host: &mut Host) -> Result<()> {
    let device = kv::new_disk(host)?;
    let guest = kv::start(host, &device, "durability=every-command")?;
    let name = guest.name().to_owned();
    let attach =
        format!("xl block-attach {name} 'format=raw,backendtype=phy,vdev=xvda,access=rw,target={device}'");
    says(host, &guest, "set before 1", "OK")?;
    let mut acknowledged = 0;
    for round in ["first", "second"] {
        acknowledged = under_load(host, &guest, || {
            host.sh(&format!("xl block-detach {name} xvda"), SLOW)?.ok()?;
            Ok(())
        })?;
        host.sh(&attach, SLOW)?.ok()?;
        insist(host, &guest, &format!("set {round} 1"))?;
    }
    guest.destroy()?;
    let guest = kv::start(host, &device, "durability=every-command")?;
    what_was_acknowledged_is_there(host, &guest, acknowledged, &["before", "first", "second"])?;
    guest.destroy()
}

fn read_only(host: &mut Host) -> Result<()> {
    let device = kv::new_disk(host)?;
    let disk = format!(
        "disk = [ 'format=raw,backendtype=phy,vdev=xvda,access=ro,script=/fata/block,target={device}' ]"
    );
    let spec = GuestSpec::new("kv", image("kv")?).memory(64).network().config(&disk);
    let blank = host.create(&spec)?;
    blank.wait_gone(SOON)?;
    let console = blank.console();
    ensure!(console.contains("the disk is read-only, and holds no store"), "{console}");
    blank.destroy()?;
    let guest = kv::start(host, &device, "durability=every-command")?;
    says(host, &guest, "mset a 1 b 2", "OK")?;
    guest.destroy()?;
    let sum = |host: &Host| Ok::<_, anyhow::Error>(host.sh("sha256sum </tmp/kv.img", SOON)?.ok()?.stdout);
    let before = sum(host)?;
    let guest = host.create(&spec)?;
    guest.wait_console("the disk is read-only: commands that change data are refused", SOON)?;
    guest.wait_console("link up", SOON)?;
    says(host, &guest, "get a", "1")?;
    for command in ["set a 2", "del a", "flushall", "save"] {
        refuses(host, &guest, command, READ_ONLY)?;
    }
    says(host, &guest, "mget a b", "1\n2")?;
    guest.xl("shutdown")?;
    guest.wait_gone(SOON)?;
    guest.destroy()?;
    ensure!(sum(host)? == before, "a read-only disk was written");
    Ok(())
}
