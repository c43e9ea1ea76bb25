//! The key-value store is destroyed while clients change what it holds, and started again, over and over.
//!
//! `xl destroy` takes the guest away, and its memory; what it had written stays, flushed or not, as dom0 and its page cache live on.
//! That nothing is acknowledged before it is flushed is therefore not seen here, but with the simulated disk of `storage/tests/kv`,
//! which drops what was not flushed.

use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};

use super::kv;
use super::kv_clients::PORT;
use super::kv_load::{Client, Connection};
use crate::ui;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec, Vif};

const SOON: Duration = Duration::from_secs(60);
/// Guests that follow each other have the same, so that nobody on the way has to learn another one.
const MAC: &str = "00:16:3e:00:00:6b";
/// Steps that each client has under way at a time.
const DEPTHS: [u64; 4] = [1, 1, 4, 16];

/// How often in the long run; `FATA_DESTROYS` says otherwise.
pub fn often() -> u32 {
    std::env::var("FATA_DESTROYS").ok().and_then(|count| count.parse().ok()).unwrap_or(300)
}

/// The store on a disk, ready.
fn start(host: &mut Host, device: &str) -> Result<Guest> {
    let disk = format!(
        "disk = [ 'format=raw,backendtype=phy,vdev=xvda,access=rw,script=/fata/block,target={device}' ]"
    );
    let mut spec = GuestSpec::new("kv", image("kv")?).memory(64).config(&disk);
    spec.vifs.push(Vif { mac: Some(MAC.to_owned()), ..Vif::on("xenbr0") });
    let guest = host.create(&spec.extra("ipv4=10.0.2.15/24 gateway=10.0.2.2 durability=every-command"))?;
    guest.wait_console("kv: port 6379; on its disk are ", SOON)?;
    guest.wait_console("link up", SOON)?;
    Ok(guest)
}

/// Destroys it so many times; each time all that was acknowledged is there, and no step in parts.
pub fn outlives(host: &mut Host, rounds: u32) -> Result<()> {
    let device = kv::new_disk(host)?;
    let port = host.forwarded(PORT).context("no port leads to the guest")?;
    let mut clients: Vec<_> =
        DEPTHS.into_iter().enumerate().map(|(n, depth)| Client::new(n, depth)).collect();
    let (begin, mut half_done) = (Instant::now(), 0);
    // Other moments in each run.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut moments = now.as_nanos() as u64 | 1;
    for round in 0..=rounds {
        let guest = start(host, &device)?;
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
