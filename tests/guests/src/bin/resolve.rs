//! Resolves the names that are typed, a line of them at a time, and prints what came of each.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::ToString;
use alloc::vec::Vec;
use fata::net::Resolver;
use fata::prelude::*;

fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let network = env.network(networks::MAIN).await?;
    network.interface().configured().await;
    let resolver = Resolver::new(&network);
    println!(env, "type names");
    while let Some(line) = env.read_line().await {
        for name in line.split_whitespace() {
            let start = Instant::now();
            let found = match resolver.resolve(name).await {
                Ok(addresses) => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                Err(error) => error.to_string(),
            };
            println!(env, "{name} in {} ms: {found}", start.elapsed().as_millis());
        }
        println!(env, "that was: {line}");
    }
    Ok(())
}
