//! Keys that were made here, kept on a FAT volume. Power may be lost at any moment: then the pair is there whole at the next start, or is made anew.

use super::disk::UNPACKED;
use super::keys::{CHAIN, KEY, KeysError, Pair};
use crate::store::{Found, Store};
use alloc::format;
use fata::block::Disk;
use fata_storage::fat::Volume;

/// There while the two are being written: what they hold then counts for nothing.
const UNFINISHED: &str = "unfinished";

/// Whether a disk is a volume without a pair, and without half of one that somebody else must have left. A pair that belongs together
/// beside the mark is whole, or somebody's who did not know of the mark: it stays.
pub async fn is_wanted(disk: &Disk) -> fata::Result<bool> {
    let store = Store::open(disk.clone(), UNPACKED).await?;
    if !matches!(store, Store::Fat(_)) {
        return Ok(false);
    }
    let has = async |name| match store.find(name).await {
        Ok(found) => Ok(matches!(found, Found::File(_))),
        Err(_) => Err(KeysError::File(format!("{name} cannot be looked for"))),
    };
    if !has(UNFINISHED).await? {
        return Ok(!has(CHAIN).await? && !has(KEY).await?);
    }
    let is_whole = super::disk::pair(&store).await.is_ok_and(|pair| pair.config().is_ok());
    if is_whole {
        drop(store);
        let volume = Volume::mount(disk.clone()).await?;
        volume.remove_file(UNFINISHED).await?;
        volume.sync().await?;
    }
    Ok(!is_whole)
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
