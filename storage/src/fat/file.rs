//! An open file.

use super::pins::Pin;
use super::{Error, Metadata, Volume};
use alloc::vec::Vec;
use embedded_io::{ErrorType, SeekFrom};
use embedded_io_async::{Read, Seek, Write};
use hadris_fs::OpenMode;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To be read.
    Read,
    /// To be read and written; it is there.
    Modify,
    /// To be read and written; made, or emptied.
    Create,
    /// To be read and written; made, and an error if it is there.
    CreateNew,
    /// To be read, and written at its end; made if it is not there.
    Append,
}

impl Mode {
    pub(super) fn access(self) -> OpenMode {
        if self == Self::Read { OpenMode::Read } else { OpenMode::Write }
    }
}

/// An open file. It has a place where reading and writing go on; several may be open on one file, and see what each other
/// writes.
///
/// Dropping one closes it with the volume's next operation, where an error is only logged: [`close`](Self::close) tells.
pub struct File {
    volume: Volume,
    pin: Pin,
    mode: Mode,
    position: u64,
}

impl File {
    pub(super) fn new(volume: Volume, pin: Pin, mode: Mode) -> Self {
        Self { volume, pin, mode, position: 0 }
    }

    /// What is said of it, its length as it is now.
    pub async fn metadata(&self) -> Result<Metadata, Error> {
        let mut fs = self.volume.shared().lock().await;
        Ok((&fs.stat(self.pin.node).await?).into())
    }

    /// Fills a buffer from a place in the file, or what there is from there on; the file's own place stays.
    pub async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut fs = self.volume.shared().lock().await;
        let read = fs.read(self.pin.node, offset, buffer).await;
        self.volume.shared().forget_content(&mut fs).await;
        Ok(read?)
    }

    /// Cuts the file, or fills it up with zeros, to so many octets.
    pub async fn set_len(&mut self, octets: u64) -> Result<(), Error> {
        self.check_writable()?;
        let mut fs = self.volume.shared().lock().await;
        Ok(fs.truncate(self.pin.node, octets).await?)
    }

    /// What follows the file's place, if that is no more than `most` octets.
    pub async fn read_all(&mut self, most: usize) -> Result<Vec<u8>, Error> {
        let len = self.metadata().await?.len.saturating_sub(self.position);
        let len = usize::try_from(len).ok().filter(|len| *len <= most).ok_or(Error::MoreThan { most })?;
        let mut octets = Vec::new();
        octets.try_reserve_exact(len).map_err(|_| Error::MoreThan { most: 0 })?;
        octets.resize(len, 0);
        let count = self.read(&mut octets).await?;
        octets.truncate(count);
        Ok(octets)
    }

    /// Writes the file's size, and waits until the medium has that and the content.
    pub async fn sync(&self) -> Result<(), Error> {
        let mut fs = self.volume.shared().lock().await;
        Ok(fs.fsync(self.pin.node).await?)
    }

    /// Writes the file's size and lets go of it. The medium has it after [`Volume::sync`].
    pub async fn close(self) -> Result<(), Error> {
        let mut fs = self.volume.shared().lock().await;
        // First: this may be cancelled, and is no longer open then.
        self.pin.set_open(false);
        Ok(fs.close(self.pin.node).await?)
    }

    fn check_writable(&self) -> Result<(), Error> {
        if self.mode == Mode::Read { Err(Error::WrongMode) } else { Ok(()) }
    }
}

impl ErrorType for File {
    type Error = Error;
}

impl Read for File {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let count = self.read_at(self.position, buffer).await?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for File {
    async fn write(&mut self, octets: &[u8]) -> Result<usize, Error> {
        self.check_writable()?;
        let mut fs = self.volume.shared().lock().await;
        if self.mode == Mode::Append {
            self.position = fs.stat(self.pin.node).await?.len();
        }
        let written = fs.write(self.pin.node, self.position, octets).await;
        self.volume.shared().forget_content(&mut fs).await;
        let count = written?;
        self.position += count as u64;
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.sync().await
    }
}

impl Seek for File {
    async fn seek(&mut self, to: SeekFrom) -> Result<u64, Error> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.metadata().await?.len.checked_add_signed(by),
        };
        self.position = position.ok_or(Error::BadPlace)?;
        Ok(self.position)
    }
}
