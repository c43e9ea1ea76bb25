//! The key-value store on a disk that cannot read a sector of what it holds: what is whole is served, and the disk is left as it is.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::kv;
use super::kv_disks::{MAPPED, SECTORS, fill, is_filled, map, refuses, say, says, unmap, whole};
use crate::xen_host::Host;
use crate::xen_host::guest::Guest;

const SOON: Duration = Duration::from_secs(60);
const DAMAGED: &str = "MISCONF The disk is damaged";
/// What the value consists of whose place is looked for on the disk: nothing else there has it.
const MARK: &str = "here-will-be-a-bad-sector-";
/// As many of them, in some ten sectors.
const MARKS: usize = 200;
/// Values of so many octets before and behind it, more than a segment of the store has: what stands near it on the disk is theirs.
const APART: usize = 150_000;
const SET_APART: &str = "for n in SIDE; do head -c OCTETS /dev/zero | tr '\\000' p | timeout 40 redis-cli -h 10.0.2.15 -x set apart$n; done";

/// The sectors in the middle of each place where the value is on the disk: one place, or more if it was moved.
fn bad_sectors(host: &Host) -> Result<Vec<u64>> {
    let said = host.sh(&format!("grep -abo {MARK} /tmp/kv.img | cut -d: -f1"), SOON)?.ok()?.stdout;
    let offsets = said.lines().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    ensure!(offsets.len() >= MARKS, "the value is on the disk in {} parts", offsets.len());
    let middles = offsets.chunks(MARKS).filter_map(|place| place.get(MARKS / 2));
    let mut sectors: Vec<u64> = middles.map(|offset| offset / 512).collect();
    sectors.dedup();
    Ok(sectors)
}

/// The disk with these sectors bad.
fn with_bad(sectors: &[u64]) -> String {
    let (mut lines, mut at) = (Vec::new(), 0);
    for bad in sectors {
        lines.extend([format!("{at} {} linear LOOP {at}", bad - at), format!("{bad} 1 error")]);
        at = bad + 1;
    }
    lines.push(format!("{at} {} linear LOOP {at}", u64::from(SECTORS) - at));
    lines.join("\n")
}

fn sum(host: &Host) -> Result<String> {
    Ok(host.sh("sha256sum </tmp/kv.img", SOON)?.ok()?.stdout)
}

fn set_apart(host: &Host, guest: &Guest, side: &str) -> Result<()> {
    let script = SET_APART.replace("SIDE", side).replace("OCTETS", &APART.to_string());
    let said = host.sh(&script, SOON)?.ok()?.stdout;
    ensure!(said.trim() == "OK\nOK", "{said}\n{}", guest.console());
    Ok(())
}

fn leaves(guest: Guest) -> Result<()> {
    guest.xl("shutdown")?;
    guest.wait_gone(SOON)?;
    guest.destroy()
}

/// The test.
pub fn serves_what_is_whole(host: &mut Host) -> Result<()> {
    let device = kv::new_disk(host)?;
    map(host, &device, &whole())?;
    let value = MARK.repeat(MARKS);
    let guest = kv::start(host, MAPPED, "durability=every-command")?;
    fill(host, &guest)?;
    set_apart(host, &guest, "1 2")?;
    says(host, &guest, &format!("set victim {value}"), "OK")?;
    set_apart(host, &guest, "3 4")?;
    says(host, &guest, "set last 1", "OK")?;
    leaves(guest)?;
    let bad = bad_sectors(host)?;
    map(host, &device, &with_bad(&bad))?;
    let read =
        format!("dd if={MAPPED} of=/dev/null bs=512 skip={} count=1 2>&1", bad.first().context("no place")?);
    ensure!(host.sh(&read, SOON)?.status != 0, "no sector is bad");
    let before = sum(host)?;
    let guest = kv::start(host, MAPPED, "durability=every-command")?;
    is_damaged(host, &guest)?;
    leaves(guest)?;
    ensure!(sum(host)? == before, "a damaged disk was written");
    // The sectors can be read again, and nothing is missing.
    map(host, &device, &whole())?;
    let guest = kv::start(host, MAPPED, "durability=every-command")?;
    is_filled(host, &guest)?;
    says(host, &guest, "get victim", &value)?;
    says(host, &guest, "set last 2", "OK")?;
    guest.destroy()?;
    unmap(host)
}

/// The value is not there, and nothing is made up for it; all others are, and are answered; changes are refused.
fn is_damaged(host: &Host, guest: &Guest) -> Result<()> {
    says(host, guest, "get victim", "")?;
    is_filled(host, guest)?;
    says(host, guest, "get last", "1")?;
    // What lay beside it is there as it was, or not at all.
    for n in 1..=4 {
        let octets = say(host, &format!("strlen apart{n}"))?;
        ensure!(octets == APART.to_string() || octets == "0", "apart{n} has {octets} octets");
    }
    for command in ["set more 1", "del last", "flushall"] {
        refuses(host, guest, command, DAMAGED)?;
    }
    let info = say(host, "info persistence")?;
    let parts =
        info.lines().find_map(|line| line.trim().strip_prefix("disk_damaged_parts:")?.parse::<u64>().ok());
    ensure!(parts.is_some_and(|parts| parts > 0), "{info}");
    ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
    Ok(())
}
