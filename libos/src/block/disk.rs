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
    #[cfg(feature = "secret")]
    is_secret: bool,
}

impl Disk {
    /// The handle of a device.
    pub fn new(device: impl BlockDevice + 'static) -> Self {
        Self {
            device: Rc::new(device),
            failed_flushes: Rc::default(),
            #[cfg(feature = "secret")]
            is_secret: false,
        }
    }

    /// The same device for who keeps keys on it: with the feature `secret`, buffers of requests through this handle and its clones are zeroed
    /// when they are dropped. What a driver has of its own beside them is not.
    pub fn secret(&self) -> Self {
        let disk = self.clone();
        #[cfg(feature = "secret")]
        let disk = Self { is_secret: true, ..disk };
        disk
    }

    /// Whether keys are kept on it: what has read from it is to zero the memory that it has used.
    pub fn is_secret(&self) -> bool {
        #[cfg(feature = "secret")]
        return self.is_secret;
        #[cfg(not(feature = "secret"))]
        false
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
        #[cfg(feature = "secret")]
        let request = self.marked(request);
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

    #[cfg(feature = "secret")]
    fn marked(&self, mut request: Request) -> Request {
        if self.is_secret
            && let Request::Read { buffer, .. } | Request::Write { buffer, .. } = &mut request
        {
            buffer.set_secret();
        }
        request
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
