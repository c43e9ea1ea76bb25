//! Keys that were made here, kept on a FAT volume. Power may be lost at any moment: then the pair is there whole at the next start, or is made anew.

use super::keys::{CHAIN, KEY, KeysError, Pair, UNPACKED};
use crate::store::{Found, Store};
use alloc::format;
use fata::block::Disk;
use fata_storage::fat::Volume;

/// There while the two are being written: what they hold then counts for nothing.
const UNFINISHED: &str = "unfinished";

/// Whether a disk is a volume without a pair, and without half of one that somebody else must have left.
pub async fn is_wanted(disk: &Disk) -> fata::Result<bool> {
    let store = Store::open(disk.clone(), UNPACKED).await?;
    if !matches!(store, Store::Fat(_)) {
        return Ok(false);
    }
    let has = async |name| match store.find(name).await {
        Ok(found) => Ok(matches!(found, Found::File(_))),
        Err(_) => Err(KeysError::File(format!("{name} cannot be looked for"))),
    };
    Ok(has(UNFINISHED).await? || !has(CHAIN).await? && !has(KEY).await?)
}

/// Writes a pair to a volume.
pub async fn keep(disk: &Disk, pair: &Pair) -> fata::Result<()> {
    let volume = Volume::mount(disk.clone()).await?;
    volume.write(UNFINISHED, b"").await?;
    volume.sync().await?;
    volume.write(KEY, pair.key.as_bytes()).await?;
    volume.write(CHAIN, pair.chain.as_bytes()).await?;
    volume.sync().await?;
    volume.remove_file(UNFINISHED).await?;
    Ok(volume.sync().await?)
}
