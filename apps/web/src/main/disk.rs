//! The disk `keys`. `no_disk.rs` has the same names where the image has no code for disks.

use crate::{blocks, params};
use alloc::format;
use fata::block::Disk;
#[cfg(feature = "client-certificates")]
use fata::files::Store;
use fata::https::disk::{self, Begun};
use fata::https::{Keeper, Maker, Pair};
use fata::prelude::*;

/// What is said where there is none, and the image has no keys either.
pub const NONE: &str = "no disk keys";

/// The disk that has certificate and key, or would have them.
pub struct Keys(Option<Disk>);

impl Keys {
    /// Opens it.
    pub async fn open(env: &Env) -> Result<Self> {
        Ok(Self(env.optional_block(blocks::KEYS).await?))
    }

    /// Whether there is one.
    #[cfg(feature = "acme")]
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it has a pair, or half of one.
    #[cfg(feature = "acme")]
    pub async fn has_pair(&self) -> Result<bool> {
        let Some(disk) = &self.0 else { return Ok(false) };
        let seen = disk::look(&disk::open(disk).await?, "").await;
        Ok(!matches!(seen, Ok(disk::Seen::Nothing)))
    }

    /// Its files; `None` where there is no disk.
    #[cfg(feature = "client-certificates")]
    pub async fn store(&self) -> Result<Option<Store>> {
        match &self.0 {
            Some(disk) => {
                Ok(Some(disk::open(disk).await.map_err(|error| format!("the disk keys: {error}"))?))
            }
            None => Ok(None),
        }
    }

    /// What it has, or has from now on; `None` where there is no disk.
    pub async fn pair(&self, env: &Env, maker: &Maker) -> Result<Option<Pair>> {
        let Some(disk) = &self.0 else { return Ok(None) };
        let names = maker.names.replace(',', ", ");
        let of_disk = |error: fata::Error| format!("the disk keys: {error}");
        let pair = match disk::read_or_make(disk, maker).await.map_err(of_disk)? {
            Begun::Kept(pair) => pair,
            Begun::Made(pair) => {
                println!(env, "web: the disk keys had no certificate: made one for {names}");
                pair
            }
            Begun::Remade(pair) => {
                println!(env, "web: the certificate made before ends soon: made another one for {names}");
                pair
            }
        };
        pair.config().map_err(|error| of_disk(error.into()))?;
        Ok(Some(pair))
    }

    /// Has it looked at again and again.
    pub fn keep(self, keeper: Keeper, env: &Env) -> Keeper {
        match self.0 {
            Some(disk) => keeper.on_disk(disk, env.param(params::RELOAD)),
            None => keeper,
        }
    }
}
