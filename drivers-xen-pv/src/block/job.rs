//! A request on its way: cut into what the ring's requests hold, its buffer lent part by part.

use crate::abi::blkif::{MAX_SEGMENTS, SECTOR, Segment, op};
use crate::grant::{Access, GrantError, Lent};
use crate::types::{DomId, PAGE_SIZE};
use crate::xen::Xen;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use core::task::{Context, Poll};
use fata_libos::block::{BlockError, Buffer, Outcome, Request};
use fata_libos::task::WakerSet;

/// Sectors of 512 octets in a page.
const PAGE_SECTORS: u64 = (PAGE_SIZE / SECTOR) as u64;
/// Those of a request with all its segments.
const PART_SECTORS: u64 = PAGE_SECTORS * MAX_SEGMENTS as u64;

/// A buffer that is nobody's to touch, until the last part of its request has ended.
struct Memory(#[allow(dead_code, reason = "kept alive, and given back")] Buffer);

/// What is asked for, in the ring's words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Flush,
    Discard,
}

/// A request, from its submission to its end. Sectors are of 512 octets.
pub(super) struct Job {
    kind: Kind,
    sector: u64,
    sectors: u64,
    /// Octets of the device's sector, for errors.
    sector_size: usize,
    start: NonNull<u8>,
    memory: RefCell<Option<Rc<Memory>>>,
    /// Sectors whose parts were issued.
    issued: Cell<u64>,
    /// A request without sectors has one part too.
    has_begun: Cell<bool>,
    /// Parts in flight.
    parts: Cell<usize>,
    error: Cell<Option<BlockError>>,
    /// Times that a connection was lost under it.
    losses: Cell<u8>,
    outcome: RefCell<Option<Outcome>>,
    waiting: WakerSet,
}

/// The next part of a job: what the ring's request says.
pub(super) struct Part {
    pub(super) job: Rc<Job>,
    pub(super) operation: u8,
    pub(super) sector: u64,
    pub(super) sectors: u64,
    pub(super) lent: Option<Lent>,
}

impl Job {
    /// A request that was checked.
    pub(super) fn new(request: Request, sector_size: usize) -> Rc<Self> {
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
            parts: Cell::new(0),
            error: Cell::new(None),
            losses: Cell::new(0),
            outcome: RefCell::new(None),
            waiting: WakerSet::new(),
        })
    }

    /// Whether all parts were issued.
    pub(super) fn is_issued(&self) -> bool {
        let is_whole = self.issued.get() >= self.sectors;
        // Reads and writes of nothing are done without the device.
        is_whole && (self.has_begun.get() || (self.kind != Kind::Flush && self.sectors == 0))
    }

    /// Makes the next part, its pages lent to `remote`. `flush` is the operation for flushes.
    pub(super) fn next_part(
        self: &Rc<Self>,
        xen: &Rc<Xen>,
        remote: DomId,
        flush: u8,
    ) -> Result<Part, GrantError> {
        let done = self.issued.get();
        let (operation, most) = match self.kind {
            Kind::Read => (op::READ, PART_SECTORS),
            Kind::Write => (op::WRITE, PART_SECTORS),
            Kind::Flush => (flush, 0),
            Kind::Discard => (op::DISCARD, u64::MAX),
        };
        let sectors = (self.sectors - done).min(most);
        let lent = self.lend(xen, remote, done, sectors)?;
        self.issued.set(done + sectors);
        self.has_begun.set(true);
        self.parts.set(self.parts.get() + 1);
        let sector = if self.kind == Kind::Flush { 0 } else { self.sector + done };
        Ok(Part { job: self.clone(), operation, sector, sectors, lent })
    }

    fn lend(
        &self,
        xen: &Rc<Xen>,
        remote: DomId,
        done: u64,
        sectors: u64,
    ) -> Result<Option<Lent>, GrantError> {
        let Some(memory) = self.memory.borrow().clone() else { return Ok(None) };
        let access = if self.kind == Kind::Write { Access::ReadOnly } else { Access::ReadWrite };
        let pages = sectors.div_ceil(PAGE_SECTORS) as usize;
        // SAFETY: parts before this one were whole pages, so that the buffer has these pages from here on, and `memory` keeps the
        // buffer, which nobody can reach before `finish` finds all parts ended.
        let lent = unsafe {
            let start = self.start.add(done as usize * SECTOR);
            Lent::lend(xen, remote, memory, start, pages, access)?
        };
        Ok(Some(lent))
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
    pub(super) fn fail_at(&self, sector: u64, status: i16) {
        let sector = sector / (self.sector_size / SECTOR) as u64;
        self.fail(BlockError::Failed { sector, status: status.into() });
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

    /// Takes notice of a part that has ended.
    pub(super) fn part_ended(&self) {
        self.parts.set(self.parts.get() - 1);
    }

    /// Takes notice of a connection that was lost with parts in flight: true if it is to be issued again, as a whole.
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
        if !self.is_issued() || self.parts.get() > 0 || self.outcome.borrow().is_some() {
            return;
        }
        let result = self.error.get().map_or(Ok(()), Err);
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

impl Part {
    /// The part's pages, as the ring's request names them; how many count.
    pub(super) fn segments(&self) -> ([Segment; MAX_SEGMENTS], u8) {
        let mut segments = [Segment::default(); MAX_SEGMENTS];
        let refs = self.lent.as_ref().map_or(&[][..], Lent::refs);
        let mut left = self.sectors;
        for (segment, gref) in segments.iter_mut().zip(refs) {
            let last_sect = left.min(PAGE_SECTORS) as u8 - 1;
            *segment = Segment { gref: gref.0, first_sect: 0, last_sect, pad: 0 };
            left -= u64::from(last_sect) + 1;
        }
        (segments, refs.len() as u8)
    }
}
