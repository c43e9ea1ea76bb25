//! The smallest appliance: greets, and powers off.
#![no_std]
#![no_main]

use fata::prelude::*;

fata::main!(main);

async fn main(env: Env) -> Result<()> {
    println!(env, "hello from Fata on Xen");
    Ok(())
}
