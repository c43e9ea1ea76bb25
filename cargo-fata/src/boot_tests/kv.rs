//! The key-value store with a disk of dom0's: what it has acknowledged is there after the guest was destroyed.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{BootTest, kv_destroys};
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec};

const SOON: Duration = Duration::from_secs(60);
/// Thousands of answers to an emulated dom0.
const SLOW: Duration = Duration::from_secs(120);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::kv::acknowledged_outlives_destroy", 240, |h| kv_destroys::outlives(h, 3)),
    BootTest::new("boot::kv::acknowledged_outlives_destroy_often", 7200, |h| {
        kv_destroys::outlives(h, kv_destroys::often())
    })
    .long(),
    BootTest::new("boot::kv::leaves_in_order", 120, leaves),
    BootTest::new("boot::kv::least_memory", 240, least_memory),
];

const SET_UP: &str = "losetup -D; rm -f /tmp/kv.img /tmp/writer* /tmp/done*; truncate -s SIZE /tmp/kv.img
    losetup --find --show /tmp/kv.img";
/// Clients that write at once.
pub const WRITERS: u32 = 3;
/// Each sets one batch of three keys after the other until the guest is gone, and notes how many were acknowledged.
const WRITE: &str = r#"for w in $(seq WRITERS); do nohup bash -c '
    w='$w'; n=$(tail -n 1 /tmp/done$w 2>/dev/null || echo 0); exec 3<>/dev/tcp/10.0.2.15/6379
    while printf "MSET a$w:%d v%d b$w:%d v%d c$w:%d v%d\r\n" $n $n $n $n $n $n >&3 && read -t 5 -r answer <&3; do
        [ "$answer" = +OK$(printf "\r") ] || break
        n=$((n + 1)); echo $n >> /tmp/done$w
    done' >/dev/null 2>&1 & echo $! > /tmp/writer$w; done"#;
const END_WRITERS: &str = "for w in $(seq WRITERS); do
    kill $(cat /tmp/writer$w) 2>/dev/null; while [ -e /proc/$(cat /tmp/writer$w) ]; do sleep 0.05; done
    done; tail -q -n 1 /tmp/done* 2>/dev/null | awk '{ sum += $1 } END { print sum + 0 }'";
/// Reads back what each writer was told, and the batch that was under way.
const READ: &str = r#"for w in $(seq WRITERS); do
    to=$(tail -n 1 /tmp/done$w 2>/dev/null || echo 0)
    lines() { busybox awk -v w=$w -v to=$to "BEGIN { for (n = 0; n < to; n++) { $1 } }"; }
    (lines 'printf "MGET a%s:%d b%s:%d c%s:%d\r\n", w, n, w, n, w, n'; printf 'QUIT\r\n') |
        timeout 100 nc 10.0.2.15 6379 > /tmp/found
    (lines 'l = length("v" n); printf "*3\r\n$%d\r\nv%d\r\n$%d\r\nv%d\r\n$%d\r\nv%d\r\n", l, n, l, n, l, n'
        printf '+OK\r\n') > /tmp/wanted
    cmp /tmp/found /tmp/wanted || { diff /tmp/found /tmp/wanted | head -n 8; exit 1; }
    last=$(redis-cli -h 10.0.2.15 mget a$w:$to b$w:$to c$w:$to | tr '\n' ' ')
    [ "$last" = "   " ] || [ "$last" = "v$to v$to v$to " ] || { echo "a batch in parts: $last"; exit 1; }
    done; echo all of it"#;

/// A blank disk in dom0; gives the name of its device.
pub fn new_disk(host: &Host) -> Result<String> {
    new_disk_of(host, "64M")
}

/// The same of another size, as truncate takes it.
pub fn new_disk_of(host: &Host, size: &str) -> Result<String> {
    Ok(host.sh(&SET_UP.replace("SIZE", size), SOON)?.ok()?.stdout.trim().to_owned())
}

/// The store on a disk, ready.
pub fn start(host: &mut Host, device: &str, extra: &str) -> Result<Guest> {
    start_with(host, 64, Some(device), extra)
}

/// The same in so much memory, with a disk or without.
fn start_with(host: &mut Host, memory_mb: u32, device: Option<&str>, extra: &str) -> Result<Guest> {
    let mut spec = GuestSpec::new("kv", image("kv")?).memory(memory_mb).network().extra(extra);
    if let Some(device) = device {
        spec = spec.config(&format!(
            "disk = [ 'format=raw,backendtype=phy,vdev=xvda,access=rw,script=/fata/block,target={device}' ]"
        ));
    }
    let guest = host.create(&spec)?;
    guest.wait_console(
        if device.is_some() { "kv: port 6379; on its disk are " } else { "kv: port 6379; without" },
        SOON,
    )?;
    guest.wait_console("link up", SOON)?;
    Ok(guest)
}

/// A script for all writers.
fn with_writers(script: &str) -> String {
    script.replace("WRITERS", &WRITERS.to_string())
}

/// Starts clients that write for as long as the guest answers.
pub fn write(host: &Host) -> Result<()> {
    host.sh(&with_writers(WRITE), SOON)?.ok()?;
    Ok(())
}

/// Ends them; how many batches were acknowledged until now.
pub fn end_writers(host: &Host) -> Result<u64> {
    Ok(host.sh(&with_writers(END_WRITERS), SOON)?.ok()?.stdout.trim().parse()?)
}

/// All that was acknowledged is there, and no batch in parts.
pub fn all_is_there(host: &Host, guest: &Guest) -> Result<()> {
    let said = host.sh(&with_writers(READ), SLOW)?;
    let is_right = said.status == 0 && said.stdout.trim() == "all of it";
    ensure!(is_right, "{said:?}; {}", guest.console());
    Ok(())
}

/// Without a flush for each command, what was written is there after a shutdown in order.
fn leaves(host: &mut Host) -> Result<()> {
    let device = new_disk(host)?;
    let guest = start(host, &device, "durability=none")?;
    let script = r"exec 3<>/dev/tcp/10.0.2.15/6379; printf 'MSET a 1 b 2\r\nRPUSH list x y\r\n' >&3
        read -t 20 -r first <&3; read -t 20 -r second <&3; echo $first $second";
    let said = host.sh(script, SOON)?.ok()?.stdout;
    ensure!(said.contains("+OK") && said.contains(":2"), "{said}");
    guest.xl("shutdown")?;
    let end = guest.wait_gone(SOON)?;
    ensure!(end == End::PowerOff, "it {end}: {}", guest.console());
    guest.destroy()?;
    let guest = start(host, &device, "")?;
    let script = r"exec 3<>/dev/tcp/10.0.2.15/6379; printf 'GET b\r\nLLEN list\r\n' >&3
        for n in 1 2 3; do read -t 20 -r line <&3; echo $line; done";
    let said = host.sh(script, SOON)?.ok()?.stdout.replace('\r', "");
    ensure!(said.trim() == "$1\n2\n:2", "{said:?}: {}", guest.console());
    Ok(())
}

/// The least memory in which it is of use, MiB: without a disk and with one.
const LEAST: [u32; 2] = [12, 12];
/// Values that are stored and come back, octets.
const VALUE: u32 = 1_000_000;
const VALUES: u32 = 3;
/// Answers what does not come back.
const STORE: &str = "head -c OCTETS /dev/urandom > /tmp/value
    for n in $(seq VALUES); do timeout 60 redis-cli -h 10.0.2.15 -x set value$n < /tmp/value; done | sort | uniq -c
    for n in $(seq VALUES); do timeout 60 redis-cli -h 10.0.2.15 get value$n | head -c OCTETS | cmp - /tmp/value; done 2>&1";

/// Stores a few megabytes in a small guest, and asks for them.
fn stores(host: &Host, guest: &Guest) -> Result<()> {
    let script = STORE.replace("OCTETS", &VALUE.to_string()).replace("VALUES", &VALUES.to_string());
    let said = host.sh(&script, SLOW)?.ok()?.stdout;
    ensure!(said.trim() == format!("{VALUES} OK"), "{said}\n{}", guest.console());
    ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
    Ok(())
}

fn least_memory(host: &mut Host) -> Result<()> {
    let guest = start_with(host, LEAST[0], None, "")?;
    stores(host, &guest)?;
    guest.destroy()?;
    let device = new_disk(host)?;
    let guest = start_with(host, LEAST[1], Some(&device), "durability=every-command")?;
    stores(host, &guest)?;
    // It starts again with what it has.
    guest.destroy()?;
    let guest = start_with(host, LEAST[1], Some(&device), "")?;
    let said = host.sh("redis-cli -h 10.0.2.15 strlen value1", SOON)?.ok()?.stdout;
    ensure!(said.trim() == VALUE.to_string(), "{said}: {}", guest.console());
    Ok(())
}
