//! The key-value store with a disk of dom0's: what it has acknowledged is there after the guest was destroyed.
//!
//! `xl destroy` takes the guest away, and its memory; what it had written stays, flushed or not, as dom0 and its page cache live on.
//! That nothing is acknowledged before it is flushed is therefore not seen here, but with the simulated disk of `storage/tests/kv`,
//! which drops what was not flushed.

use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};

use super::BootTest;
use super::kv_clients::PORT;
use super::kv_load::{Client, Connection};
use crate::ui;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec, Vif};

const SOON: Duration = Duration::from_secs(60);
/// Thousands of answers to an emulated dom0.
const SLOW: Duration = Duration::from_secs(120);
/// Guests that follow each other have the same, so that nobody on the way has to learn another one.
const MAC: &str = "00:16:3e:00:00:6b";
/// Steps that each client has under way at a time.
const DEPTHS: [u64; 4] = [1, 1, 4, 16];

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::kv::acknowledged_outlives_destroy", 240, |h| outlives(h, 3)),
    BootTest::new("boot::kv::acknowledged_outlives_destroy_often", LONG_S, |h| outlives(h, often())).long(),
    BootTest::new("boot::kv::leaves_in_order", 120, leaves),
];

/// Seconds that the long one may take.
const LONG_S: u64 = 7200;

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

/// How often in the long run; `FATA_DESTROYS` says otherwise.
fn often() -> u32 {
    std::env::var("FATA_DESTROYS").ok().and_then(|count| count.parse().ok()).unwrap_or(300)
}

/// A blank disk in dom0; gives the name of its device.
pub fn new_disk(host: &Host) -> Result<String> {
    new_disk_of(host, "64M")
}

/// The same of another size, as truncate takes it.
pub fn new_disk_of(host: &Host, size: &str) -> Result<String> {
    Ok(host.sh(&SET_UP.replace("SIZE", size), SOON)?.ok()?.stdout.trim().to_owned())
}

/// The line of a disk in the guest's configuration.
fn disk(device: &str) -> String {
    format!("disk = [ 'format=raw,backendtype=phy,vdev=xvda,access=rw,script=/fata/block,target={device}' ]")
}

/// The store on a disk, ready.
pub fn start(host: &mut Host, device: &str, extra: &str) -> Result<Guest> {
    let mut spec = GuestSpec::new("kv", image("kv")?).memory(64).config(&disk(device));
    spec.vifs.push(Vif { mac: Some(MAC.to_owned()), ..Vif::on("xenbr0") });
    let spec = spec.extra("ipv4=10.0.2.15/24 gateway=10.0.2.2 dns=10.0.2.3").extra(extra);
    let guest = host.create(&spec)?;
    guest.wait_console("kv: port 6379; on its disk are ", SOON)?;
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

fn outlives(host: &mut Host, rounds: u32) -> Result<()> {
    let device = new_disk(host)?;
    let port = host.forwarded(PORT).context("no port leads to the guest")?;
    let mut clients: Vec<_> =
        DEPTHS.into_iter().enumerate().map(|(n, depth)| Client::new(n, depth)).collect();
    let (begin, mut half_done) = (Instant::now(), 0);
    // Other moments in each run.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut moments = now.as_nanos() as u64 | 1;
    for round in 0..=rounds {
        let guest = start(host, &device, "durability=every-command")?;
        half_done += all_is_known(port, &mut clients)
            .with_context(|| format!("after {round} ends: {}", guest.console()))?;
        if round == rounds {
            break;
        }
        moments ^= moments << 13;
        moments ^= moments >> 7;
        moments ^= moments << 17;
        let wait = Duration::from_millis(600 + moments % 1500);
        let before = acknowledged(&clients);
        work_until_destroyed(guest, port, &mut clients, wait)?;
        ensure!(acknowledged(&clients) > before, "round {round}: nothing was written in {wait:?}");
    }
    let steps = acknowledged(&clients) - half_done;
    let seconds = begin.elapsed().as_secs();
    ui::say(format!(
        "destroyed {rounds} times in {seconds} s: all of {steps} acknowledged steps are there, and {half_done} that were not answered"
    ));
    Ok(())
}

/// Steps of all clients.
fn acknowledged(clients: &[Client]) -> u64 {
    clients.iter().map(|client| client.acknowledged).sum()
}

/// Has all clients make changes for a while, and takes the guest away while they do.
fn work_until_destroyed(guest: Guest, port: u16, clients: &mut [Client], wait: Duration) -> Result<()> {
    let connections = clients.iter().map(|_| Connection::open(port)).collect::<Result<Vec<_>>>()?;
    let ends = connections.iter().map(Connection::end).collect::<Result<Vec<_>>>()?;
    thread::scope(|scope| {
        let at_work: Vec<_> = clients
            .iter_mut()
            .zip(connections)
            .map(|(client, connection)| scope.spawn(move || client.work(connection)))
            .collect();
        thread::sleep(wait);
        let destroyed = guest.destroy();
        // What the guest has answered may be on its way.
        thread::sleep(Duration::from_millis(200));
        for end in ends {
            let _ = end.shutdown(Shutdown::Both);
        }
        for client in at_work {
            client.join().map_err(|_| anyhow!("a client panicked"))??;
        }
        destroyed
    })
}

/// All that was acknowledged is there, no step in parts, and nothing else; how many steps there are that were not acknowledged.
fn all_is_known(port: u16, clients: &mut [Client]) -> Result<u64> {
    let mut connection = Connection::open(port)?;
    let mut more = 0;
    for client in &mut *clients {
        more += client.check(&mut connection)?;
    }
    let (found, known) = (connection.keys()?, clients.iter().map(Client::keys).sum::<usize>());
    ensure!(found == known, "{found} keys are there, {known} are known");
    Ok(more)
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
