//! The handle of a block device.

use super::{BlockDevice, BlockError, Buffer, Geometry, InFlight, Outcome, Request};
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

    /// The content of `count` sectors from `sector` on, in a new buffer.
    pub async fn read(&self, sector: u64, count: usize) -> Result<Buffer, BlockError> {
        // Before there is memory for it: a count may come from anywhere.
        self.geometry().check_range(sector, count as u64)?;
        let octets = count.saturating_mul(self.sector_size());
        let buffer = Buffer::try_zeroed(octets).ok_or(BlockError::NoMemory { sector, octets })?;
        self.read_into(sector, buffer).await
    }

    /// Fills a buffer, whole sectors long, from `sector` on.
    pub async fn read_into(&self, sector: u64, buffer: Buffer) -> Result<Buffer, BlockError> {
        buffer_of(sector, self.submit(Request::Read { sector, buffer }).await)
    }

    /// Writes a buffer, whole sectors long, from `sector` on, and gives it back. It is on the medium after a
    /// [`flush`](Self::flush).
    pub async fn write(&self, sector: u64, buffer: Buffer) -> Result<Buffer, BlockError> {
        buffer_of(sector, self.submit(Request::Write { sector, buffer }).await)
    }

    /// Waits until what was written is on the medium: all that was written by calls that have returned.
    pub async fn flush(&self) -> Result<(), BlockError> {
        self.submit(Request::Flush).await.result
    }

    /// Gives up what `count` sectors from `sector` on hold; what they hold afterwards is anything. An error where the device
    /// has no use for that ([`Geometry::discard`]).
    pub async fn discard(&self, sector: u64, count: u64) -> Result<(), BlockError> {
        self.submit(Request::Discard { sector, count }).await.result
    }
}

fn buffer_of(sector: u64, Outcome { result, buffer }: Outcome) -> Result<Buffer, BlockError> {
    result?;
    buffer.ok_or(BlockError::Gone { sector })
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Geometry { sector_size, sectors, .. } = self.geometry();
        write!(f, "Disk of {sectors} sectors of {sector_size} octets")
    }
}
