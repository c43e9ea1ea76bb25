//! A file, or a block device of the host, as a block device.
//!
//! Reading and writing a file blocks, so a few threads do it: requests of many tasks are in flight at once, and the loop goes
//! on. A flush is `fdatasync`; a discard punches a hole. The file is locked: two writers at once would be the end of it.

mod workers;

use crate::reactor::Reactor;
use fata_libos::block::{Access, BlockDevice, BlockError, Discard, Geometry, InFlight, Outcome, Request};
use rustix::fs::{FallocateFlags, FileType, fallocate, fstat, ioctl_blksszget};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;
use workers::Workers;

/// Octets of a file's sector.
const FILE_SECTOR: usize = 512;

/// Why a file cannot be a block device.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The host refused.
    #[error("block device {name}: cannot open {path}: {error}")]
    Open {
        /// The block device.
        name: String,
        /// Its file.
        path: String,
        /// What the host says.
        error: io::Error,
    },
    /// Another process has it.
    #[error("block device {name}: another process uses {path}")]
    Busy {
        /// The block device.
        name: String,
        /// Its file.
        path: String,
    },
    /// It is not whole sectors.
    #[error("block device {name}: {path} has {octets} octets, which are not whole sectors of {sector_size}")]
    Size {
        /// The block device.
        name: String,
        /// Its file.
        path: String,
        /// Its size.
        octets: u64,
        /// Octets of a sector.
        sector_size: usize,
    },
    /// A folder, a pipe.
    #[error("block device {name}: {path} is neither a file nor a block device")]
    Kind {
        /// The block device.
        name: String,
        /// Its path.
        path: String,
    },
}

/// A file as a block device. Dropping it ends its threads, when they have done what was begun.
pub struct FileDisk {
    geometry: Geometry,
    workers: Workers,
}

impl FileDisk {
    /// Opens a file. `name` is the device's, for messages.
    pub fn open(reactor: &Rc<Reactor>, name: &str, path: &str, access: Access) -> Result<Self, FileError> {
        let (name, path) = (name.to_owned(), path.to_owned());
        let refused = |error| FileError::Open { name: name.clone(), path: path.clone(), error };
        let opened = OpenOptions::new().read(true).write(access == Access::ReadWrite).open(&path);
        let mut file = opened.map_err(refused)?;
        let locked = match access {
            Access::ReadOnly => file.try_lock_shared(),
            Access::ReadWrite => file.try_lock(),
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FileError::Busy { name, path }),
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        let sector_size = match kind_of(&file).map_err(refused)? {
            FileType::RegularFile => FILE_SECTOR,
            FileType::BlockDevice => ioctl_blksszget(&file).map_err(|error| refused(error.into()))? as usize,
            _ => return Err(FileError::Kind { name, path }),
        };
        let octets = file.seek(SeekFrom::End(0)).map_err(refused)?;
        if octets % sector_size as u64 != 0 {
            return Err(FileError::Size { name, path, octets, sector_size });
        }
        let mut geometry = Geometry::new(sector_size, octets / sector_size as u64, access);
        geometry.discard = Discard::Supported;
        let workers = Workers::start(reactor, Arc::new(file)).map_err(refused)?;
        Ok(Self { geometry, workers })
    }
}

fn kind_of(file: &File) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(fstat(file)?.st_mode))
}

impl BlockDevice for FileDisk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn submit(&self, request: Request) -> InFlight {
        if let Err(error) = self.geometry.check(&request) {
            return Box::pin(async move { Outcome::refused(request, error) });
        }
        self.workers.submit(self.geometry.sector_size, request)
    }
}

/// Does a request that was checked; blocks.
fn perform(file: &File, sector_size: usize, mut request: Request) -> Outcome {
    let at = |sector: u64| sector * sector_size as u64;
    let sector = request.sector();
    let done = match &mut request {
        Request::Read { sector, buffer } => file.read_exact_at(buffer, at(*sector)),
        Request::Write { sector, buffer } => file.write_all_at(buffer, at(*sector)),
        Request::Flush => file.sync_data(),
        Request::Discard { sector, count } => {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // A hole of no length is an error of the host's.
            if *count == 0 {
                Ok(())
            } else {
                fallocate(file, flags, at(*sector), at(*count)).map_err(Into::into)
            }
        }
    };
    let result = done.map_err(|error| match error.kind() {
        io::ErrorKind::Unsupported => BlockError::Unsupported { sector },
        _ => BlockError::Failed { sector, status: error.raw_os_error().unwrap_or_default() },
    });
    Outcome { result, buffer: request.into_buffer() }
}

#[cfg(test)]
mod tests;
