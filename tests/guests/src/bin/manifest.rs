//! Prints what its manifest and the boot parameters say.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use fata::net::MacAddress;
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
    let (peer6, trusted): (Option<Ipv6Addr>, Vec<IpAddr>) =
        (env.param(params::PEER6), env.param(params::TRUSTED));
    println!(env, "peer6 {peer6:?}, trusted {trusted:?}");
    for name in [networks::MAIN, networks::BACK] {
        let network = env.network(name).await?;
        network.interface().configured().await;
    }
    // That of IPv6 is asked for first: it may be another's. A host's own sockets have the host's addresses, and no hardware's.
    let network = env.network(networks::BACK).await?;
    while network.interface().mac() != MacAddress([0; 6]) {
        let mut all = Vec::new();
        network.interface().each_address(&mut |addressing| all.push(addressing));
        let six = all.iter().find(|of| matches!(of.address, IpAddr::V6(six) if !six.is_unicast_link_local()));
        if let Some(six) = six {
            println!(env, "{}/{} by {:?}", six.address, six.prefix_len, six.gateway);
            break;
        }
        network.interface().config_changed().await;
    }
    println!(env, "configured");
    Ok(())
}
