//! An image of more than a megabyte: constants in the way of everything that a boot finds its way by.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "../memory.rs"]
mod memory;

use fata::prelude::*;

fata::main!(main);

/// So many that image, page tables and stack lie in another 2 MiB than the first.
static FILLER: [u8; 1_700_000] = [7; 1_700_000];

async fn main(env: Env) -> Result<()> {
    let sum: u64 = core::hint::black_box(&FILLER).iter().map(|&b| u64::from(b)).sum();
    println!(env, "constants: {sum}");
    memory::fill(&env);
    Ok(())
}
