//! Pairs that were made here, kept on a FAT volume. Power may be lost at any moment: then the pair is there whole at the next start, or is made
//! anew.

use super::Pair;
use super::disk::UNFINISHED;
use super::pair::{CHAIN, KEY};
use fata_libos::block::Disk;
use fata_storage::fat::{Error, Volume};

/// Writes a pair into a folder, which is made where there is none.
pub(super) async fn keep(disk: &Disk, folder: &str, pair: &Pair) -> crate::Result<()> {
    let volume = Volume::mount(disk.secret()).await?;
    if let Some(name) = folder.strip_suffix('/') {
        match volume.create_dir(name).await {
            Ok(()) | Err(Error::AlreadyExists) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let path = |name: &str| [folder, name].concat();
    volume.write(&path(UNFINISHED), b"").await?;
    volume.sync().await?;
    volume.write(&path(KEY), pair.key.as_bytes()).await?;
    volume.write(&path(CHAIN), pair.chain.as_bytes()).await?;
    volume.sync().await?;
    volume.remove_file(&path(UNFINISHED)).await?;
    Ok(volume.sync().await?)
}

/// Takes the mark of an unfinished pair away.
pub(super) async fn unmark(disk: &Disk, folder: &str) -> crate::Result<()> {
    let volume = Volume::mount(disk.secret()).await?;
    volume.remove_file(&[folder, UNFINISHED].concat()).await?;
    Ok(volume.sync().await?)
}
