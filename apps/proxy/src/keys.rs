//! Configuration and certificates on a disk: a FAT volume, or an archive of tar.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use fata::block::Disk;
use fata::time::{Duration, SystemTime};
use fata_storage::archive::{Archive, Limits};
use fata_storage::detect::{Content, detect};
use fata_storage::fat::{self, Volume};
use fata_tls::{ServerConfig, issue};
use zeroize::Zeroizing;

/// The longest file that is read, octets.
const MOST: u64 = 256 << 10;

/// What the disk has.
enum Store {
    Fat(Volume),
    Archive(Archive),
}

/// A disk with the configuration and its certificates.
pub struct Files(Store);

impl Files {
    /// Opens what is on the disk, which stays as it is.
    pub async fn open(disk: Disk) -> fata::Result<Self> {
        Ok(Self(match detect(&disk).await? {
            Content::Fat => Store::Fat(Volume::mount_read_only(disk).await?),
            Content::Archive => {
                Store::Archive(Archive::open(disk, Limits { unpacked: 1 << 20, ..Limits::default() }).await?)
            }
            Content::Unknown => {
                return Err("the disk config has neither a FAT volume nor an archive of tar".into());
            }
        }))
    }

    /// A file's text; `None` if it is not there.
    pub async fn text(&self, path: &str) -> fata::Result<Option<Zeroizing<String>>> {
        let len = match &self.0 {
            Store::Fat(volume) => match volume.metadata(path).await {
                Ok(metadata) => metadata.len,
                Err(fat::Error::NotFound | fat::Error::NotADirectory) => return Ok(None),
                Err(error) => return Err(format!("{path}: {error}").into()),
            },
            Store::Archive(archive) => match archive.get(path) {
                Some(entry) => entry.len,
                None => return Ok(None),
            },
        };
        if len > MOST {
            return Err(format!("{path} is longer than 256 KiB").into());
        }
        let mut octets = Zeroizing::new(Vec::new());
        octets.try_reserve_exact(len as usize).map_err(|_| format!("{path} finds no memory"))?;
        octets.resize(len as usize, 0);
        let read = match &self.0 {
            Store::Fat(volume) => volume.open(path).await?.read_at(0, &mut octets).await?,
            Store::Archive(archive) => match archive.get(path) {
                Some(entry) => archive.read_at(&entry, 0, &mut octets).await?,
                None => 0,
            },
        };
        if read != octets.len() {
            return Err(format!("{path} cannot be read").into());
        }
        match core::str::from_utf8(&octets) {
            Ok(text) => Ok(Some(Zeroizing::new(text.into()))),
            Err(_) => Err(format!("{path} is not text").into()),
        }
    }
}

/// What hosts show: a certificate each, in their order. The second says for which one was made, that signed itself.
pub async fn certificates(
    files: Option<&Files>,
    hosts: &[(String, Vec<String>)],
) -> fata::Result<(ServerConfig, Vec<String>)> {
    let mut config: Option<ServerConfig> = None;
    let mut made = Vec::new();
    for (folder, names) in hosts {
        let (chain, key) = match read(files, folder).await? {
            Some(pair) => pair,
            None => {
                made.push(names.join(", "));
                make(names)?
            }
        };
        let of = |error| format!("{folder}/chain.pem and {folder}/key.pem: {error}");
        config = Some(match config {
            None => ServerConfig::from_pem(&chain, &key).map_err(of)?,
            Some(config) => config.certificate(&chain, &key).map_err(of)?,
        });
    }
    Ok((config.ok_or("no host has a certificate")?, made))
}

async fn read(files: Option<&Files>, folder: &str) -> fata::Result<Option<(String, Zeroizing<String>)>> {
    let Some(files) = files else { return Ok(None) };
    let chain = files.text(&format!("{folder}/chain.pem")).await?;
    let key = files.text(&format!("{folder}/key.pem")).await?;
    match (chain, key) {
        (Some(mut chain), Some(key)) => Ok(Some((core::mem::take(&mut *chain), key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(format!("{folder}/key.pem is not there").into()),
        (None, Some(_)) => Err(format!("{folder}/chain.pem is not there").into()),
    }
}

fn make(names: &[String]) -> fata::Result<(String, Zeroizing<String>)> {
    const DAY: Duration = Duration::from_secs(86_400);
    let now = SystemTime::now().since_unix();
    let names: Vec<&str> = names.iter().map(|name| name.trim_matches(['[', ']'])).collect();
    let (from, to) = (SystemTime::from_unix(now.saturating_sub(DAY)), SystemTime::from_unix(now + 800 * DAY));
    let made = issue::self_signed(&names, from, to)?;
    Ok((made.chain_pem, made.key_pem))
}
