//! A disk: counts how often it was booted with it, in its first sector.
//!
//!     truncate -s 1M counter.img
//!     cargo fata run disk --disk data=counter.img
//!     cargo run --example disk -- file=counter.img
#![no_std]
#![no_main]

use fata::prelude::*;

// `blocks::DATA` is `[block.data]` in disk.toml.
fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let disk = env.block(blocks::DATA).await?;
    let mut sector = disk.read(0, 1).await?;
    let boots = 1 + u64::from_le_bytes(*sector.first_chunk().ok_or("a sector is longer")?);
    sector[..8].copy_from_slice(&boots.to_le_bytes());
    disk.write(0, sector).await?;
    // Until here a loss of power may lose it.
    disk.flush().await?;
    println!(env, "boot {boots} with this disk of {} octets", disk.geometry().octets());
    Ok(())
}
