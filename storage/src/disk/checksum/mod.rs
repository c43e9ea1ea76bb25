//! A disk that keeps a checksum of every sector, and gives back none whose octets have another.
//!
//! A read that meets such a sector fails with [`BlockError::Failed`], its status [`MISMATCH`] and the sector's number; other
//! sectors can be read as ever. The checksums are CRC-32C, of the octets and the sector's number, so that a sector that was written to another's
//! place is noticed too. They are for accidents: whoever can write to the disk can mend them.
//!
//! [`Checksum::format`] makes room for them on a disk, in sectors of their own: one for 63 sectors of 512 octets or 511 of
//! 4096. What was not written since then reads as zeros.
//!
//! # What a crash leaves
//!
//! A write has first, on the medium, checksums of what the sectors hold and of what they will hold, then the octets. So each
//! sector that was being written is whole after a crash and holds the one or the other, as on a disk without checksums. (A sector that
//! was written for the first time may hold what the disk had there before it was formatted.) This takes for granted, as file systems do, that
//! a sector, here one of checksums, is written wholly or not at all when the power fails.
//!
//! That has a price: each write is a read of what is there, a write of checksums, a flush, and the write; writes and flushes
//! go one at a time. It pays to write much at once. And a sector that holds again exactly what it held before its last
//! write, since that was lost on its way, is not noticed.

mod header;
mod sums;

use super::checked;
use super::slice::counted_from;
use crate::lock::Lock;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::ops::Range;
use fata_libos::block::{
    BlockDevice, BlockError, Buffer, Discard, Disk, Geometry, InFlight, Outcome, Request, completion,
};
use fata_libos::task::spawn_detached;
use header::Layout;
use sums::{Kept, Pair, Sums, sum_of};

pub use header::Error;

/// The status of errors where octets do not have their checksum: EILSEQ, as of Linux's dm-integrity.
pub const MISMATCH: i32 = 84;

/// Sectors that were written and not flushed, at most; then a flush comes by itself.
const MOST_UNFLUSHED: usize = 8192;

/// A disk with checksums. A clone is the same.
#[derive(Clone)]
pub struct Checksum {
    shared: Rc<Shared>,
}

struct Shared {
    disk: Disk,
    layout: Layout,
    kept: RefCell<Kept>,
    /// Counts beginnings and ends of writes of checksums: odd while one is under way.
    changes: Cell<u64>,
    /// Sectors that may not be on the medium yet. Held by who writes or flushes.
    unflushed: Lock<BTreeSet<u64>>,
}

impl Checksum {
    /// Makes room for checksums on a disk; what it held is lost. Writes a 64th of the disk, or a 512th if sectors have 4096 octets.
    pub async fn format(disk: &Disk) -> Result<(), Error> {
        header::format(disk).await
    }

    /// The disk with checksums that [`format`](Self::format) made of `disk`. Keeps at most `octets` octets of checksums in
    /// memory, or one sector.
    pub async fn open(disk: &Disk, octets: usize) -> Result<Self, Error> {
        let layout = header::read(disk).await?;
        let shared = Shared {
            disk: disk.clone(),
            layout,
            kept: RefCell::new(Kept::new(octets / disk.sector_size())),
            changes: Cell::new(0),
            unflushed: Lock::new(BTreeSet::new()),
        };
        Ok(Self { shared: Rc::new(shared) })
    }

    /// The disk to be used.
    pub fn disk(&self) -> Disk {
        Disk::new(self.clone())
    }
}

impl Shared {
    /// The checksums of a group of sectors.
    async fn sums(&self, group: u64) -> Result<Sums, BlockError> {
        let kept = self.kept.borrow().get(group);
        if let Some(sums) = kept {
            return Ok(sums);
        }
        let before = self.changes.get();
        let first = group * self.layout.group();
        let read = self.disk.read(self.layout.place_of_sums(group), 1).await;
        let octets = read.map_err(|error| at(first, error))?;
        let sums = Sums::decode(group, &octets).ok_or(mismatch(first))?;
        // What was read beside a write of checksums may be of before it.
        if before.is_multiple_of(2) && self.changes.get() == before {
            self.kept.borrow_mut().insert(group, sums.clone());
        }
        Ok(sums)
    }

    /// Compares what was read with its checksums, and clears what was never written.
    async fn verify(&self, sector: u64, buffer: &mut Buffer) -> Result<(), BlockError> {
        let mut sums: Option<(u64, Sums)> = None;
        for (sector, octets) in (sector..).zip(buffer.chunks_exact_mut(self.layout.sector_size())) {
            let (group, index) = self.layout.split(sector);
            let current = match sums.take() {
                Some((of, current)) if of == group => current,
                _ => self.sums(group).await.map_err(|error| at_least(sector, error))?,
            };
            match current.pair(index) {
                Pair { after: 0, .. } => octets.fill(0),
                pair if pair.has(sum_of(sector, octets)) => {}
                _ => return Err(mismatch(sector)),
            }
            sums = Some((group, current));
        }
        Ok(())
    }

    async fn read_once(&self, sector: u64, buffer: Buffer) -> Outcome {
        let read = Request::Read { sector: self.layout.place(sector), buffer };
        let Outcome { result, buffer } = self.disk.submit(read).await;
        let mut result = result.map_err(|error| counted_from(self.layout.place(0), error));
        let Some(mut buffer) = buffer else { return Outcome { result, buffer } };
        if result.is_ok() {
            result = self.verify(sector, &mut buffer).await;
        }
        Outcome { result, buffer: Some(buffer) }
    }

    async fn read(self: Rc<Self>, sector: u64, buffer: Buffer) -> Outcome {
        let outcome = self.read_once(sector, buffer).await;
        match outcome {
            // Beside a write, octets and checksums may be of different moments.
            Outcome { result: Err(BlockError::Failed { status: MISMATCH, .. }), buffer: Some(buffer) } => {
                let _unflushed = self.unflushed.lock().await;
                self.read_once(sector, buffer).await
            }
            outcome => outcome,
        }
    }

    /// The checksums of what sectors hold; none of those that cannot be read.
    async fn sums_of_now(&self, sectors: Range<u64>) -> Result<Vec<Option<u32>>, BlockError> {
        let count = (sectors.end - sectors.start) as usize;
        let mut out = Vec::new();
        let no_memory =
            BlockError::NoMemory { sector: sectors.start, octets: count * size_of::<Option<u32>>() };
        out.try_reserve_exact(count).map_err(|_| no_memory)?;
        match self.disk.read(self.layout.place(sectors.start), count).await {
            Ok(buffer) => {
                let octets = buffer.chunks_exact(self.layout.sector_size());
                out.extend(sectors.zip(octets).map(|(sector, octets)| Some(sum_of(sector, octets))));
            }
            Err(BlockError::Failed { .. }) => {
                for sector in sectors {
                    match self.disk.read(self.layout.place(sector), 1).await {
                        Ok(octets) => out.push(Some(sum_of(sector, &octets))),
                        Err(BlockError::Failed { .. }) => out.push(None),
                        Err(error) => return Err(at(sector, error)),
                    }
                }
            }
            Err(error) => return Err(at(sectors.start, error)),
        }
        Ok(out)
    }

    /// Has checksums on the medium that fit what sectors hold and what they will hold.
    async fn promise(&self, sectors: Range<u64>, octets: &[u8]) -> Result<(), BlockError> {
        let now = self.sums_of_now(sectors.clone()).await?;
        let (first, _) = self.layout.split(sectors.start);
        let (last, _) = self.layout.split(sectors.end - 1);
        let size = self.layout.sector_size();
        let mut groups = Vec::new();
        for group in first..=last {
            let sums = self.sums(group).await.map_err(|error| at_least(sectors.start, error))?;
            groups.push(sums.to_edit());
        }
        for ((sector, now), octets) in sectors.clone().zip(now).zip(octets.chunks_exact(size)) {
            let (group, index) = self.layout.split(sector);
            groups[(group - first) as usize].promise(index, now, sum_of(sector, octets));
        }
        let sums: Vec<Sums> = (first..).zip(groups).map(|(group, edit)| edit.seal(group)).collect();
        let len = sums.len() * size;
        let no_memory = BlockError::NoMemory { sector: sectors.start, octets: len };
        let mut buffer = Buffer::try_zeroed(len).ok_or(no_memory)?;
        for (octets, sums) in buffer.chunks_exact_mut(size).zip(&sums) {
            octets.copy_from_slice(sums.octets());
        }
        self.changes.set(self.changes.get() + 1);
        let written = self.disk.write(self.layout.place_of_sums(first), buffer).await;
        self.changes.set(self.changes.get() + 1);
        let mut kept = self.kept.borrow_mut();
        for (group, sums) in (first..).zip(sums) {
            match written {
                Ok(_) => kept.insert(group, sums),
                Err(_) => kept.forget(group),
            }
        }
        written.map(drop).map_err(|error| at(sectors.start, error))
    }

    async fn flush(&self, unflushed: &mut BTreeSet<u64>) -> Result<(), BlockError> {
        self.disk.flush().await?;
        unflushed.clear();
        Ok(())
    }

    async fn write(&self, sector: u64, buffer: Buffer) -> Outcome {
        let count = (buffer.len() / self.layout.sector_size()) as u64;
        let sectors = sector..sector + count;
        if count == 0 {
            return Outcome { result: Ok(()), buffer: Some(buffer) };
        }
        let mut unflushed = self.unflushed.lock().await;
        let is_again = unflushed.range(sectors.clone()).next().is_some();
        let ready = async {
            // Of what sectors hold the medium has to have the last, before the checksum of the one before that goes.
            if is_again || unflushed.len() > MOST_UNFLUSHED {
                self.flush(&mut unflushed).await?;
            }
            self.promise(sectors.clone(), &buffer).await?;
            self.flush(&mut unflushed).await
        };
        if let Err(error) = ready.await {
            return Outcome { result: Err(error), buffer: Some(buffer) };
        }
        unflushed.extend(sectors);
        let write = Request::Write { sector: self.layout.place(sector), buffer };
        let Outcome { result, buffer } = self.disk.submit(write).await;
        Outcome { result: result.map_err(|error| counted_from(self.layout.place(0), error)), buffer }
    }

    async fn change(&self, request: Request) -> Outcome {
        match request {
            Request::Write { sector, buffer } => self.write(sector, buffer).await,
            _ => {
                let mut unflushed = self.unflushed.lock().await;
                Outcome { result: self.flush(&mut unflushed).await, buffer: None }
            }
        }
    }
}

fn mismatch(sector: u64) -> BlockError {
    BlockError::Failed { sector, status: MISMATCH }
}

/// An error of a sector of checksums, or of the disk's own numbers, as one of a sector of ours.
fn at(sector: u64, error: BlockError) -> BlockError {
    match error {
        BlockError::Failed { status, .. } => BlockError::Failed { sector, status },
        BlockError::ReadOnly { .. } => BlockError::ReadOnly { sector },
        BlockError::Gone { .. } => BlockError::Gone { sector },
        BlockError::NoMemory { octets, .. } => BlockError::NoMemory { sector, octets },
        other => other,
    }
}

/// An error of a group, which may begin before the sectors that were asked for.
fn at_least(sector: u64, error: BlockError) -> BlockError {
    match error {
        BlockError::Failed { sector: first, status } => {
            BlockError::Failed { sector: first.max(sector), status }
        }
        other => at(sector, other),
    }
}

impl BlockDevice for Checksum {
    /// The disk's, but for the number of sectors; without discard, which would leave checksums of nothing.
    fn geometry(&self) -> Geometry {
        let mut geometry = self.shared.disk.geometry();
        let left = geometry.sectors.saturating_sub(self.shared.layout.place(0));
        geometry.sectors = left.min(self.shared.layout.sectors());
        geometry.discard = Discard::Unsupported;
        geometry
    }

    fn submit(&self, request: Request) -> InFlight {
        let shared = self.shared.clone();
        checked(self.geometry(), request, |request| match request {
            Request::Read { sector, buffer } => Box::pin(shared.read(sector, buffer)),
            change => {
                // It goes on to its end whether somebody waits for it or not.
                let (completer, told) = completion();
                spawn_detached(async move { completer.complete(shared.change(change).await) });
                told
            }
        })
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, with checksums", self.shared.disk)
    }
}
