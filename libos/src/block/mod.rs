//! Block devices: what a driver implements, and what storage and appliances use.
//!
//! A [`Disk`] is the handle: `disk.read(sector, count).await`. Below it is a [`BlockDevice`], a driver's or a wrapper's (a
//! partition, a cache), which takes whole [`Request`]s. Requests are independent of each other: as many may be in flight as
//! there are futures, from as many tasks, and they may end in any order. Octets travel in [`Buffer`]s, whole pages which a
//! driver hands to the device as they are, unless the device wants the driver's own; while a request is in flight its buffer
//! is the driver's, so that a task that is cancelled leaves no device writing to memory that is used again.
//!
//! [`BlockDevice::flush`](Request::Flush) is a flush: what was written by requests that had ended before it began is on the
//! medium when it ends without error, whatever happens to the power then.

mod buffer;
mod completion;
mod disk;
mod error;
mod transfer;

pub use buffer::Buffer;
pub use completion::{Completer, completion};
pub use disk::Disk;
pub use error::BlockError;
pub use transfer::{Finished, Transfer};

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;

/// What a device is like. May change when a back end goes away and another comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Geometry {
    /// Octets of a sector: 512 or 4096.
    pub sector_size: usize,
    /// Sectors of the device; they count from 0.
    pub sectors: u64,
    /// What may be done with it.
    pub access: Access,
    /// Whether [`Request::Discard`] is of use.
    pub discard: Discard,
}

/// What may be done with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading alone; writes and discards are refused.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// Whether a device wants to know of sectors that nobody needs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// It does not: the request is refused.
    Unsupported,
    /// It gives up the sectors, whose content is anything afterwards.
    Supported,
}

impl Geometry {
    /// A device without discard.
    pub const fn new(sector_size: usize, sectors: u64, access: Access) -> Self {
        Self { sector_size, sectors, access, discard: Discard::Unsupported }
    }

    /// The device's size, octets.
    pub const fn octets(&self) -> u64 {
        self.sectors.saturating_mul(self.sector_size as u64)
    }

    /// Refuses what can be told to fail before a device sees it: every driver asks this first.
    pub fn check(&self, request: &Request) -> Result<(), BlockError> {
        let (sector, count) = match request {
            Request::Read { sector, buffer } | Request::Write { sector, buffer } => {
                (*sector, self.sectors_of(*sector, buffer.len())?)
            }
            Request::Discard { sector, count } => (*sector, *count),
            Request::Flush => return Ok(()),
        };
        self.check_range(sector, count)?;
        match request {
            Request::Write { .. } | Request::Discard { .. } if self.access == Access::ReadOnly => {
                Err(BlockError::ReadOnly { sector })
            }
            Request::Discard { .. } if self.discard == Discard::Unsupported => {
                Err(BlockError::Unsupported { sector })
            }
            _ => Ok(()),
        }
    }

    /// Refuses sectors that the device does not have.
    pub fn check_range(&self, sector: u64, count: u64) -> Result<(), BlockError> {
        let is_inside = sector.checked_add(count).is_some_and(|end| end <= self.sectors);
        if is_inside { Ok(()) } else { Err(BlockError::OutOfRange { sector, count, sectors: self.sectors }) }
    }

    fn sectors_of(&self, sector: u64, octets: usize) -> Result<u64, BlockError> {
        if octets.is_multiple_of(self.sector_size) {
            Ok((octets / self.sector_size) as u64)
        } else {
            Err(BlockError::Length { sector, octets, sector_size: self.sector_size })
        }
    }
}

/// One thing to be done. Sectors are of [`Geometry::sector_size`] octets, buffers are whole sectors long.
#[derive(Debug)]
pub enum Request {
    /// Fills a buffer from the sectors that begin at this one.
    Read {
        /// The first sector.
        sector: u64,
        /// What is filled.
        buffer: Buffer,
    },
    /// Writes a buffer to the sectors that begin at this one.
    Write {
        /// The first sector.
        sector: u64,
        /// What is written.
        buffer: Buffer,
    },
    /// Brings onto the medium what was written by requests that have ended.
    Flush,
    /// Gives up what these sectors hold.
    Discard {
        /// The first sector.
        sector: u64,
        /// How many.
        count: u64,
    },
}

impl Request {
    /// The first sector; 0 for a flush.
    pub const fn sector(&self) -> u64 {
        match self {
            Self::Read { sector, .. } | Self::Write { sector, .. } | Self::Discard { sector, .. } => *sector,
            Self::Flush => 0,
        }
    }

    /// Takes the buffer, if it has one.
    pub fn into_buffer(self) -> Option<Buffer> {
        match self {
            Self::Read { buffer, .. } | Self::Write { buffer, .. } => Some(buffer),
            Self::Flush | Self::Discard { .. } => None,
        }
    }
}

/// What became of a request.
#[derive(Debug)]
pub struct Outcome {
    /// Whether it was done. After an error of a read the buffer holds anything; after one of a write the sectors do.
    pub result: Result<(), BlockError>,
    /// The request's buffer. `None` if it had none, or if the device has not let go of it.
    pub buffer: Option<Buffer>,
}

impl Outcome {
    /// A request that comes to nothing.
    pub fn refused(request: Request, error: BlockError) -> Self {
        Self { result: Err(error), buffer: request.into_buffer() }
    }
}

/// A request in flight. Dropping it does not call the request back: the device goes on with it.
pub type InFlight = Pin<Box<dyn Future<Output = Outcome>>>;

/// A block device: a driver's, or a wrapper around another.
pub trait BlockDevice {
    /// What the device is like, as last known.
    fn geometry(&self) -> Geometry;

    /// Begins a request. A driver begins it at once; a wrapper may begin it when it is first polled.
    fn submit(&self, request: Request) -> InFlight;
}

#[cfg(test)]
mod tests;
