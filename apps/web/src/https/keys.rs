//! Certificate and key: of the image, of a FAT volume or an archive, or made here.

use crate::store::{Found, Store};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use fata::block::Disk;
use fata_tls::issue::IssueError;
use fata_tls::{ConfigError, ServerConfig};
use zeroize::Zeroizing;

/// The certificate, and those that signed it behind it.
pub(super) const CHAIN: &str = "chain.pem";
/// Its key.
pub(super) const KEY: &str = "key.pem";
/// The longest file that is read, octets.
const MOST: u64 = 64 << 10;
/// The most memory for an archive in gzip, octets.
pub(super) const UNPACKED: usize = 1 << 20;
/// A certificate with its key, as PEM texts.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, and those that signed it behind it.
    pub chain: String,
    /// Its key.
    pub key: Zeroizing<String>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// Where a pair comes from.
pub enum Source {
    /// The image, or a start without any: it is what it is.
    Fixed,
    /// A disk, whose files may change.
    Disk(Disk),
}

/// Why there is no pair that can be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file is missing or cannot be read.
    #[error("{0}")]
    File(String),
    /// They are not a certificate and its key.
    #[error("{CHAIN} and {KEY}: {0}")]
    Pair(#[from] ConfigError),
    /// It cannot be made or read.
    #[error("the certificate: {0}")]
    Issue(#[from] IssueError),
    /// It was valid once.
    #[error("the certificate has expired")]
    Expired,
    /// It will be.
    #[error("the certificate is not valid yet")]
    Early,
}

impl Pair {
    /// What a server shows of it; an error where the key is another's.
    pub fn config(&self) -> Result<ServerConfig, KeysError> {
        Ok(ServerConfig::from_pem(&self.chain, &self.key)?)
    }
}

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
    let Found::File(file) = found else { return Err(error("is not there")) };
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

/// Reads the pair of a disk, or where that is an empty FAT volume makes one for these names and keeps it there. The second is whether
/// it was made.
pub async fn read_or_make(disk: &Disk, names: &[&str]) -> fata::Result<(Pair, bool)> {
    #[cfg(feature = "fat")]
    if super::kept::is_wanted(disk).await? {
        let pair = Pair::make(names)?;
        super::kept::keep(disk, &pair).await?;
        return Ok((pair, true));
    }
    #[cfg(not(feature = "fat"))]
    let _ = names;
    Ok((read(disk).await?, false))
}
