//! The smallest appliance: it greets, and when its `main` ends the guest powers off.
//!
//!     cargo fata run hello
//!     cargo run --example hello
#![no_std]
#![no_main]

use fata::prelude::*;

// Names the function below as the appliance's `main`.
fata::main!(main);

// `env` is what the appliance is given: its console, its boot parameters, its devices.
async fn main(env: Env) -> Result<()> {
    println!(env, "hello from Fata");
    Ok(())
}
