//! A file of an archive, with a place in it.

use super::{Archive, Entry, Error};
use embedded_io::{ErrorType, SeekFrom};
use embedded_io_async::{Read, Seek};

/// A file of an archive, with a place where reading goes on.
pub struct File {
    archive: Archive,
    entry: Entry,
    position: u64,
}

impl File {
    pub(super) fn new(archive: Archive, entry: Entry) -> Self {
        Self { archive, entry, position: 0 }
    }

    /// Where and how long it is.
    pub fn entry(&self) -> Entry {
        self.entry
    }
}

impl ErrorType for File {
    type Error = Error;
}

impl Read for File {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let count = self.archive.read_at(&self.entry, self.position, buffer).await?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for File {
    async fn seek(&mut self, to: SeekFrom) -> Result<u64, Error> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.entry.len.checked_add_signed(by),
        };
        self.position = position.ok_or(Error::BadPlace)?;
        Ok(self.position)
    }
}
