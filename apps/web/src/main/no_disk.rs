//! The names of `disk.rs` in an image that has no code for disks.

use fata::https::{Keeper, Maker, Pair};
use fata::prelude::*;

/// What is said where the image has no keys either.
pub const NONE: &str = "no keys in the image, and no code for disks (feature disk)";

/// A disk, of which there is none.
pub struct Keys;

impl Keys {
    /// There is nothing to open.
    pub async fn open(_: &Env) -> Result<Self> {
        Ok(Self)
    }

    /// Nothing.
    pub async fn pair(&self, _: &Env, _: &Maker) -> Result<Option<Pair>> {
        Ok(None)
    }

    /// As it is.
    pub fn keep(self, keeper: Keeper, _: &Env) -> Keeper {
        keeper
    }
}
