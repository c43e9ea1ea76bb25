//! What the boot tests have a guest do with its disk; the boot parameter `case` says which. Each line it prints is for a test to
//! look at (`cargo-fata/src/boot_tests/block.rs`).
#![no_std]
#![no_main]

extern crate alloc;

#[path = "block/faults.rs"]
mod faults;
#[path = "block/tasks.rs"]
mod tasks;

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use fata::block::{BlockError, Buffer, Disk, Request};
use fata::prelude::*;

fata::main!(main);

/// Octets of a request: more than one of the ring's holds.
const CHUNK: usize = 64 << 10;
/// Requests in flight.
const DEPTH: u64 = 32;

async fn main(env: Env) -> Result<()> {
    let disk = env.block(blocks::DATA).await?;
    let geometry = disk.geometry();
    println!(env, "{} sectors of {}, {:?}", geometry.sectors, geometry.sector_size, geometry.access);
    match env.param(params::CASE) {
        "copy" => copy(&env, &disk).await,
        "patterns" => patterns(&env, &disk).await,
        "refused" => refused(&env, &disk).await,
        "count" => count(&env, &disk).await,
        "neighbours" => neighbours(&env, &disk).await,
        "resize" => resize(&env, &disk).await,
        "load" => load(&env, &disk).await,
        "tasks" => tasks::run(&env, &disk).await,
        "discard" => faults::discard(&env, &disk).await,
        "sectors" => faults::sectors(&env, &disk).await,
        case => Err(alloc::format!("there is no case {case:?}").into()),
    }
}

/// Copies the first half of the disk to the second.
async fn copy(env: &Env, disk: &Disk) -> Result<()> {
    let half = disk.geometry().sectors / 2;
    let step = CHUNK / disk.sector_size();
    for sector in (0..half).step_by(step) {
        let buffer = disk.read(sector, step).await?;
        disk.write(half + sector, buffer).await?;
    }
    disk.flush().await?;
    println!(env, "copied");
    Ok(())
}

/// Writes all of the disk, each octet known from its place, with many requests in flight, and reads it so.
async fn patterns(env: &Env, disk: &Disk) -> Result<()> {
    let chunks = disk.geometry().octets() / CHUNK as u64;
    let sector = |chunk: u64| chunk * (CHUNK / disk.sector_size()) as u64;
    for first in (0..chunks).step_by(DEPTH as usize) {
        let of_chunk = |chunk| Request::Write { sector: sector(chunk), buffer: pattern(chunk) };
        let writes: Vec<_> = (first..first + DEPTH).map(|chunk| disk.submit(of_chunk(chunk))).collect();
        for write in writes {
            write.await.result?;
        }
    }
    disk.flush().await?;
    for first in (0..chunks).step_by(DEPTH as usize) {
        let of_chunk = |chunk| Request::Read { sector: sector(chunk), buffer: Buffer::zeroed(CHUNK) };
        let reads: Vec<_> =
            (first..first + DEPTH).map(|chunk| (chunk, disk.submit(of_chunk(chunk)))).collect();
        // The last first: none waits for another.
        for (chunk, read) in reads.into_iter().rev() {
            let outcome = read.await;
            outcome.result?;
            if outcome.buffer.as_deref() != Some(&*pattern(chunk)) {
                return Err(alloc::format!("chunk {chunk} is not what was written").into());
            }
        }
    }
    println!(env, "{chunks} chunks written and read");
    Ok(())
}

/// The test has the same function.
fn pattern(chunk: u64) -> Buffer {
    let mut buffer = Buffer::zeroed(CHUNK);
    for (word, octets) in buffer.chunks_exact_mut(4).enumerate() {
        let value = (chunk as u32).wrapping_mul(0x9e37_79b9).wrapping_add(word as u32);
        octets.copy_from_slice(&value.to_le_bytes());
    }
    buffer
}

/// What must not work, and what it says.
async fn refused(env: &Env, disk: &Disk) -> Result<()> {
    let (last, size) = (disk.geometry().sectors - 1, disk.sector_size());
    for (what, request) in [
        ("write", Request::Write { sector: 0, buffer: Buffer::copy_of(&alloc::vec![1; size]) }),
        ("read beyond", Request::Read { sector: last, buffer: Buffer::zeroed(2 * size) }),
        ("write beyond", Request::Write { sector: last + 1, buffer: Buffer::zeroed(size) }),
        ("read far beyond", Request::Read { sector: u64::MAX, buffer: Buffer::zeroed(size) }),
        ("part of a sector", Request::Read { sector: 0, buffer: Buffer::zeroed(size / 2) }),
        ("read the last", Request::Read { sector: last, buffer: Buffer::zeroed(size) }),
    ] {
        match disk.submit(request).await.result {
            Ok(()) => println!(env, "{what}: done"),
            Err(error) => println!(env, "{what}: {error}"),
        }
    }
    Ok(())
}

/// Counts in the first sector until asked to leave; each number is told when it is on the medium.
async fn count(env: &Env, disk: &Disk) -> Result<()> {
    let env2 = env.clone();
    let leaving = spawn(async move { env2.shutdown().await });
    let mut failures = 0;
    for n in 1u64.. {
        if leaving.is_finished() {
            break;
        }
        let mut sector = Buffer::zeroed(disk.sector_size());
        sector[..8].copy_from_slice(&n.to_le_bytes());
        let done = match disk.write(0, sector).await {
            Ok(_) => disk.flush().await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => println!(env, "flushed {n}"),
            Err(error) => {
                failures += 1;
                println!(env, "failure {failures}: {error}");
                sleep(Duration::from_millis(200)).await;
            }
        }
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Writes the whole disk page by page, all at once, and stays until asked to leave.
async fn neighbours(env: &Env, disk: &Disk) -> Result<()> {
    const PAGE: usize = 4096;
    let step = PAGE / disk.sector_size();
    let write = |n: u64| {
        let buffer = Buffer::copy_of(&[n as u8 | 1; PAGE]);
        disk.submit(Request::Write { sector: n * step as u64, buffer })
    };
    let writes: Vec<_> = (0..disk.geometry().sectors / step as u64).map(write).collect();
    let count = writes.len();
    for write in writes {
        write.await.result?;
    }
    println!(env, "{count} pages written");
    env.shutdown().await;
    Ok(())
}

/// Uses the disk until it has another size, then its last sector, over and over until asked to leave.
async fn resize(env: &Env, disk: &Disk) -> Result<()> {
    let env2 = env.clone();
    let leaving = spawn(async move { env2.shutdown().await });
    let mut known = disk.geometry().sectors;
    println!(env, "at work");
    while !leaving.is_finished() {
        // A back end looks at the size when it is asked for something.
        let mut sector = disk.read(0, 1).await?;
        let now = disk.geometry().sectors;
        if now != known {
            known = now;
            sector.fill(0x5a);
            disk.write(now - 1, sector).await?;
            disk.flush().await?;
            println!(env, "now {now} sectors, the last one is written");
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// What a line of the benchmark asks for.
#[derive(Clone, Copy)]
struct Load {
    is_write: bool,
    is_random: bool,
    /// Octets of a request.
    octets: usize,
}

/// Does what each line on the console says, such as `read random 4096 32 5` - at random places, with requests of 4096 octets, 32
/// at once, for 5 seconds - and tells how much it was.
async fn load(env: &Env, disk: &Disk) -> Result<()> {
    println!(env, "ready");
    while let Some(line) = env.read_line().await {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[operation, order, octets, depth, seconds] = &*words else {
            return Err(alloc::format!("no load: {line:?}").into());
        };
        let load =
            Load { is_write: operation == "write", is_random: order == "random", octets: octets.parse()? };
        let (depth, seconds): (u64, u64) = (depth.parse()?, seconds.parse()?);
        let start = Instant::now();
        let end = start + Duration::from_secs(seconds);
        let next = Rc::new(Cell::new(0));
        let workers: Vec<_> =
            (1..=depth).map(|n| spawn(work(disk.clone(), load, n, next.clone(), end))).collect();
        let mut sum = 0;
        for worker in workers {
            sum += worker.await?;
        }
        println!(env, "loaded {sum} octets in {} ns", start.elapsed().as_nanos());
    }
    Ok(())
}

/// One request after the other until the end; octets.
async fn work(
    disk: Disk,
    load: Load,
    seed: u64,
    next: Rc<Cell<u64>>,
    end: Instant,
) -> Result<u64, BlockError> {
    let step = (load.octets / disk.sector_size()) as u64;
    let places = disk.geometry().sectors / step;
    let mut buffer = Buffer::zeroed(load.octets);
    let (mut sum, mut state) = (0, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    while Instant::now() < end {
        let place = if load.is_random {
            // Marsaglia's xorshift64.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % places
        } else {
            next.replace(next.get() + 1) % places
        };
        buffer = match load.is_write {
            true => disk.write(place * step, buffer).await?,
            false => disk.read_into(place * step, buffer).await?,
        };
        sum += load.octets as u64;
    }
    Ok(sum)
}
