//! Files on a disk, whatever holds them: a FAT volume (with the feature `fat`), or an archive of tar, plain or in gzip.

#[cfg(feature = "fat")]
use alloc::rc::Rc;
use core::fmt;
use fata_libos::block::Disk;
use fata_libos::time::SystemTime;
use fata_storage::archive::{self, Archive, Entry, Limits};
use fata_storage::detect::{Content, detect};
#[cfg(feature = "fat")]
use fata_storage::fat::{self, File, Kind, Volume};

/// What the disk has.
pub enum Store {
    /// A FAT volume.
    #[cfg(feature = "fat")]
    Fat(Volume),
    /// An archive of tar, plain or in gzip.
    Archive(Archive),
}

/// What stands at a path.
pub enum Found {
    /// A file.
    File(Opened),
    /// A directory.
    Folder,
    /// Neither.
    Nothing,
}

/// A file that can be read.
pub struct Opened {
    /// Octets.
    pub len: u64,
    /// When it was changed, as the disk has it.
    pub modified: SystemTime,
    content: Readable,
}

enum Readable {
    #[cfg(feature = "fat")]
    Fat(Rc<File>),
    Archive(Archive, Entry),
}

/// The disk failed, or what is on it is damaged; the log says how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

impl Store {
    /// Opens what is on the disk, which stays as it is. `unpacked` is the most memory for an archive in gzip, octets.
    pub async fn open(disk: Disk, unpacked: usize) -> crate::Result<Self> {
        Ok(match detect(&disk).await? {
            #[cfg(feature = "fat")]
            Content::Fat => Self::Fat(Volume::mount_read_only(disk).await?),
            #[cfg(not(feature = "fat"))]
            Content::Fat => {
                return Err(
                    "the disk has a FAT volume, for which this image has no code (feature fat)".into()
                );
            }
            Content::Archive => {
                Self::Archive(Archive::open(disk, Limits { unpacked, ..Limits::default() }).await?)
            }
            Content::Unknown => {
                return Err("the disk has neither a FAT volume nor an archive of tar or tar.gz".into());
            }
        })
    }

    /// Whether files can be written to such a disk, by `fata_storage::fat::Volume`.
    pub fn is_volume(&self) -> bool {
        match self {
            #[cfg(feature = "fat")]
            Self::Fat(_) => true,
            Self::Archive(_) => false,
        }
    }

    /// Looks for a path without a slash at its begin.
    pub async fn find(&self, path: &str) -> Result<Found, Failed> {
        match self {
            #[cfg(feature = "fat")]
            Self::Fat(volume) => find_on_volume(volume, path).await,
            Self::Archive(archive) => Ok(match archive.get(path) {
                Some(entry) => Found::File(Opened {
                    len: entry.len,
                    modified: entry.modified(),
                    content: Readable::Archive(archive.clone(), entry),
                }),
                None if archive.has_directory(path) => Found::Folder,
                None => Found::Nothing,
            }),
        }
    }
}

#[cfg(feature = "fat")]
async fn find_on_volume(volume: &Volume, path: &str) -> Result<Found, Failed> {
    use fat::Error;
    let metadata = match volume.metadata(path).await {
        Ok(metadata) => metadata,
        Err(Error::NotFound | Error::NotADirectory | Error::BadPath | Error::NameTooLong) => {
            return Ok(Found::Nothing);
        }
        Err(error) => return Err(failed(&error)),
    };
    if metadata.kind == Kind::Directory {
        return Ok(Found::Folder);
    }
    let file = volume.open(path).await.map_err(|error| failed(&error))?;
    Ok(Found::File(Opened {
        len: metadata.len,
        modified: metadata.modified.unwrap_or_default(),
        content: Readable::Fat(Rc::new(file)),
    }))
}

impl Opened {
    /// Fills a buffer from a place on.
    pub async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        let read = match &self.content {
            #[cfg(feature = "fat")]
            Readable::Fat(file) => file.read_at(offset, buffer).await.map_err(|error| failed(&error))?,
            Readable::Archive(archive, entry) => {
                let read = archive.read_at(entry, offset, buffer).await;
                read.map_err(|error: archive::Error| failed(&error))?
            }
        };
        if read == buffer.len() { Ok(()) } else { Err(Failed) }
    }
}

fn failed(error: &dyn fmt::Display) -> Failed {
    log::warn!("the disk: {error}");
    Failed
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "fat")]
            Self::Fat(_) => write!(f, "a FAT volume"),
            Self::Archive(archive) => {
                let (files, octets) = (archive.entries().len(), archive.in_memory());
                write!(f, "an archive of {files} files, {octets} octets of it in memory")
            }
        }
    }
}
