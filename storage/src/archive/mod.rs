//! Read-only archives: tar as POSIX (ustar, pax) and GNU have it, plain or in gzip.
//!
//! ```no_run
//! # async fn example(disk: fata_libos::block::Disk) -> Result<(), fata_storage::archive::Error> {
//! use fata_storage::archive::{Archive, Limits};
//!
//! let archive = Archive::open(disk, Limits::default()).await?;
//! let page = archive.read("site/index.html", 1 << 20).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Archive::open`] reads every header once and keeps an index in memory, within [`Limits`]; content stays where it is and
//! is read by range. Of an archive in gzip the content is unpacked into memory
//! (`docs/decisions/0034-a-compressed-archive-in-memory.md`).
//!
//! The index has files. Directories are what names imply. A hard link is the file that it names, a symbolic link the file
//! within the archive that it leads to; those that lead nowhere, to a directory or out of the archive, and devices, are left out and
//! counted. Sparse files, names that lead upwards, and names that are not UTF-8 are an error: an archive is taken whole, or
//! not at all. Of two files with one name the later one counts, as when tar unpacks them.
//!
//! An archive that is appended to a disk's sectors ends where tar says, or at the last sector.

mod error;
mod file;
mod gzip;
mod header;
mod index;
mod limits;
mod name;
mod pax;
mod scan;
mod source;

pub use error::Error;
pub use file::File;
pub use index::Entry;
pub use limits::Limits;

use alloc::rc::Rc;
use alloc::vec::Vec;
use fata_libos::block::Disk;
use index::Index;
use source::Source;

pub(crate) use gzip::is_gzip;
pub(crate) use header::is_header;

/// An archive: a handle, whose clones are the same archive.
#[derive(Clone)]
pub struct Archive {
    inner: Rc<Inner>,
}

struct Inner {
    source: Source,
    index: Index,
}

impl Archive {
    /// Opens the archive that begins at a disk's first sector.
    pub async fn open(disk: Disk, limits: Limits) -> Result<Self, Error> {
        Self::open_source(Source::disk(disk), limits).await
    }

    /// Opens an archive in memory, such as one of the image.
    pub async fn open_octets(octets: &'static [u8], limits: Limits) -> Result<Self, Error> {
        Self::open_source(Source::octets(octets), limits).await
    }

    async fn open_source(source: Source, limits: Limits) -> Result<Self, Error> {
        let source = match gzip::is_gzip(&source.first().await?) {
            true => gzip::unpack(&source, limits.unpacked).await?,
            false => source,
        };
        let index = scan::index(&source, &limits).await?;
        Ok(Self { inner: Rc::new(Inner { source, index }) })
    }

    /// The file of a name: without a slash at its begin, `/` between.
    pub fn get(&self, name: &str) -> Option<Entry> {
        self.inner.index.get(name)
    }

    /// Whether there are files below a name.
    pub fn has_directory(&self, name: &str) -> bool {
        self.inner.index.has_directory(name)
    }

    /// All files by name, in order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&str, Entry)> {
        self.inner.index.entries()
    }

    /// How many entries of the archive are not in the index: links that lead nowhere, devices.
    pub fn left_out(&self) -> usize {
        self.inner.index.left_out()
    }

    /// Octets that the archive takes in memory for content: 0, but for one in gzip.
    pub fn in_memory(&self) -> usize {
        self.inner.source.in_memory()
    }

    /// Fills a buffer from a place in a file, or what there is from there on.
    pub async fn read_at(&self, entry: &Entry, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let left = entry.len.saturating_sub(offset);
        let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        // The index has only files that end within the source.
        self.inner.source.read(entry.offset.saturating_add(offset), &mut buffer[..count]).await?;
        Ok(count)
    }

    /// The whole content of a file that has no more than `most` octets.
    pub async fn read(&self, name: &str, most: usize) -> Result<Vec<u8>, Error> {
        let entry = self.get(name).ok_or(Error::NotFound)?;
        let len = usize::try_from(entry.len).ok().filter(|len| *len <= most);
        let len = len.ok_or(Error::MoreThan { octets: entry.len, most })?;
        let mut octets = source::zeroed(len)?;
        self.read_at(&entry, 0, &mut octets).await?;
        Ok(octets)
    }

    /// A file with a place in it, where reading goes on.
    pub fn file(&self, name: &str) -> Result<File, Error> {
        let entry = self.get(name).ok_or(Error::NotFound)?;
        Ok(File::new(self.clone(), entry))
    }
}

#[cfg(test)]
mod tests;
