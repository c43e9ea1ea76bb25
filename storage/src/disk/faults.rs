//! A disk that fails where and when it is told to: for tests of what stands on it.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::ops::Range;
use fata_libos::block::{BlockDevice, BlockError, Buffer, Disk, Geometry, InFlight, Outcome, Request};

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Reads of any of these sectors fail.
    Read(Range<u64>),
    /// Writes to any of these sectors fail; nothing is written.
    Write(Range<u64>),
    /// After so many more writes one fails, of which the first `sectors` sectors are written all the same. Then the fault is
    /// over.
    Torn {
        /// Writes that succeed before.
        after: u64,
        /// Sectors that are written.
        sectors: usize,
    },
    /// After so many more flushes one fails. Then the fault is over.
    Flush {
        /// Flushes that succeed before.
        after: u64,
    },
    /// After so many more requests of any kind the device is gone for good.
    Gone {
        /// Requests that are served before.
        after: u64,
    },
}

/// The status of errors that are made here.
const STATUS: i32 = 5;

/// A disk with faults. A clone is the same disk.
#[derive(Clone)]
pub struct Faults {
    disk: Disk,
    faults: Rc<RefCell<Vec<Fault>>>,
}

/// What becomes of a request.
enum Fate {
    Served,
    Failed(BlockError),
    /// A write of which so many octets are done.
    Torn(usize, BlockError),
}

impl Faults {
    /// A disk without faults, for now.
    pub fn new(disk: &Disk) -> Self {
        Self { disk: disk.clone(), faults: Rc::default() }
    }

    /// The disk to be used.
    pub fn disk(&self) -> Disk {
        Disk::new(self.clone())
    }

    /// Adds a fault.
    pub fn add(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    /// Ends all faults.
    pub fn clear(&self) {
        self.faults.borrow_mut().clear();
    }

    fn fate(&self, request: &Request) -> Fate {
        let size = self.disk.sector_size();
        let first = request.sector();
        let count = match request {
            Request::Read { buffer, .. } | Request::Write { buffer, .. } => (buffer.len() / size) as u64,
            _ => 0,
        };
        let hit = |range: &Range<u64>| {
            let from = first.max(range.start);
            (from < range.end.min(first.saturating_add(count))).then_some(from)
        };
        let failed = |sector| BlockError::Failed { sector, status: STATUS };
        let (is_write, is_flush) =
            (matches!(request, Request::Write { .. }), matches!(request, Request::Flush));
        let is_read = matches!(request, Request::Read { .. });
        let mut faults = self.faults.borrow_mut();
        for index in 0..faults.len() {
            let (is_meant, after) = match &mut faults[index] {
                Fault::Read(range) => match hit(range).filter(|_| is_read) {
                    Some(sector) => return Fate::Failed(failed(sector)),
                    None => continue,
                },
                Fault::Write(range) => match hit(range).filter(|_| is_write) {
                    Some(sector) => return Fate::Failed(failed(sector)),
                    None => continue,
                },
                Fault::Torn { after, .. } => (is_write, after),
                Fault::Flush { after } => (is_flush, after),
                Fault::Gone { after } => (true, after),
            };
            if !is_meant {
                continue;
            }
            if *after > 0 {
                *after -= 1;
                continue;
            }
            match faults[index] {
                Fault::Gone { .. } => return Fate::Failed(BlockError::Gone { sector: first }),
                Fault::Torn { sectors, .. } => {
                    faults.remove(index);
                    return Fate::Torn(sectors * size, failed(first));
                }
                _ => {
                    faults.remove(index);
                    return Fate::Failed(failed(0));
                }
            }
        }
        Fate::Served
    }
}

async fn torn(disk: Disk, request: Request, octets: usize, error: BlockError) -> Outcome {
    let sector = request.sector();
    let buffer = request.into_buffer();
    if let Some(all) = &buffer {
        let part = Buffer::copy_of(&all[..octets.min(all.len())]);
        if let Err(e) = disk.write(sector, part).await {
            return Outcome { result: Err(e), buffer };
        }
    }
    Outcome { result: Err(error), buffer }
}

impl BlockDevice for Faults {
    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn submit(&self, request: Request) -> InFlight {
        match self.fate(&request) {
            Fate::Served => self.disk.submit(request),
            Fate::Failed(error) => Box::pin(core::future::ready(Outcome::refused(request, error))),
            Fate::Torn(octets, error) => Box::pin(torn(self.disk.clone(), request, octets, error)),
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with {:?}", self.disk, self.faults.borrow())
    }
}
