//! The key-value store with a disk of dom0's: what it has acknowledged is there after the guest was destroyed.

use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};

use super::BootTest;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec};

const SOON: Duration = Duration::from_secs(60);
/// For reading back all that was acknowledged, key by key in a shell.
const SLOW: Duration = Duration::from_secs(120);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::kv::acknowledged_outlives_destroy", 240, |h| outlives(h, 3)),
    BootTest::new("boot::kv::acknowledged_outlives_destroy_often", 1800, |h| outlives(h, 30)).long(),
    BootTest::new("boot::kv::leaves_in_order", 120, leaves),
];

const SET_UP: &str =
    "losetup -D; rm -f /tmp/kv.img /tmp/acknowledged; truncate -s 64M /tmp/kv.img; : > /tmp/acknowledged
    losetup --find --show /tmp/kv.img";

/// Sets one key after the other until the guest is gone; notes each that was acknowledged.
const WRITE: &str = r#"nohup bash -c '
    exec 3<>/dev/tcp/10.0.2.15/6379; n=$(wc -l < /tmp/acknowledged)
    while printf "SET key:%d value%d\r\n" $n $n >&3 && read -t 5 -r answer <&3; do
        [ "$answer" = +OK$(printf "\r") ] || break
        echo $n >> /tmp/acknowledged; n=$((n + 1))
    done' >/dev/null 2>&1 & echo $! > /tmp/writer"#;

/// Reads all of them back.
const READ: &str = r#"
    exec 3<>/dev/tcp/10.0.2.15/6379; found=0
    while read -r n; do printf 'GET key:%d\r\n' $n; done < /tmp/acknowledged >&3 &
    while read -r n; do
        read -t 20 -r length <&3; read -t 20 -r value <&3
        [ "$value" = "value$n"$'\r' ] || { echo "key:$n is $length $value"; exit 1; }
        found=$((found + 1))
    done < /tmp/acknowledged
    echo $found of $(wc -l < /tmp/acknowledged)"#;

fn start(host: &mut Host, device: &str, extra: &str) -> Result<Guest> {
    let disk = format!(
        "disk = [ 'format=raw,backendtype=phy,vdev=xvda,access=rw,script=/fata/block,target={device}' ]"
    );
    let spec = GuestSpec::new("kv", image("kv")?).memory(64).network().extra(extra).config(&disk);
    let guest = host.create(&spec)?;
    guest.wait_console("kv: port 6379; on its disk are ", SOON)?;
    guest.wait_console("link up", SOON)?;
    Ok(guest)
}

fn outlives(host: &mut Host, rounds: u32) -> Result<()> {
    let device = host.sh(SET_UP, SOON)?.ok()?.stdout.trim().to_owned();
    let mut before = 0;
    // Another moment in each round and in each run.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let seed = u64::from(std::process::id()) ^ u64::from(now.subsec_nanos());
    for round in 0..rounds {
        let guest = start(host, &device, "durability=every-command")?;
        host.sh(WRITE, SOON)?.ok()?;
        let wait =
            600 + (seed.wrapping_add(u64::from(round)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 1500;
        std::thread::sleep(Duration::from_millis(wait));
        guest.destroy()?;
        host.sh("kill $(cat /tmp/writer) 2>/dev/null; true", SOON)?.ok()?;
        let count: u64 = host.sh("wc -l < /tmp/acknowledged", SOON)?.ok()?.stdout.trim().parse()?;
        ensure!(count > before, "round {round}: nothing was written in {wait} ms");
        before = count;

        let guest = start(host, &device, "")?;
        let said = host.sh(READ, SLOW)?;
        ensure!(
            said.status == 0 && said.stdout.trim() == format!("{count} of {count}"),
            "round {round}, destroyed after {wait} ms: {said:?}; {}",
            guest.console()
        );
        guest.destroy()?;
    }
    Ok(())
}

/// Without a flush for each command, what was written is there after a shutdown in order.
fn leaves(host: &mut Host) -> Result<()> {
    let device = host.sh(SET_UP, SOON)?.ok()?.stdout.trim().to_owned();
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
