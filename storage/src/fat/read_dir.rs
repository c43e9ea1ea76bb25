//! The entries of a directory.

use super::pins::Pin;
use super::{Error, Metadata, Volume};
use alloc::string::{String, ToString};
use hadris_fs::DirCursor;

/// A directory that is being read.
pub struct ReadDir {
    volume: Volume,
    directory: Pin,
    next: DirCursor,
}

/// An entry of a directory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DirEntry {
    /// Its name, without a path.
    pub name: String,
    /// What is said of it.
    pub metadata: Metadata,
}

impl ReadDir {
    pub(super) fn new(volume: Volume, directory: Pin) -> Self {
        Self { volume, directory, next: DirCursor::START }
    }

    /// The next entry, in the directory's own order; `None` at the end. What is made or removed meanwhile may be among them
    /// or not.
    pub async fn next(&mut self) -> Result<Option<DirEntry>, Error> {
        let mut fs = self.volume.shared().lock().await;
        let Some(entry) = fs.readdir(self.directory.node, self.next).await? else { return Ok(None) };
        self.next = entry.next_cursor();
        Ok(Some(DirEntry { name: entry.name().to_string(), metadata: entry.metadata().into() }))
    }
}
