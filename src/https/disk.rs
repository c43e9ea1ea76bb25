//! Pairs as files of a disk: `chain.pem` and `key.pem`, and `ocsp.der` where there is one, in its root or in folders.

use super::pair::{CHAIN, KEY, OCSP};
use super::{Maker, Pair, PairError};
use crate::files::{Found, Store};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use fata_libos::block::Disk;
use fata_libos::time::SystemTime;
use fata_tls::OcspError;
use zeroize::Zeroizing;

/// The longest file of a pair, octets.
const MOST: u64 = 64 << 10;
/// The most memory for an archive in gzip, octets.
const UNPACKED: usize = 1 << 20;

/// There while the two are being written: what they hold then counts for nothing.
pub(super) const UNFINISHED: &str = "unfinished";

/// What a folder has.
pub enum Seen {
    /// A pair.
    Pair(Pair),
    /// A pair, though it is marked as one that was not finished: that the mark was not taken away is all that was missing.
    Marked(Pair),
    /// A pair that was not finished: what is there counts for nothing.
    Unfinished,
    /// Neither file.
    Nothing,
}

/// The pair that a start shows.
pub enum Begun {
    /// One that was there.
    Kept(Pair),
    /// There was nothing: one was made, and is kept there.
    Made(Pair),
    /// One was there that was made here once and ends soon, or has ended: another one is kept there now.
    Remade(Pair),
}

/// Opens a disk with pairs, whose memory is zeroed as it has keys. It is looked at anew each time, so that another machine may have written
/// to it.
pub async fn open(disk: &Disk) -> Result<Store, PairError> {
    Store::open(disk.secret(), UNPACKED).await.map_err(|error| PairError::File(format!("{error}")))
}

/// Looks at a folder, whose name ends in a slash; that of the root is empty. Half a pair is an error: somebody else must have left it.
pub async fn look(store: &Store, folder: &str) -> Result<Seen, PairError> {
    if store.is_volume() && text(store, &[folder, UNFINISHED].concat(), MOST).await?.is_some() {
        // A pair that belongs together is whole, or somebody's who did not know of the mark: it stays.
        let whole = pair(store, folder).await.ok().flatten().filter(|pair| pair.config().is_ok());
        return Ok(whole.map_or(Seen::Unfinished, Seen::Marked));
    }
    Ok(pair(store, folder).await?.map_or(Seen::Nothing, Seen::Pair))
}

async fn pair(store: &Store, folder: &str) -> Result<Option<Pair>, PairError> {
    let file = async |name| text(store, &[folder, name].concat(), MOST).await;
    match (file(CHAIN).await?, file(KEY).await?) {
        (Some(mut chain), Some(key)) => {
            let pair = Pair::new(core::mem::take(&mut *chain), key);
            // The pair does not depend on it.
            let response = octets(store, &[folder, OCSP].concat(), MOST).await;
            Ok(Some(match response.map_err(|_| OcspError::Malformed) {
                Ok(None) => pair,
                Ok(Some(response)) => pair.with_ocsp(Ok(&response)),
                Err(error) => pair.with_ocsp(Err(error)),
            }))
        }
        (None, None) => Ok(None),
        (None, Some(_)) => Err(missing(folder)),
        (Some(_), None) => Err(PairError::File(format!("{folder}{KEY} is not there"))),
    }
}

pub(super) fn missing(folder: &str) -> PairError {
    PairError::File(format!("{folder}{CHAIN} is not there"))
}

/// A file's text, of `most` octets; `None` if it is not there. It is zeroed when it is dropped.
pub async fn text(store: &Store, path: &str, most: u64) -> Result<Option<Zeroizing<String>>, PairError> {
    let Some(mut octets) = octets(store, path, most).await? else { return Ok(None) };
    let text = String::from_utf8(core::mem::take(&mut *octets)).map(Zeroizing::new).map_err(|not_text| {
        drop(Zeroizing::new(not_text.into_bytes()));
        PairError::File(format!("{path} is not text"))
    });
    text.map(Some)
}

async fn octets(store: &Store, path: &str, most: u64) -> Result<Option<Zeroizing<Vec<u8>>>, PairError> {
    let error = |what: &str| PairError::File(format!("{path} {what}"));
    let found = store.find(path).await.map_err(|_| error("cannot be read"))?;
    let Found::File(file) = found else { return Ok(None) };
    if file.len > most {
        return Err(PairError::File(format!("{path} is longer than {} KiB", most >> 10)));
    }
    let mut octets = Zeroizing::new(Vec::new());
    octets.try_reserve_exact(file.len as usize).map_err(|_| error("finds no memory"))?;
    octets.resize(file.len as usize, 0);
    file.read_at(0, &mut octets).await.map_err(|_| error("cannot be read"))?;
    Ok(Some(octets))
}

/// Gives the pair to begin with, for what was seen in a folder. Where that is nothing, or a pair that was made here and ends soon, makes one
/// and keeps it there, which a FAT volume alone can. Whoever has the disk [open](open()) has closed it before.
pub async fn begin(disk: &Disk, folder: &str, seen: Seen, maker: &Maker) -> crate::Result<Begun> {
    let pair = match seen {
        Seen::Nothing | Seen::Unfinished => {
            let pair = maker.make()?;
            keep(disk, folder, &pair).await?;
            return Ok(Begun::Made(pair));
        }
        Seen::Pair(pair) => pair,
        Seen::Marked(pair) => {
            // The disk may be read only by now; the pair is whole all the same.
            #[cfg(feature = "fat")]
            if let Err(error) = super::kept::unmark(disk, folder).await {
                log::warn!("keys: {folder}{UNFINISHED}: {error}");
            }
            pair
        }
    };
    if pair.is_due(SystemTime::now()) && pair.config().is_ok() {
        match remake(disk, folder, maker).await {
            Ok(pair) => return Ok(Begun::Remade(pair)),
            Err(error) => log::warn!("keys: {error}"),
        }
    }
    Ok(Begun::Kept(pair))
}

/// Gives the pair to begin with from the root of a disk that is for one pair: an archive without one is an error.
pub async fn read_or_make(disk: &Disk, maker: &Maker) -> crate::Result<Begun> {
    let store = open(disk).await?;
    let seen = look(&store, "").await?;
    if !store.is_volume() && matches!(seen, Seen::Nothing) {
        return Err(missing("").into());
    }
    drop(store);
    begin(disk, "", seen, maker).await
}

/// Makes another pair in the place of one that was made there before.
pub(super) async fn remake(disk: &Disk, folder: &str, maker: &Maker) -> Result<Pair, PairError> {
    let pair = maker.make()?;
    match keep(disk, folder, &pair).await {
        Ok(()) => Ok(pair),
        Err(error) => Err(PairError::NotKept(format!("{error}"))),
    }
}

#[cfg(feature = "fat")]
use super::kept::keep;

#[cfg(not(feature = "fat"))]
async fn keep(_: &Disk, _: &str, _: &Pair) -> crate::Result<()> {
    Err("this image has no code for FAT volumes (feature fat)".into())
}
