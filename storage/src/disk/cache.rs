//! A disk some of whose sectors are kept in memory.
//!
//! Writes go through: a flush is the disk's. What is kept is bounded, and goes in the order in which it came. Reads larger
//! than an eighth of the bound are not kept, so that one long read does not drive out what is read often.

use super::checked;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use core::cell::RefCell;
use core::fmt;
use fata_libos::block::{BlockDevice, Buffer, Disk, Geometry, InFlight, Outcome, Request, completion};
use fata_libos::task::spawn_detached;

/// Figures of a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Sectors that are kept.
    pub sectors: usize,
    /// Reads that were served from memory.
    pub hits: u64,
    /// Reads that went to the disk.
    pub misses: u64,
}

#[derive(Default)]
struct Kept {
    sectors: BTreeMap<u64, Rc<[u8]>>,
    order: VecDeque<u64>,
    /// Changes of the disk that have begun, and those that have ended: what is read in between may be of before.
    begun: u64,
    ended: u64,
    hits: u64,
    misses: u64,
}

/// A disk with a cache. A clone is the same.
#[derive(Clone)]
pub struct Cache {
    disk: Disk,
    /// Sectors that are kept at most.
    limit: usize,
    kept: Rc<RefCell<Kept>>,
}

impl Kept {
    /// Fills a buffer if all its sectors are kept.
    fn fill(&mut self, first: u64, buffer: &mut Buffer, size: usize) -> bool {
        let count = (buffer.len() / size) as u64;
        let is_all = (first..first + count).all(|sector| self.sectors.contains_key(&sector));
        if is_all {
            for (sector, octets) in (first..).zip(buffer.chunks_exact_mut(size)) {
                octets.copy_from_slice(&self.sectors[&sector]);
            }
            self.hits += 1;
        } else {
            self.misses += 1;
        }
        is_all
    }

    fn keep(&mut self, first: u64, octets: &[u8], size: usize, limit: usize) {
        for (sector, octets) in (first..).zip(octets.chunks_exact(size)) {
            if self.sectors.insert(sector, Rc::from(octets)).is_none() {
                self.order.push_back(sector);
            }
        }
        while self.sectors.len() > limit {
            let Some(oldest) = self.order.pop_front() else { break };
            self.sectors.remove(&oldest);
        }
    }

    fn forget(&mut self, first: u64, count: u64) {
        let end = first.saturating_add(count);
        let gone: alloc::vec::Vec<u64> = self.sectors.range(first..end).map(|(sector, _)| *sector).collect();
        for sector in &gone {
            self.sectors.remove(sector);
        }
        if !gone.is_empty() {
            self.order.retain(|sector| !(first..end).contains(sector));
        }
    }
}

impl Cache {
    /// A disk of which at most `octets` octets are kept.
    pub fn new(disk: &Disk, octets: usize) -> Self {
        Self { disk: disk.clone(), limit: octets / disk.sector_size(), kept: Rc::default() }
    }

    /// The disk to be used.
    pub fn disk(&self) -> Disk {
        Disk::new(self.clone())
    }

    /// Figures.
    pub fn stats(&self) -> CacheStats {
        let kept = self.kept.borrow();
        CacheStats { sectors: kept.sectors.len(), hits: kept.hits, misses: kept.misses }
    }

    async fn read(self, sector: u64, mut buffer: Buffer) -> Outcome {
        let size = self.disk.sector_size();
        let (begun, is_quiet) = {
            let mut kept = self.kept.borrow_mut();
            if kept.fill(sector, &mut buffer, size) {
                return Outcome { result: Ok(()), buffer: Some(buffer) };
            }
            (kept.begun, kept.begun == kept.ended)
        };
        let outcome = self.disk.submit(Request::Read { sector, buffer }).await;
        if let (Ok(()), Some(octets)) = (outcome.result, &outcome.buffer) {
            let mut kept = self.kept.borrow_mut();
            // A write that was under way meanwhile may have made this the past.
            if is_quiet && kept.begun == begun && octets.len() / size <= self.limit / 8 {
                kept.keep(sector, octets, size, self.limit);
            }
        }
        outcome
    }

    /// Writes or discards. A task of its own sees to the end of it, whether somebody waits or not.
    fn change(&self, request: Request) -> InFlight {
        let size = self.disk.sector_size();
        let (first, count) = match &request {
            Request::Write { sector, buffer } => (*sector, (buffer.len() / size) as u64),
            Request::Discard { sector, count } => (*sector, *count),
            Request::Read { .. } | Request::Flush => (0, 0),
        };
        {
            let mut kept = self.kept.borrow_mut();
            kept.begun += 1;
            kept.forget(first, count);
        }
        let in_flight = self.disk.submit(request);
        let (completer, told) = completion();
        let kept = self.kept.clone();
        spawn_detached(async move {
            let outcome = in_flight.await;
            kept.borrow_mut().ended += 1;
            completer.complete(outcome);
        });
        told
    }
}

impl BlockDevice for Cache {
    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn submit(&self, request: Request) -> InFlight {
        checked(self.geometry(), request, |request| match request {
            Request::Read { sector, buffer } => Box::pin(self.clone().read(sector, buffer)),
            Request::Flush => self.disk.submit(Request::Flush),
            change => self.change(change),
        })
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {:?}", self.disk, self.stats())
    }
}
