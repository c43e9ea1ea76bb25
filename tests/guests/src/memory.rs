//! All of what the guest was given is usable.

use alloc::boxed::Box;
use alloc::vec::Vec;
use fata::prelude::*;

/// Fills at least 90 % of the guest's memory with blocks of many sizes, checks their content, and does it again, so that
/// what was freed is seen to be usable.
pub fn fill(env: &Env) {
    let total = fata::memory::stats().total;
    for round in 1..=2u8 {
        let percent = fill_and_check(total, round);
        println!(env, "round {round}: {percent} % of {} KiB", total / 1024);
    }
    let stats = fata::memory::stats();
    println!(env, "heap {} KiB, in use {} KiB", stats.heap / 1024, stats.heap_used / 1024);
}

fn fill_and_check(total: u64, round: u8) -> u64 {
    let mut blocks: Vec<Box<[u8]>> = Vec::with_capacity(64 * 1024);
    let mut taken = 0u64;
    let sizes = [1 << 20, 300_000, 65_536, 4096, 1000];
    for size in sizes {
        while (taken + size as u64) * 100 <= total * 92 && blocks.len() < blocks.capacity() {
            let Some(block) = try_block(size, round ^ blocks.len() as u8) else { break };
            taken += size as u64;
            blocks.push(block);
        }
    }
    for (n, block) in blocks.iter().enumerate() {
        let mark = round ^ n as u8;
        assert!(block.iter().all(|&b| b == mark), "block {n} was overwritten");
    }
    taken * 100 / total
}

fn try_block(size: usize, mark: u8) -> Option<Box<[u8]>> {
    let mut block = Vec::new();
    block.try_reserve_exact(size).ok()?;
    block.resize(size, mark);
    Some(block.into_boxed_slice())
}
