//! A request on its way, from its submission to its end; which of it was issued, and what became of that.

use super::cache::Cache;
use super::merge::{Joins, Kind, Waits};
use super::part::PAGE_SECTORS;
use crate::abi::blkif::{SECTOR, status};
use crate::grant::{self, GrantError, Lent, Owner};
use crate::types::DomId;
use crate::xen::Xen;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use core::task::{Context, Poll};
use fata_libos::block::{Access, BlockError, Buffer, Discard, Geometry, Outcome, Request};
use fata_libos::task::WakerSet;

/// A buffer that is nobody's to touch, until the last part of its request has ended.
struct Memory(Buffer);

/// A request, from its submission to its end. Sectors are of 512 octets.
pub(super) struct Job {
    kind: Kind,
    sector: u64,
    sectors: u64,
    /// Octets of the device's sector, for errors.
    sector_size: usize,
    start: NonNull<u8>,
    memory: RefCell<Option<Rc<Memory>>>,
    /// Sectors that were issued.
    issued: Cell<u64>,
    /// A flush has no sectors, and is issued all the same.
    has_begun: Cell<bool>,
    /// Pieces in flight.
    pieces: Cell<usize>,
    joins: Cell<Joins>,
    error: Cell<Option<BlockError>>,
    /// Times that a connection was lost under it.
    losses: Cell<u8>,
    outcome: RefCell<Option<Outcome>>,
    cache: Rc<Cache>,
    /// Writes that had ended when it began.
    after: u64,
    waiting: WakerSet,
}

impl Job {
    /// A request that was checked.
    pub(super) fn new(request: Request, sector_size: usize, cache: &Rc<Cache>) -> Rc<Self> {
        let (first, mut discarded) = (request.sector(), 0);
        let kind = match &request {
            Request::Read { .. } => Kind::Read,
            Request::Write { .. } => Kind::Write,
            Request::Flush => Kind::Flush,
            Request::Discard { count, .. } => {
                discarded = *count;
                Kind::Discard
            }
        };
        let factor = (sector_size / SECTOR) as u64;
        let (mut start, mut sectors) = (NonNull::dangling(), discarded * factor);
        let memory = request.into_buffer().map(|mut buffer| {
            start = buffer.start();
            sectors = (buffer.len() / SECTOR) as u64;
            Rc::new(Memory(buffer))
        });
        Rc::new(Self {
            kind,
            sector: first * factor,
            sectors,
            sector_size,
            start,
            memory: RefCell::new(memory),
            issued: Cell::new(0),
            has_begun: Cell::new(false),
            pieces: Cell::new(0),
            joins: Cell::new(Joins::Others),
            error: Cell::new(None),
            losses: Cell::new(0),
            outcome: RefCell::new(None),
            cache: cache.clone(),
            after: cache.written(),
            waiting: WakerSet::new(),
        })
    }

    /// Whether a device that is so can do it: that it was submitted to may have been another one. Sectors in the error are of that
    /// one's size.
    pub(super) fn check(&self, geometry: &Geometry) -> Result<(), BlockError> {
        if self.kind == Kind::Flush {
            return Ok(());
        }
        let units = |sectors: u64| sectors / (self.sector_size / SECTOR) as u64;
        let (sector, factor) = (units(self.sector), (geometry.sector_size / SECTOR) as u64);
        if !self.sector.is_multiple_of(factor) || !self.sectors.is_multiple_of(factor) {
            let octets = self.sectors as usize * SECTOR;
            return Err(BlockError::Length { sector, octets, sector_size: geometry.sector_size });
        }
        let have = geometry.octets() / SECTOR as u64;
        // Neither is more than was once a disk's.
        if self.sector + self.sectors > have {
            return Err(BlockError::OutOfRange { sector, count: units(self.sectors), sectors: units(have) });
        }
        match (self.kind, geometry.access, geometry.discard) {
            (Kind::Write | Kind::Discard, Access::ReadOnly, _) => Err(BlockError::ReadOnly { sector }),
            (Kind::Discard, _, Discard::Unsupported) => Err(BlockError::Unsupported { sector }),
            _ => Ok(()),
        }
    }

    /// Whether all of it was issued.
    pub(super) fn is_issued(&self) -> bool {
        let is_whole = self.issued.get() >= self.sectors;
        // Reads and writes of nothing are done without the device.
        is_whole && (self.has_begun.get() || (self.kind != Kind::Flush && self.sectors == 0))
    }

    /// What is asked for.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Sectors that were not issued.
    pub(super) fn left(&self) -> u64 {
        self.sectors - self.issued.get()
    }

    /// The pages that those are.
    pub(super) fn pages_left(&self) -> usize {
        usize::try_from(self.left().div_ceil(PAGE_SECTORS)).unwrap_or(usize::MAX)
    }

    /// The sector that comes next; a flush has none.
    pub(super) fn next_sector(&self) -> u64 {
        if self.kind == Kind::Flush { 0 } else { self.sector + self.issued.get() }
    }

    /// What is left of it, for those that it may join.
    pub(super) fn waits(&self) -> Waits {
        let sector = self.next_sector();
        Waits { kind: self.kind, sector, pages: self.pages_left(), joins: self.joins.get() }
    }

    /// Takes notice of a piece that is issued, and says where in the job it begins. Until its last one pieces are whole pages.
    pub(super) fn piece_begins(&self, sectors: u64) -> u64 {
        let from = self.issued.get();
        self.issued.set(from + sectors);
        self.has_begun.set(true);
        self.pieces.set(self.pieces.get() + 1);
        from
    }

    /// Takes notice that there is nothing to be done.
    pub(super) fn skip(&self) {
        self.issued.set(self.sectors);
        self.has_begun.set(true);
    }

    /// Lends the pages of the sectors that come next to `remote`.
    pub(super) fn lend_next(
        &self,
        xen: &Rc<Xen>,
        remote: DomId,
        sectors: u64,
    ) -> Result<Option<Lent>, GrantError> {
        let Some(memory) = self.memory.borrow().clone() else { return Ok(None) };
        let is_write = self.kind == Kind::Write;
        let access = if is_write { grant::Access::ReadOnly } else { grant::Access::ReadWrite };
        let pages = |sectors: u64| sectors.div_ceil(PAGE_SECTORS) as usize;
        let owner = Owner { memory, pages: pages(self.sectors) };
        // SAFETY: pieces before this one were whole pages, so that the buffer has these pages from here on, and the memory keeps the
        // buffer, which nobody can reach before `finish` finds all pieces ended.
        let lent = unsafe {
            let start = self.start.add(self.issued.get() as usize * SECTOR);
            Lent::lend(xen, remote, owner, start, pages(sectors), access)?
        };
        Ok(Some(lent))
    }

    /// Its buffer's octets of so many sectors from `from` on. Only where no page of it is lent.
    pub(super) fn with_octets(&self, from: u64, sectors: u64, with: impl FnOnce(&mut [u8])) {
        let octets = from as usize * SECTOR..(from + sectors) as usize * SECTOR;
        let mut memory = self.memory.borrow_mut();
        // A page that an earlier back end holds is nobody's, and its job is not issued again.
        if let Some(Memory(buffer)) = memory.as_mut().and_then(Rc::get_mut) {
            with(&mut buffer[octets]);
        }
    }

    /// Ends with an error, when what is in flight of it has ended.
    pub(super) fn fail(&self, error: BlockError) {
        if self.error.get().is_none() {
            self.error.set(Some(error));
        }
        self.issued.set(self.sectors);
        self.has_begun.set(true);
    }

    /// An error of the device at a sector of the ring's.
    pub(super) fn fail_at(&self, sector: u64, result: i16) {
        let sector = sector / (self.sector_size / SECTOR) as u64;
        self.fail(match result {
            status::EOPNOTSUPP => BlockError::Unsupported { sector },
            _ => BlockError::Failed { sector, status: result.into() },
        });
    }

    /// Ends with the error that there is no memory, or no grant, for it.
    pub(super) fn fail_for_memory(&self) {
        let sector = self.sector / (self.sector_size / SECTOR) as u64;
        self.fail(BlockError::NoMemory { sector, octets: self.sectors as usize * SECTOR });
    }

    /// The error of a request whose device is gone.
    pub(super) fn gone(&self) -> BlockError {
        BlockError::Gone { sector: self.sector / (self.sector_size / SECTOR) as u64 }
    }

    /// Takes notice of a piece that has ended.
    pub(super) fn piece_ended(&self) {
        self.pieces.set(self.pieces.get() - 1);
    }

    /// Takes notice that its last piece, from `from` on, came to nothing and may be tried again, alone: false if it has failed
    /// anyway.
    pub(super) fn piece_failed(&self, from: u64) -> bool {
        self.piece_ended();
        if self.error.get().is_some() {
            return false;
        }
        self.issued.set(from);
        self.has_begun.set(from > 0);
        self.joins.set(Joins::Nobody);
        true
    }

    /// Takes notice of a connection that was lost with pieces in flight: true if it is to be issued again, as a whole.
    pub(super) fn begin_anew(&self) -> bool {
        self.losses.set(self.losses.get() + 1);
        // Pages that the lost back end still holds are no longer this request's.
        let is_whole = self.memory.borrow().as_ref().is_none_or(|memory| Rc::strong_count(memory) == 1);
        if self.losses.get() > 1 || !is_whole || self.error.get().is_some() {
            self.fail(self.gone());
            return false;
        }
        self.issued.set(0);
        self.has_begun.set(false);
        true
    }

    /// Wakes who waits, if all of it has ended. Once it has, it stays so.
    pub(super) fn finish(&self) {
        if !self.is_issued() || self.pieces.get() > 0 || self.outcome.borrow().is_some() {
            return;
        }
        let result = self.error.get().map_or(Ok(()), Err);
        if result.is_ok() {
            self.cache.ended(self.kind, self.after);
        }
        let memory = self.memory.borrow_mut().take();
        // What the back end has not let go of is parked, and stays.
        let buffer = memory.and_then(|memory| Rc::try_unwrap(memory).ok()).map(|Memory(buffer)| buffer);
        *self.outcome.borrow_mut() = Some(Outcome { result, buffer });
        self.waiting.wake_all();
    }

    /// Ready when it has ended; told once.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Outcome> {
        match self.outcome.borrow_mut().take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                self.waiting.register(cx);
                Poll::Pending
            }
        }
    }
}
