//! The handle of a block device.

use super::transfer::{Asked, Finished, Transfer};
use super::{BlockDevice, BlockError, Buffer, Geometry, InFlight, Request};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::Cell;
use core::fmt;

/// A block device, to be shared: a clone is the same device.
#[derive(Clone)]
pub struct Disk {
    device: Rc<dyn BlockDevice>,
    /// How many flushes have failed, and why the last.
    failed_flushes: Rc<Cell<(u64, Option<BlockError>)>>,
}

impl Disk {
    /// The handle of a device.
    pub fn new(device: impl BlockDevice + 'static) -> Self {
        Self { device: Rc::new(device), failed_flushes: Rc::default() }
    }

    /// What the device is like, as last known.
    pub fn geometry(&self) -> Geometry {
        self.device.geometry()
    }

    /// Octets of a sector.
    pub fn sector_size(&self) -> usize {
        self.geometry().sector_size
    }

    /// Begins a request, which then goes on by itself.
    pub fn submit(&self, request: Request) -> InFlight {
        let is_flush = matches!(request, Request::Flush);
        let in_flight = self.device.submit(request);
        if !is_flush {
            return in_flight;
        }
        let failed = self.failed_flushes.clone();
        Box::pin(async move {
            let outcome = in_flight.await;
            if let Err(error) = outcome.result {
                failed.set((failed.get().0 + 1, Some(error)));
            }
            outcome
        })
    }

    /// How many flushes of this handle and its clones have failed, and why the last. A device tells of writes that it has lost
    /// only once: who shares it with others asks here.
    pub fn failed_flushes(&self) -> (u64, Option<BlockError>) {
        self.failed_flushes.get()
    }

    /// The content of `count` sectors from `sector` on, in a new buffer. This request and those below begin when they are first
    /// awaited.
    pub fn read(&self, sector: u64, count: usize) -> Transfer<'_> {
        Transfer(match self.buffer_for(sector, count) {
            Ok(buffer) => Asked::new(self, Request::Read { sector, buffer }),
            Err(error) => Asked::refused(self, sector, error),
        })
    }

    fn buffer_for(&self, sector: u64, count: usize) -> Result<Buffer, BlockError> {
        // Before there is memory for it: a count may come from anywhere.
        let geometry = self.geometry();
        geometry.check_range(sector, count as u64)?;
        let octets = count.saturating_mul(geometry.sector_size);
        Buffer::try_zeroed(octets).ok_or(BlockError::NoMemory { sector, octets })
    }

    /// Fills a buffer, whole sectors long, from `sector` on.
    pub fn read_into(&self, sector: u64, buffer: Buffer) -> Transfer<'_> {
        Transfer(Asked::new(self, Request::Read { sector, buffer }))
    }

    /// Writes a buffer, whole sectors long, from `sector` on, and gives it back. It is on the medium after a
    /// [`flush`](Self::flush).
    pub fn write(&self, sector: u64, buffer: Buffer) -> Transfer<'_> {
        Transfer(Asked::new(self, Request::Write { sector, buffer }))
    }

    /// Waits until what was written is on the medium: all that was written by calls that have returned.
    pub fn flush(&self) -> Finished<'_> {
        Finished(Asked::new(self, Request::Flush))
    }

    /// Gives up what `count` sectors from `sector` on hold; what they hold afterwards is anything. An error where the device
    /// has no use for that ([`Geometry::discard`]).
    pub fn discard(&self, sector: u64, count: u64) -> Finished<'_> {
        Finished(Asked::new(self, Request::Discard { sector, count }))
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Geometry { sector_size, sectors, .. } = self.geometry();
        write!(f, "Disk of {sectors} sectors of {sector_size} octets")
    }
}
