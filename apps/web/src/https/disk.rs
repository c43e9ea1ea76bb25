//! Pairs on a disk, a FAT volume or an archive. `no_disk.rs` has the same names where the image has no code for disks.

use super::keys::{CHAIN, Found, KEY, KeysError, Pair};
use super::made::Maker;
use crate::store::{self, Store};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
pub use fata::block::Disk;
use fata::time::SystemTime;
use zeroize::Zeroizing;

/// The longest file that is read, octets.
const MOST: u64 = 64 << 10;
/// The most memory for an archive in gzip, octets.
pub(super) const UNPACKED: usize = 1 << 20;

/// What is said where there is none, and the image has no keys either.
pub const NONE: &str = "no disk keys";

/// Reads the pair of a disk. It is looked at anew each time, so that another machine may have written to it.
pub async fn read(disk: &Disk) -> Result<Pair, KeysError> {
    let store =
        Store::open(disk.clone(), UNPACKED).await.map_err(|error| KeysError::File(format!("{error}")))?;
    pair(&store).await
}

pub(super) async fn pair(store: &Store) -> Result<Pair, KeysError> {
    Ok(Pair { chain: core::mem::take(&mut *file(store, CHAIN).await?), key: file(store, KEY).await? })
}

async fn file(store: &Store, name: &str) -> Result<Zeroizing<String>, KeysError> {
    let error = |what: &str| KeysError::File(format!("{name} {what}"));
    let found = store.find(name).await.map_err(|_| error("cannot be read"))?;
    let store::Found::File(file) = found else { return Err(error("is not there")) };
    if file.len > MOST {
        return Err(error("is longer than 64 KiB"));
    }
    let mut octets = Zeroizing::new(Vec::new());
    octets.try_reserve_exact(file.len as usize).map_err(|_| error("finds no memory"))?;
    octets.resize(file.len as usize, 0);
    file.read_at(0, &mut octets).await.map_err(|_| error("cannot be read"))?;
    String::from_utf8(core::mem::take(&mut *octets)).map(Zeroizing::new).map_err(|not_text| {
        drop(Zeroizing::new(not_text.into_bytes()));
        error("is not text")
    })
}

/// Reads the pair of a disk. Where that is an empty FAT volume, or has a pair that was made here and ends soon, makes one and keeps it
/// there.
pub async fn read_or_make(disk: &Disk, maker: &Maker) -> fata::Result<Found> {
    #[cfg(feature = "fat")]
    if super::kept::is_wanted(disk).await? {
        let pair = maker.make()?;
        super::kept::keep(disk, &pair).await?;
        return Ok(Found::Made(pair));
    }
    let pair = read(disk).await?;
    if pair.is_due(SystemTime::now()) && pair.config().is_ok() {
        match remake(disk, maker).await {
            Ok(pair) => return Ok(Found::Remade(pair)),
            Err(error) => fata::log::warn!("keys: {error}"),
        }
    }
    Ok(Found::Kept(pair))
}

/// Makes another pair in the place of one that was made there before.
pub(super) async fn remake(disk: &Disk, maker: &Maker) -> Result<Pair, KeysError> {
    let pair = maker.make()?;
    #[cfg(feature = "fat")]
    let kept = super::kept::keep(disk, &pair).await;
    #[cfg(not(feature = "fat"))]
    let kept: fata::Result<()> = {
        let _ = disk;
        Err("this image has no code for FAT volumes (feature fat)".into())
    };
    match kept {
        Ok(()) => Ok(pair),
        Err(error) => Err(KeysError::NotKept(format!("{error}"))),
    }
}
