//! Many tasks, each with chunks of its own, which it writes and reads over and over.

use super::{CHUNK, pattern};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use fata::block::Disk;
use fata::log;
use fata::prelude::*;

/// How many.
const TASKS: u64 = 24;
/// Contents of a chunk in later rounds are those of chunks that no disk here has.
const APART: u64 = 1000;

/// Has the tasks work until a line is typed, and tells now and then how many chunks they have written and read. Then each writes
/// what the case `patterns` does, so that all of the disk is known. Who is asked to leave has not as long as that may take.
pub async fn run(env: &Env, disk: &Disk) -> Result<()> {
    let (leaving, written) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let tasks: Vec<_> =
        (0..TASKS).map(|n| spawn(work(disk.clone(), n, leaving.clone(), written.clone()))).collect();
    let env2 = env.clone();
    let asked = spawn(async move { env2.read_line().await });
    let mut told = 0;
    while !asked.is_finished() && !tasks.iter().any(fata::task::Task::is_finished) {
        if written.get() >= told + TASKS {
            told = written.get();
            println!(env, "{told} chunks were right");
        }
        sleep(Duration::from_millis(20)).await;
    }
    leaving.set(true);
    for task in tasks {
        task.await?;
    }
    println!(env, "all {} chunks are right", disk.geometry().octets() / CHUNK as u64);
    env.shutdown().await;
    Ok(())
}

/// One task. What it finds in each chunk is what it wrote last, whatever came between.
async fn work(disk: Disk, task: u64, leaving: Rc<Cell<bool>>, written: Rc<Cell<u64>>) -> Result<()> {
    let chunks = disk.geometry().octets() / CHUNK as u64;
    let mut round = 0;
    loop {
        let last = leaving.get();
        for chunk in (task..chunks).step_by(TASKS as usize) {
            if round > 0 {
                check(&disk, chunk, round).await?;
            }
            let next = if last { 0 } else { round + 1 };
            disk.write(sector(&disk, chunk), pattern(chunk + next * APART)).await?;
            check(&disk, chunk, next).await?;
            written.set(written.get() + 1);
        }
        if let Err(error) = disk.flush().await {
            // What a back end had that did not close may be lost: this one's was kept by the host.
            log::warn!("a flush tells of a loss: {error}");
        }
        if last {
            return Ok(());
        }
        round += 1;
    }
}

fn sector(disk: &Disk, chunk: u64) -> u64 {
    chunk * (CHUNK / disk.sector_size()) as u64
}

async fn check(disk: &Disk, chunk: u64, round: u64) -> Result<()> {
    let found = disk.read(sector(disk, chunk), CHUNK / disk.sector_size()).await?;
    if *found == *pattern(chunk + round * APART) {
        return Ok(());
    }
    Err(alloc::format!("chunk {chunk} is not what was written in round {round}").into())
}
