//! A disk in memory that remembers in which order it was written and flushed.
//!
//! What was written and not flushed may be on the medium after a crash or not, sector by sector, in any order. From the trace
//! of a run [`SimDisk::crashes`] and [`SimDisk::after_crash`] make the disks that a crash at any moment can leave.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use fata_libos::block::{
    Access, BlockDevice, BlockError, Buffer, Disk, Geometry, InFlight, Outcome, Request,
};
use fata_libos::task::yield_now;

/// What happened on the disk.
#[derive(Clone, Debug)]
pub enum Event {
    /// A write began, of these octets from a sector on.
    Write {
        /// The first sector.
        sector: u64,
        /// What is written, whole sectors.
        octets: Rc<[u8]>,
    },
    /// The write that event `write` began has ended.
    Written {
        /// The index of the event.
        write: usize,
    },
    /// A flush began.
    Flush,
    /// The flush that event `flush` began has ended: what had been written before it began stays.
    Flushed {
        /// The index of the event.
        flush: usize,
    },
    /// A flush has failed: of what had been written and not flushed before nobody knows whether it is on the medium, now and
    /// after other flushes, although reads show it.
    Unflushed,
}

/// Sectors that were written; the others are zero.
type Sectors = BTreeMap<u64, Rc<[u8]>>;

/// A write that may be on the medium or not: its first sector, and the octets of each.
type Unflushed = (u64, Vec<Rc<[u8]>>);

struct State {
    geometry: Cell<Geometry>,
    sectors: RefCell<Sectors>,
    trace: RefCell<Option<Vec<Event>>>,
    octets_read: Cell<u64>,
    failed_reads: Cell<u64>,
    seed: Cell<u64>,
    is_slow: Cell<bool>,
    /// Sectors that cannot be read.
    bad_reads: RefCell<Vec<u64>>,
    /// Sectors that cannot be written.
    bad_writes: RefCell<Vec<u64>>,
    /// Flushes that succeed before so many fail.
    bad_flushes: Cell<(u64, u64)>,
}

/// A disk in memory. A clone is the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Rc<State>,
    /// What was there before the trace began.
    base: Sectors,
}

/// What is on the medium for sure is newer than an earlier write that failed: that one cannot bring back what was before.
fn renew(open: &mut [Unflushed], sector: u64, octets: &Rc<[u8]>) {
    for (first, sectors) in open {
        let index = sector.checked_sub(*first).and_then(|index| usize::try_from(index).ok());
        if let Some(old) = index.and_then(|index| sectors.get_mut(index)) {
            *old = octets.clone();
        }
    }
}

impl SimDisk {
    /// A disk of zeros.
    pub fn new(sector_size: usize, sectors: u64) -> Self {
        Self::with(Geometry::new(sector_size, sectors, Access::ReadWrite), Sectors::new())
    }

    fn with(geometry: Geometry, sectors: Sectors) -> Self {
        let state = State {
            geometry: Cell::new(geometry),
            sectors: RefCell::new(sectors.clone()),
            trace: RefCell::new(None),
            octets_read: Cell::new(0),
            failed_reads: Cell::new(0),
            seed: Cell::new(0x9e37_79b9_7f4a_7c15),
            is_slow: Cell::new(false),
            bad_reads: RefCell::default(),
            bad_writes: RefCell::default(),
            bad_flushes: Cell::default(),
        };
        Self { state: Rc::new(state), base: sectors }
    }

    /// The handle that a store is given.
    pub fn disk(&self) -> Disk {
        Disk::new(self.clone())
    }

    /// A disk of its own with the same content.
    pub fn copy(&self) -> Self {
        Self::with(self.state.geometry.get(), self.state.sectors.borrow().clone())
    }

    /// Has what another disk has.
    pub fn become_copy_of(&self, other: &Self) {
        *self.state.sectors.borrow_mut() = other.state.sectors.borrow().clone();
    }

    /// Begins to remember what happens. What was written before is taken to be on the medium.
    pub fn trace(&mut self) {
        self.base = self.state.sectors.borrow().clone();
        *self.state.trace.borrow_mut() = Some(Vec::new());
    }

    /// How much has happened since [`trace`](Self::trace): a moment to crash at.
    pub fn moment(&self) -> usize {
        self.state.trace.borrow().as_ref().map_or(0, Vec::len)
    }

    /// What has happened since [`trace`](Self::trace).
    pub fn events(&self) -> Vec<Event> {
        self.state.trace.borrow().clone().unwrap_or_default()
    }

    /// Requests take turns of the loop from now on, so that several are in flight and end in another order. The order is
    /// that of `seed`.
    pub fn slow(&self, seed: u64) {
        self.state.is_slow.set(true);
        self.state.seed.set(seed | 1);
    }

    /// Octets that were read since the disk was made.
    pub fn octets_read(&self) -> u64 {
        self.state.octets_read.get()
    }

    /// Reads that failed since the disk was made.
    pub fn failed_reads(&self) -> u64 {
        self.state.failed_reads.get()
    }

    /// Sets what may be done with the disk.
    pub fn set_access(&self, access: Access) {
        let mut geometry = self.state.geometry.get();
        geometry.access = access;
        self.state.geometry.set(geometry);
    }

    /// Makes a sector unreadable, until it is written.
    pub fn break_reads(&self, sector: u64) {
        self.state.bad_reads.borrow_mut().push(sector);
    }

    /// Makes a sector unwritable.
    pub fn break_writes(&self, sector: u64) {
        self.state.bad_writes.borrow_mut().push(sector);
    }

    /// Whether there are unwritable sectors.
    pub fn has_bad_writes(&self) -> bool {
        !self.state.bad_writes.borrow().is_empty()
    }

    /// Makes `count` flushes fail, after so many that do not.
    pub fn break_flushes(&self, after: u64, count: u64) {
        self.state.bad_flushes.set((after, count));
    }

    /// Whether the next flush fails.
    fn takes_bad_flush(&self) -> bool {
        let (after, count) = self.state.bad_flushes.get();
        self.state.bad_flushes.set(match after {
            0 => (0, count.saturating_sub(1)),
            _ => (after - 1, count),
        });
        after == 0 && count > 0
    }

    /// Makes all sectors readable and writable, and has flushes succeed.
    pub fn repair(&self) {
        self.state.bad_flushes.set((0, 0));
        self.state.bad_reads.borrow_mut().clear();
        self.state.bad_writes.borrow_mut().clear();
    }

    /// Changes an octet of the medium by exclusive or.
    pub fn flip(&self, octet: u64, bits: u8) {
        let size = self.state.geometry.get().sector_size as u64;
        let mut sectors = self.state.sectors.borrow_mut();
        let zero = || Rc::from(vec![0; size as usize]);
        let sector = sectors.entry(octet / size).or_insert_with(zero);
        let mut octets = sector.to_vec();
        octets[(octet % size) as usize] ^= bits;
        *sector = Rc::from(octets);
    }

    /// The disks without anything that was not flushed at `moment`, and with all of it.
    pub fn plain_crashes(&self, moment: usize) -> [SimDisk; 2] {
        let (safe, open) = self.split(moment);
        [self.image(&safe, &[], |_, _| true), self.image(&safe, &open, |_, _| true)]
    }

    /// The disks that a crash at `moment` may leave, those first that are told apart by a single write: without anything
    /// that was not flushed, with all of it, with each unflushed write alone, with all but each, and with the first and the
    /// last half of the sectors of each.
    pub fn crashes(&self, moment: usize) -> Vec<SimDisk> {
        let (safe, open) = self.split(moment);
        let mut out = vec![self.image(&safe, &[], |_, _| true), self.image(&safe, &open, |_, _| true)];
        for index in 0..open.len() {
            out.push(self.image(&safe, &open, |write, _| write == index));
            out.push(self.image(&safe, &open, |write, _| write != index));
            let half = open[index].1.len() / 2;
            if half > 0 {
                out.push(self.image(&safe, &open, |write, sector| write != index || sector < half));
                out.push(self.image(&safe, &open, |write, sector| write != index || sector >= half));
            }
        }
        out
    }

    /// A disk that a crash at `moment` may leave: of what was not flushed each sector is there or not, by chance.
    pub fn after_crash(&self, moment: usize, random: &mut impl FnMut() -> u64) -> SimDisk {
        let (safe, mut open) = self.split(moment);
        for index in (1..open.len()).rev() {
            open.swap(index, (random() % (index as u64 + 1)) as usize);
        }
        let odds = random() % 4 + 1;
        let chosen: Vec<Vec<bool>> =
            open.iter().map(|(_, sectors)| sectors.iter().map(|_| random() % 4 < odds).collect()).collect();
        self.image(&safe, &open, |write, sector| chosen[write][sector])
    }

    /// What is on the medium for sure at a moment, and the writes that may be: each with its sectors.
    fn split(&self, moment: usize) -> (Sectors, Vec<Unflushed>) {
        let trace = self.state.trace.borrow();
        let events = trace.as_ref().map_or(&[][..], |t| &t[..moment]);
        let mut ended: BTreeMap<usize, usize> = BTreeMap::new();
        let mut last = 0;
        for (at, event) in events.iter().enumerate() {
            match event {
                Event::Written { write } => _ = ended.insert(*write, at),
                Event::Flushed { flush } => last = last.max(*flush),
                Event::Unflushed => ended.retain(|_, end| *end < last),
                _ => {}
            }
        }
        let (mut safe, mut open) = (self.base.clone(), Vec::new());
        let size = self.state.geometry.get().sector_size;
        for (at, event) in events.iter().enumerate() {
            let Event::Write { sector, octets } = event else { continue };
            let sectors: Vec<Rc<[u8]>> = octets.chunks(size).map(Rc::from).collect();
            if ended.get(&at).is_some_and(|end| *end < last) {
                for (at, octets) in (*sector..).zip(sectors) {
                    renew(&mut open, at, &octets);
                    safe.insert(at, octets);
                }
            } else {
                open.push((*sector, sectors));
            }
        }
        (safe, open)
    }

    fn image(&self, safe: &Sectors, open: &[Unflushed], is_there: impl Fn(usize, usize) -> bool) -> SimDisk {
        let mut sectors = safe.clone();
        for (write, (first, octets)) in open.iter().enumerate() {
            for (index, octets) in octets.iter().enumerate() {
                if is_there(write, index) {
                    sectors.insert(*first + index as u64, octets.clone());
                }
            }
        }
        Self::with(self.state.geometry.get(), sectors)
    }

    fn note(&self, event: Event) -> usize {
        match &mut *self.state.trace.borrow_mut() {
            Some(trace) => {
                trace.push(event);
                trace.len() - 1
            }
            None => 0,
        }
    }

    fn read(&self, sector: u64, buffer: &mut Buffer) -> Result<(), BlockError> {
        let size = self.state.geometry.get().sector_size;
        let sectors = self.state.sectors.borrow();
        self.state.octets_read.set(self.state.octets_read.get() + buffer.len() as u64);
        for (at, octets) in (sector..).zip(buffer.chunks_exact_mut(size)) {
            if self.state.bad_reads.borrow().contains(&at) {
                self.state.failed_reads.set(self.state.failed_reads.get() + 1);
                return Err(BlockError::Failed { sector: at, status: 5 });
            }
            match sectors.get(&at) {
                Some(stored) => octets.copy_from_slice(stored),
                None => octets.fill(0),
            }
        }
        Ok(())
    }

    fn write(&self, sector: u64, octets: &[u8]) -> Result<(), BlockError> {
        let size = self.state.geometry.get().sector_size;
        for (at, octets) in (sector..).zip(octets.chunks_exact(size)) {
            if self.state.bad_writes.borrow().contains(&at) {
                return Err(BlockError::Failed { sector: at, status: 5 });
            }
            self.state.bad_reads.borrow_mut().retain(|bad| *bad != at);
            // Sectors of zeros take no memory, so that tests can have large values on large disks.
            if octets.iter().all(|octet| *octet == 0) {
                self.state.sectors.borrow_mut().remove(&at);
            } else {
                self.state.sectors.borrow_mut().insert(at, Rc::from(octets));
            }
        }
        Ok(())
    }

    async fn turns(&self) {
        if !self.state.is_slow.get() {
            return;
        }
        let mut seed = self.state.seed.get();
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        self.state.seed.set(seed);
        for _ in 0..seed % 5 {
            yield_now().await;
        }
    }

    async fn serve(self, request: Request) -> Outcome {
        match request {
            Request::Read { sector, mut buffer } => {
                self.turns().await;
                let result = self.read(sector, &mut buffer);
                Outcome { result, buffer: Some(buffer) }
            }
            Request::Write { sector, buffer } => {
                let write = self.note(Event::Write { sector, octets: Rc::from(&buffer[..]) });
                self.turns().await;
                let result = self.write(sector, &buffer);
                // Of a write that failed nobody knows what is on the medium, flush or not.
                if result.is_ok() {
                    self.note(Event::Written { write });
                }
                Outcome { result, buffer: Some(buffer) }
            }
            Request::Flush => {
                let flush = self.note(Event::Flush);
                self.turns().await;
                if self.takes_bad_flush() {
                    self.note(Event::Unflushed);
                    return Outcome {
                        result: Err(BlockError::Failed { sector: 0, status: 5 }),
                        buffer: None,
                    };
                }
                self.note(Event::Flushed { flush });
                Outcome { result: Ok(()), buffer: None }
            }
            Request::Discard { sector, .. } => Outcome::refused(request, BlockError::Unsupported { sector }),
        }
    }
}

impl BlockDevice for SimDisk {
    fn geometry(&self) -> Geometry {
        self.state.geometry.get()
    }

    fn submit(&self, request: Request) -> InFlight {
        if let Err(error) = self.geometry().check(&request) {
            return Box::pin(core::future::ready(Outcome::refused(request, error)));
        }
        Box::pin(self.clone().serve(request))
    }
}
