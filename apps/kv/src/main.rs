//! The key-value store appliance: what Redis clients use, in memory.
//!
//!     cargo fata run kv --forward 6379:6379
//!     redis-cli set greeting hello
#![no_std]
#![no_main]

use fata::param::Size;
use fata::prelude::*;
use kv_core::evict::Policy;
use kv_core::server::config::Durability;
use kv_core::server::{Config, Server, listen, serve};

fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let config = config(&env)?;
    let port = config.port;
    let network = env.network(networks::MAIN).await?;
    let server = Server::new(config);
    let listener = listen(&server, &network)?;
    println!(env, "kv: port {port}");
    Ok(serve(&server, listener).await?)
}

/// What the boot parameters say.
fn config(env: &Env) -> Result<Config> {
    let policy =
        Policy::parse(env.param(params::POLICY)).ok_or("boot parameter policy: there is no such policy")?;
    let durability = Durability::parse(env.param(params::DURABILITY))
        .ok_or("boot parameter durability: every-command, every-100ms or none")?;
    let maxmemory = match env.param(params::MAXMEMORY) {
        Some(Size { octets }) => octets,
        None => fata::memory::stats().total / 2,
    };
    Ok(Config {
        port: env.param(params::PORT),
        password: env.param(params::PASSWORD).map(Into::into),
        maxmemory: usize::try_from(maxmemory)?,
        policy,
        durability,
        maxclients: usize::try_from(env.param(params::MAXCLIENTS))?,
        ..Config::default()
    })
}
