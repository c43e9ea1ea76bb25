//! A range of a disk as a disk of its own.
//!
//! A disk whose flush fails has lost what was written to it by whom ever, and says so to the one who asked. Slices of one disk
//! tell each other: of each of them that had been written to since its own last flush the next flush fails too. Who uses the
//! whole disk beside them is not told.

use super::checked;
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::Cell;
use fata_libos::block::{BlockDevice, BlockError, Disk, Geometry, InFlight, Outcome, Request};

/// Sectors of a disk that lie one after the other, counted from 0.
#[derive(Clone, Debug)]
pub struct Slice {
    disk: Disk,
    first: u64,
    sectors: u64,
    unflushed: Rc<Unflushed>,
}

/// What a slice knows of its writes.
#[derive(Debug, Default)]
struct Unflushed {
    /// How many have ended.
    written: Cell<u64>,
    /// How many flushes of the disk had failed when the first of those ended that were not flushed since; none if all were.
    since: Cell<Option<u64>>,
}

impl Slice {
    /// `sectors` sectors of `disk` from `first` on; an error if the disk has not so many.
    pub fn new(disk: &Disk, first: u64, sectors: u64) -> Result<Self, BlockError> {
        let all = disk.geometry().sectors;
        match first.checked_add(sectors) {
            Some(end) if end <= all => {
                Ok(Self { disk: disk.clone(), first, sectors, unflushed: Rc::default() })
            }
            _ => Err(BlockError::OutOfRange { sector: first, count: sectors, sectors: all }),
        }
    }

    /// Takes notice that a write has ended.
    fn ended(disk: &Disk, unflushed: &Unflushed) {
        unflushed.written.set(unflushed.written.get() + 1);
        if unflushed.since.get().is_none() {
            unflushed.since.set(Some(disk.failed_flushes().0));
        }
    }

    async fn flush(self) -> Outcome {
        let (written, failed) = (self.unflushed.written.get(), self.disk.failed_flushes().0);
        let mut outcome = self.disk.submit(Request::Flush).await;
        let (failed_now, error) = self.disk.failed_flushes();
        let is_lost = self.unflushed.since.get().is_some_and(|since| since < failed_now);
        if let (true, Ok(()), Some(error)) = (is_lost, outcome.result, error) {
            outcome.result = Err(error);
        }
        // What has ended meanwhile is the next flush's.
        self.unflushed.since.set((self.unflushed.written.get() > written).then_some(failed));
        outcome
    }

    /// The slice as a disk.
    pub fn disk(self) -> Disk {
        Disk::new(self)
    }
}

impl BlockDevice for Slice {
    /// The disk's, but for the number of sectors: fewer if the disk has become smaller.
    fn geometry(&self) -> Geometry {
        let mut geometry = self.disk.geometry();
        geometry.sectors = geometry.sectors.saturating_sub(self.first).min(self.sectors);
        geometry
    }

    fn submit(&self, request: Request) -> InFlight {
        checked(self.geometry(), request, |mut request| {
            let is_read = matches!(request, Request::Read { .. });
            match &mut request {
                Request::Read { sector, .. }
                | Request::Write { sector, .. }
                | Request::Discard { sector, .. } => *sector += self.first,
                Request::Flush => return Box::pin(self.clone().flush()),
            }
            let (first, in_flight) = (self.first, self.disk.submit(request));
            let (disk, unflushed) = (self.disk.clone(), self.unflushed.clone());
            Box::pin(async move {
                let Outcome { result, buffer } = in_flight.await;
                if !is_read {
                    Self::ended(&disk, &unflushed);
                }
                Outcome { result: result.map_err(|e| counted_from(first, e)), buffer }
            })
        })
    }
}

/// An error of the disk with the slice's number of the sector.
pub(super) fn counted_from(first: u64, error: BlockError) -> BlockError {
    let ours = |sector: u64| sector.saturating_sub(first);
    match error {
        BlockError::Failed { sector, status } => BlockError::Failed { sector: ours(sector), status },
        BlockError::ReadOnly { sector } => BlockError::ReadOnly { sector: ours(sector) },
        BlockError::Unsupported { sector } => BlockError::Unsupported { sector: ours(sector) },
        BlockError::Gone { sector } => BlockError::Gone { sector: ours(sector) },
        BlockError::NoMemory { sector, octets } => BlockError::NoMemory { sector: ours(sector), octets },
        other => other,
    }
}
