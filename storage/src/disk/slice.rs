//! A range of a disk as a disk of its own.

use super::checked;
use alloc::boxed::Box;
use fata_libos::block::{BlockDevice, BlockError, Disk, Geometry, InFlight, Outcome, Request};

/// Sectors of a disk that lie one after the other, counted from 0.
#[derive(Clone, Debug)]
pub struct Slice {
    disk: Disk,
    first: u64,
    sectors: u64,
}

impl Slice {
    /// `sectors` sectors of `disk` from `first` on; an error if the disk has not so many.
    pub fn new(disk: &Disk, first: u64, sectors: u64) -> Result<Self, BlockError> {
        let all = disk.geometry().sectors;
        match first.checked_add(sectors) {
            Some(end) if end <= all => Ok(Self { disk: disk.clone(), first, sectors }),
            _ => Err(BlockError::OutOfRange { sector: first, count: sectors, sectors: all }),
        }
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
            match &mut request {
                Request::Read { sector, .. }
                | Request::Write { sector, .. }
                | Request::Discard { sector, .. } => *sector += self.first,
                Request::Flush => {}
            }
            let (first, in_flight) = (self.first, self.disk.submit(request));
            Box::pin(async move {
                let Outcome { result, buffer } = in_flight.await;
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
