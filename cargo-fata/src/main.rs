//! `cargo fata`: sets up, runs, tests and measures Fata appliances on a real Xen.

mod cache;
mod cargo;
mod command;
mod interrupt;
mod ui;
mod xen_host;

use std::time::Duration;

use anyhow::Result;

fn main() -> Result<()> {
    interrupt::install()?;
    let options = xen_host::qemu::Options {
        memory_mb: 4500,
        forwards: vec![],
        log: "/work/proto/serial.log".into(),
    };
    let host = xen_host::Host::boot(options)?;
    let script = std::env::args().nth(1).unwrap_or("xl list".into());
    let output = host.sh(&script, Duration::from_secs(60))?;
    println!("{}{}{}", output.stdout, output.stderr, output.status);
    println!("{:?}", host.agent().domains()?);
    Ok(())
}
