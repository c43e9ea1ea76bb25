//! Prints what its manifest and the boot parameters say.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::net::Ipv4Addr;
use fata::param::Ipv4Prefix;
use fata::prelude::*;

fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let (greeting, number): (&str, u64) = (env.param(params::GREETING), env.param(params::NUMBER));
    println!(env, "greeting {greeting}, number {number}");
    let (quiet, port): (bool, u16) = (env.param(params::QUIET), env.param(params::LISTEN_ON));
    println!(env, "quiet {quiet}, listen-on {port}");
    let (wait, peer): (Duration, Option<Ipv4Addr>) = (env.param(params::WAIT), env.param(params::PEER));
    println!(env, "wait {} ms, peer {peer:?}", wait.as_millis());
    let (allow, inside): (Vec<Ipv4Addr>, Ipv4Prefix) = (env.param(params::ALLOW), env.param(params::INSIDE));
    println!(env, "allow {allow:?}, inside {}/{}", inside.address, inside.prefix_len);
    for name in [networks::MAIN, networks::BACK] {
        let network = env.network(name).await?;
        network.interface().configured().await;
    }
    println!(env, "configured");
    Ok(())
}
