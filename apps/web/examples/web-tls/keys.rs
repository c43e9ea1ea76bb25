//! Certificate and key, from a FAT volume or an archive.

use crate::store::{Found, Store};
use alloc::format;
use alloc::string::String;
use fata::block::Disk;

/// The longest file that is read, octets.
const MOST: u64 = 64 << 10;

/// PEM texts.
pub struct Keys {
    /// The certificate, and those that signed it behind it.
    pub chain: String,
    /// Its key.
    pub key: String,
}

/// Reads `chain.pem` and `key.pem`.
pub async fn read(disk: Disk) -> fata::Result<Keys> {
    let store = Store::open(disk, 1 << 20).await?;
    Ok(Keys { chain: file(&store, "chain.pem").await?, key: file(&store, "key.pem").await? })
}

async fn file(store: &Store, name: &str) -> fata::Result<String> {
    let found = store.find(name).await.map_err(|_| format!("the disk keys: {name} cannot be read"))?;
    let Found::File(file) = found else { return Err(format!("the disk keys has no file {name}").into()) };
    if file.len > MOST {
        return Err(format!("the disk keys: {name} has {} octets, more than {MOST}", file.len).into());
    }
    let mut octets = alloc::vec![0; file.len as usize];
    file.read_at(0, &mut octets).await.map_err(|_| format!("the disk keys: {name} cannot be read"))?;
    String::from_utf8(octets).map_err(|_| format!("the disk keys: {name} is not text").into())
}
