//! What is given back to the host, and what the host cannot read.

use super::CHUNK;
use alloc::vec::Vec;
use fata::block::{Buffer, Disk, Request};
use fata::prelude::*;

/// What the disk is filled with.
const FILLED: u8 = 0x5a;
/// The unit in which bad sectors are told of.
const PAGE: usize = 4096;

/// Fills the disk; when a line is typed, discards its middle half, and reads all of it.
pub async fn discard(env: &Env, disk: &Disk) -> Result<()> {
    let (sectors, step) = (disk.geometry().sectors, CHUNK / disk.sector_size());
    for sector in (0..sectors).step_by(step) {
        disk.write(sector, Buffer::copy_of(&[FILLED; CHUNK])).await?;
    }
    disk.flush().await?;
    println!(env, "filled");
    env.read_line().await;
    let gone = sectors / 4..sectors / 4 * 3;
    if let Err(error) = disk.discard(gone.start, gone.end - gone.start).await {
        println!(env, "discard: {error}");
    }
    disk.flush().await?;
    let (mut zeros, mut filled) = (0, 0);
    for sector in (0..sectors).step_by(step) {
        let found = disk.read(sector, step).await?;
        match found.first() {
            Some(0) if found.iter().all(|octet| *octet == 0) && gone.contains(&sector) => zeros += CHUNK,
            Some(&FILLED) if found.iter().all(|octet| *octet == FILLED) => filled += CHUNK,
            _ => println!(env, "neither: {step} sectors from {sector} on"),
        }
    }
    println!(env, "{zeros} octets are zeros, {filled} as written");
    env.shutdown().await;
    Ok(())
}

/// Reads the whole disk page by page, all at once, then writes those that cannot be read; tells what failed.
pub async fn sectors(env: &Env, disk: &Disk) -> Result<()> {
    let step = (PAGE / disk.sector_size()) as u64;
    let read = |sector| (sector, disk.submit(Request::Read { sector, buffer: Buffer::zeroed(PAGE) }));
    let reads: Vec<_> = (0..disk.geometry().sectors).step_by(step as usize).map(read).collect();
    let (mut right, mut bad) = (0, Vec::new());
    for (sector, read) in reads {
        let outcome = read.await;
        match outcome.result {
            Ok(()) => {
                right += usize::from(outcome.buffer.is_some_and(|page| page.iter().all(|o| *o == FILLED)))
            }
            Err(error) => {
                println!(env, "read {sector}: {error}");
                bad.push(sector);
            }
        }
    }
    for sector in &bad {
        if let Err(error) = disk.write(*sector, Buffer::zeroed(PAGE)).await {
            println!(env, "write {sector}: {error}");
        }
    }
    disk.flush().await?;
    println!(env, "{right} pages are right, {} failed", bad.len());
    env.shutdown().await;
    Ok(())
}
