//! The key-value store appliance: what Redis clients use, on a disk if it has one, else in memory.
//!
//!     truncate -s 256M data.img
//!     cargo fata run kv --disk data=data.img --forward 6379:6379
//!     redis-cli set greeting hello
#![no_std]
#![no_main]

extern crate alloc;

mod disk;

use crate::disk::DiskKeeper;
use alloc::rc::Rc;
use core::fmt;
use fata::param::Size;
use fata::prelude::*;
use kv_core::evict::Policy;
use kv_core::keep::Keeper;
use kv_core::server::config::Durability;
use kv_core::server::{Config, Server, listen, serve};

fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let config = config(&env)?;
    let port = config.port;
    let network = env.network(networks::MAIN).await?;
    let server = Server::new(config);
    let keeper = match env.optional_block(blocks::DATA).await? {
        Some(disk) => Some(Rc::new(DiskKeeper::open(&disk, env.param(params::FORMAT)).await?)),
        None => None,
    };
    let rows = match &keeper {
        Some(keeper) => Some(server.attach(keeper.clone()).await?),
        None => None,
    };
    let listener = listen(&server, &network)?;
    match rows {
        Some(rows) => {
            println!(env, "kv: port {port}; on its disk are {rows} rows");
            if let Some(reason) = keeper.as_ref().and_then(|keeper| keeper.refuses()) {
                fata::log::warn!("{reason}: commands that change data are refused");
            }
        }
        None => println!(env, "kv: port {port}; without a disk: what it has goes when it ends"),
    }
    let served = serve(&server, listener).await;
    if let Some(keeper) = keeper {
        keeper.close().await?;
    }
    Ok(served?)
}

/// A boot parameter that names nothing.
#[derive(thiserror::Error)]
enum Misnamed {
    #[error("boot parameter policy: there is no such policy")]
    Policy,
    #[error("boot parameter durability: every-command, every-100ms or none")]
    Durability,
}

/// As text: `dyn Error` brings it into the image, and what is derived, or made for an error that is a text, is long.
impl fmt::Debug for Misnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the boot parameters say.
fn config(env: &Env) -> Result<Config> {
    let policy = Policy::parse(env.param(params::POLICY)).ok_or(Misnamed::Policy)?;
    let durability = Durability::parse(env.param(params::DURABILITY)).ok_or(Misnamed::Durability)?;
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
