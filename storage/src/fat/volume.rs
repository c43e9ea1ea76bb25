//! A mounted volume.

use super::device::Device;
use super::metadata::WallClock;
use super::pins::{Fs, Pin, Shared};
use super::{Error, File, Kind, Metadata, Mode, ReadDir, path};
use crate::lock::Guard;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use fata_libos::block::Disk;
use hadris_fat::{CacheOptions, FatKind};
use hadris_fs::{MountOptions, Name, NodeId, RenameMode, SetAttr};
use hadris_io::ErrorKind;

/// The most files and directories that are held at once.
pub(super) const NODES: usize = 1024;
/// Sectors of tables and directories that are kept in memory.
const CACHED_SECTORS: usize = 32;
/// Places in chains of clusters that are remembered, for seeking.
const CACHED_POSITIONS: usize = 64;

/// A FAT volume: a handle, whose clones are the same volume. On a disk that is [secret](Disk::secret) no memory that has held a
/// file's content is given back as it was.
#[derive(Clone)]
pub struct Volume {
    shared: Rc<Shared>,
}

/// The three formats that are called FAT, by the width of an entry in the table of clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Up to 4084 clusters: floppy disks, small images.
    Fat12,
    /// Up to 65524 clusters.
    Fat16,
    /// From 65525 clusters on.
    Fat32,
}

/// How much a volume holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Octets for files and directories.
    pub total: u64,
    /// Octets of these that nothing uses.
    pub free: u64,
}

impl Volume {
    /// Mounts the volume that begins at the disk's first sector; read-only where the disk is.
    pub async fn mount(disk: Disk) -> Result<Self, Error> {
        Self::mount_with(disk, options()).await
    }

    /// The same, and writes nothing whatever the disk allows.
    pub async fn mount_read_only(disk: Disk) -> Result<Self, Error> {
        Self::mount_with(disk, options().read_only()).await
    }

    async fn mount_with(disk: Disk, options: MountOptions) -> Result<Self, Error> {
        let is_secret = disk.is_secret();
        let device = Device::new(disk).ok_or(Error::Unsupported)?;
        let fs = Fs::mount(device, options).await.map_err(|error| error.into_error())?;
        let cache = CacheOptions::new().with_blocks(CACHED_SECTORS).with_chain_positions(CACHED_POSITIONS);
        let fs = fs.with_cache(cache.with_directory_hint(true));
        Ok(Self { shared: Rc::new(Shared::new(fs, is_secret)) })
    }

    pub(super) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Which FAT it is.
    pub async fn variant(&self) -> Variant {
        match self.shared.lock().await.info().kind() {
            FatKind::Fat12 => Variant::Fat12,
            FatKind::Fat16 => Variant::Fat16,
            _ => Variant::Fat32,
        }
    }

    /// Its label, if it has one.
    pub async fn label(&self) -> Result<Option<String>, Error> {
        let mut text = [0; 64];
        Ok(self.shared.lock().await.label(&mut text).await?.map(String::from))
    }

    /// How much it holds. The first call reads the whole table of clusters, unless a FAT32 volume says what is free.
    pub async fn space(&self) -> Result<Space, Error> {
        let stats = self.shared.lock().await.statfs().await?;
        Ok(Space { total: stats.total_bytes(), free: stats.free_bytes() })
    }

    /// Whether whoever had it before did not end in order, so that `fsck.fat` may find something. FAT12 does not tell.
    pub async fn was_dirty(&self) -> bool {
        self.shared.lock().await.was_dirty()
    }

    /// Opens a file to be read.
    pub async fn open(&self, path: &str) -> Result<File, Error> {
        self.open_with(path, Mode::Read).await
    }

    /// Makes a file, or empties the one that is there, and opens it to be read and written.
    pub async fn create(&self, path: &str) -> Result<File, Error> {
        self.open_with(path, Mode::Create).await
    }

    /// Opens a file.
    pub async fn open_with(&self, path: &str, mode: Mode) -> Result<File, Error> {
        let mut fs = self.shared.lock().await;
        let (directory, name) = self.parent(&mut fs, path).await?;
        let found = match mode {
            // To make a name is to look for it: that is done once.
            Mode::Create | Mode::CreateNew => match fs.create(directory.node, name, &SetAttr::new()).await {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && mode == Mode::Create => {
                    fs.lookup(directory.node, name).await
                }
                made => made,
            },
            Mode::Append => match fs.lookup(directory.node, name).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    fs.create(directory.node, name, &SetAttr::new()).await
                }
                found => found,
            },
            Mode::Read | Mode::Modify => fs.lookup(directory.node, name).await,
        };
        let pin = self.pin(found?);
        fs.open(pin.node, mode.access()).await?;
        pin.set_open(true);
        if mode == Mode::Create {
            fs.truncate(pin.node, 0).await?;
        }
        drop(fs);
        Ok(File::new(self.clone(), pin, mode))
    }

    /// The whole content of a file that has no more than `most` octets.
    pub async fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, Error> {
        self.open(path).await?.read_all(most).await
    }

    /// Makes a file of these octets, in place of the one that is there. It is on the disk after [`sync`](Self::sync).
    pub async fn write(&self, path: &str, octets: &[u8]) -> Result<(), Error> {
        let mut file = self.create(path).await?;
        embedded_io_async::Write::write_all(&mut file, octets).await?;
        file.close().await
    }

    /// Begins to read a directory.
    pub async fn read_dir(&self, path: &str) -> Result<ReadDir, Error> {
        let mut fs = self.shared.lock().await;
        let pin = self.find(&mut fs, path).await?;
        let metadata = Metadata::from(&fs.stat(pin.node).await?);
        if metadata.kind != Kind::Directory {
            return Err(Error::NotADirectory);
        }
        drop(fs);
        Ok(ReadDir::new(self.clone(), pin))
    }

    /// What is said of a file or directory.
    pub async fn metadata(&self, path: &str) -> Result<Metadata, Error> {
        let mut fs = self.shared.lock().await;
        let pin = self.find(&mut fs, path).await?;
        Ok((&fs.stat(pin.node).await?).into())
    }

    /// Makes a directory.
    pub async fn create_dir(&self, path: &str) -> Result<(), Error> {
        let mut fs = self.shared.lock().await;
        let (directory, name) = self.parent(&mut fs, path).await?;
        self.pin(fs.mkdir(directory.node, name, &SetAttr::new()).await?);
        Ok(())
    }

    /// Removes a file that nobody has open.
    pub async fn remove_file(&self, path: &str) -> Result<(), Error> {
        let mut fs = self.shared.lock().await;
        let (directory, name) = self.parent(&mut fs, path).await?;
        Ok(fs.unlink(directory.node, name).await?)
    }

    /// Removes an empty directory.
    pub async fn remove_dir(&self, path: &str) -> Result<(), Error> {
        let mut fs = self.shared.lock().await;
        let (directory, name) = self.parent(&mut fs, path).await?;
        Ok(fs.rmdir(directory.node, name).await?)
    }

    /// Gives a file or directory another name, in any directory of the volume. A file that nobody has open, or an empty
    /// directory, is replaced.
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let mut fs = self.shared.lock().await;
        let (from_directory, from) = self.parent(&mut fs, from).await?;
        let (to_directory, to) = self.parent(&mut fs, to).await?;
        Ok(fs.rename(from_directory.node, from, to_directory.node, to, RenameMode::Replace).await?)
    }

    /// Writes all that is not on the disk yet, and waits until the medium has it. The volume counts as left in order then,
    /// until the next change.
    pub async fn sync(&self) -> Result<(), Error> {
        Ok(self.shared.lock().await.sync().await?)
    }

    fn pin(&self, node: NodeId) -> Pin {
        Pin::new(&self.shared, node)
    }

    /// What stands at a path.
    async fn find(&self, fs: &mut Guard<'_, Fs>, path: &str) -> Result<Pin, Error> {
        let mut at = self.pin(fs.root());
        for name in path::names(path)? {
            at = self.pin(fs.lookup(at.node, Name::new(name)).await?);
        }
        Ok(at)
    }

    /// The directory of a path, and the name in it. The root has none.
    async fn parent<'p>(&self, fs: &mut Guard<'_, Fs>, path: &'p str) -> Result<(Pin, &'p Name), Error> {
        let mut names = path::names(path)?.peekable();
        let mut at = self.pin(fs.root());
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                return Ok((at, Name::new(name)));
            }
            at = self.pin(fs.lookup(at.node, Name::new(name)).await?);
        }
        Err(Error::BadPath)
    }
}

fn options() -> MountOptions {
    MountOptions::new().with_clock(&WallClock).with_node_limit(NODES)
}
