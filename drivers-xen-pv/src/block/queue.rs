//! A ring with its pages and event channel, and what is in flight on it.

use super::fault::BlockFault;
use super::job::Job;
use super::limits::{Kept, MOST_SEGMENTS, Transfer};
use super::merge::{Joins, Kind, follower};
use super::part::{Memory, PAGE_SECTORS, Part, Piece};
use super::pool::Pool;
use super::terms::Flushes;
use crate::abi::blkif::{
    Blk, DiscardRequest, IndirectRequest, MAX_INDIRECT_PAGES, MAX_SEGMENTS, Request, Response, Segment, Slot,
    op, status,
};
use crate::events::{Channel, EventError};
use crate::grant::{Access, GrantError, GrantedPages};
use crate::ring::{FrontRing, IdTable, Message};
use crate::types::{DomId, EvtchnPort, GrantRef};
use crate::xen::Xen;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::task::{Context, Poll};

/// Pages with lists of segments: as many requests are in flight that need one. Others are cut shorter.
const MAX_LISTS: usize = 16;

/// Why there is no queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueueError {
    /// No pages, or no grants of them.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// No event channel.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The back end's domain holds pages of earlier connections, and would hold these too.
    #[error("the back end's domain holds {pages} pages of earlier connections")]
    Held {
        /// Pages that wait for a back end to let go.
        pages: usize,
    },
}

pub(super) struct Queue {
    xen: Rc<Xen>,
    remote: DomId,
    handle: u16,
    flushes: Flushes,
    transfer: Transfer,
    ring: FrontRing<Blk>,
    pages: GrantedPages,
    channel: Channel,
    in_flight: IdTable<Part>,
    /// Callers' pages in flight.
    lent: usize,
    /// What is copied through, where the back end keeps grants.
    copies: Pool,
    lists: Pool,
}

/// What became of an attempt to issue something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Issued {
    Something,
    /// There is no room on the ring, no page or no grant now.
    Nothing,
}

impl Queue {
    /// A queue with a ring of `1 << order` pages, for which the back end has agreed to nothing yet.
    pub(super) fn new(xen: &Rc<Xen>, remote: DomId, handle: u16, order: u32) -> Result<Self, QueueError> {
        let channel = Channel::alloc(xen, remote)?;
        let pages = GrantedPages::alloc(xen, remote, 1 << order, Access::ReadWrite)?;
        let ring = FrontRing::new(pages.memory());
        let in_flight = IdTable::new(ring.size() as u16);
        let no_pages = || Pool::new(xen, remote, Access::ReadOnly, 0);
        Ok(Self {
            xen: xen.clone(),
            remote,
            handle,
            flushes: Flushes::default(),
            transfer: Transfer { kept: Kept::No, pages: 0, segments: 0 },
            ring,
            pages,
            channel,
            in_flight,
            lent: 0,
            copies: no_pages(),
            lists: no_pages(),
        })
    }

    /// Begins to be of use, once it is known what the back end agrees to.
    pub(super) fn agree(&mut self, flushes: Flushes, transfer: Transfer) {
        let pool = |access, limit| Pool::new(&self.xen, self.remote, access, limit);
        // A back end that keeps grants maps every page for writing.
        let (copied, access) = match transfer.kept {
            Kept::Yes => (transfer.pages, Access::ReadWrite),
            Kept::No => (0, Access::ReadOnly),
        };
        self.copies = pool(Access::ReadWrite, copied);
        self.lists = pool(access, MAX_LISTS);
        (self.flushes, self.transfer) = (flushes, transfer);
    }

    /// Requests that the ring holds.
    pub(super) fn slots(&self) -> u32 {
        self.ring.size()
    }

    /// The ring's pages, for the back end.
    pub(super) fn refs(&self) -> &[GrantRef] {
        self.pages.refs()
    }

    /// The channel, for the back end.
    pub(super) fn port(&self) -> EvtchnPort {
        self.channel.port()
    }

    /// Requests that the back end has not answered.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.in_flight()
    }

    /// Makes one request of what waits, which has something left to issue at its front; [`push`](Self::push) shows it to the back
    /// end. What is issued as a whole waits no more.
    pub(super) fn issue(&mut self, waiting: &mut VecDeque<Rc<Job>>) -> Issued {
        let Some(first) = waiting.front().filter(|_| self.ring.free() > 0).cloned() else {
            return Issued::Nothing;
        };
        let (kind, sector) = (first.kind(), first.next_sector());
        let (operation, pieces) = match kind {
            Kind::Read => (op::READ, self.gather(first, waiting)),
            Kind::Write => (op::WRITE, self.gather(first, waiting)),
            Kind::Flush | Kind::Discard => {
                let operation = if kind == Kind::Flush { self.flushes.now } else { Some(op::DISCARD) };
                waiting.pop_front();
                let Some(operation) = operation else {
                    // A back end without a cache has nothing to flush.
                    first.skip();
                    first.finish();
                    return Issued::Something;
                };
                let sectors = first.left();
                (operation, Vec::from([begin(first, sectors, Memory::None)]))
            }
        };
        if pieces.is_empty() {
            return Issued::Nothing;
        }
        self.put(Part { operation, sector, pieces, list: None });
        Issued::Something
    }

    /// The next piece of the first that waits, and of what goes on where it ends. None if there is no page for it.
    fn gather(&mut self, first: Rc<Job>, waiting: &mut VecDeque<Rc<Job>>) -> Vec<Piece> {
        let kind = first.kind();
        let (mut pieces, mut pages) = (Vec::new(), 0);
        let (mut job, mut place) = (first, 0);
        loop {
            let wanted = job.pages_left();
            let room = self.room(pages, wanted);
            // Others join as a whole or not at all: then their last piece is the one that failed, if this does.
            if room == 0 || (room < wanted && !pieces.is_empty()) {
                break;
            }
            // Where grants are short, some go on a page at a time.
            let least = if pieces.is_empty() { 1 } else { room };
            let Some((room, sectors, memory)) = self.memory_for(&job, room, least) else { break };
            let (is_alone, end) = (job.waits().joins == Joins::Nobody, job.next_sector() + sectors);
            pieces.push(begin(job.clone(), sectors, memory));
            pages += room;
            if !job.is_issued() {
                break;
            }
            // Few are before it, and a ring's own way to take one out of its middle is long.
            (1..=place).rev().for_each(|at| waiting.swap(at, at - 1));
            waiting.pop_front();
            if is_alone {
                break;
            }
            let room = self.transfer.segments.saturating_sub(pages);
            let Some(next) = follower(kind, end, room, waiting.iter().map(|job| job.waits())) else { break };
            (job, place) = (waiting[next].clone(), next);
        }
        if let Kind::Write = kind {
            pieces.iter().for_each(|piece| piece.copy_in(&self.copies));
        }
        pieces
    }

    /// How many of `wanted` pages a request can have that has some already.
    fn room(&mut self, pages: usize, wanted: usize) -> usize {
        let is_longer = pages.saturating_add(wanted) > MAX_SEGMENTS && self.transfer.segments > MAX_SEGMENTS;
        let most =
            if is_longer && self.lists.make_free(1) > 0 { self.transfer.segments } else { MAX_SEGMENTS };
        let room = wanted.min(most.saturating_sub(pages));
        match self.transfer.kept {
            Kept::No => room.min(self.transfer.pages.saturating_sub(self.lent)),
            Kept::Yes => self.copies.make_free(room),
        }
    }

    /// What the back end sees of a job's next sectors, which are `pages` pages or else `least`; how many pages and sectors they are.
    fn memory_for(&mut self, job: &Job, pages: usize, least: usize) -> Option<(usize, u64, Memory)> {
        let sectors = |pages: usize| job.left().min(pages as u64 * PAGE_SECTORS);
        if self.transfer.kept == Kept::Yes {
            return Some((pages, sectors(pages), Memory::Copied(self.copies.take(pages))));
        }
        let lend = |pages: usize| Some((pages, job.lend_next(&self.xen, self.remote, sectors(pages)).ok()?));
        let (pages, lent) = lend(pages).or_else(|| if least < pages { lend(least) } else { None })?;
        self.lent += pages;
        Some((pages, sectors(pages), lent.map_or(Memory::None, Memory::Lent)))
    }

    fn put(&mut self, mut part: Part) {
        let (mut segments, mut count) = ([Segment::default(); MOST_SEGMENTS], 0);
        part.segments(&self.copies, &mut |segment| {
            segments[count] = segment;
            count += 1;
        });
        let segments = &segments[..count];
        if count > MAX_SEGMENTS {
            part.list = self.lists.take(1).pop();
        }
        let (operation, sector_number, handle, list) = (part.operation, part.sector, self.handle, part.list);
        let nr_sectors = part.pieces.iter().map(|piece| piece.sectors).sum();
        let Ok(id) = self.in_flight.insert(part) else {
            unreachable!("as many places as the ring has slots")
        };
        let id = id.into();
        self.ring.request(match (operation, list) {
            (op::DISCARD, _) => Slot::from(DiscardRequest {
                operation,
                handle,
                id,
                sector_number,
                nr_sectors,
                ..DiscardRequest::default()
            }),
            (_, None) => {
                let mut seg = [Segment::default(); MAX_SEGMENTS];
                seg[..count].copy_from_slice(segments);
                let nr_segments = count as u8;
                Slot::from(Request { operation, nr_segments, handle, pad: 0, id, sector_number, seg })
            }
            (_, Some(list)) => {
                let memory = self.lists.memory(list);
                let words = segments.iter().flat_map(|segment| segment.to_words());
                words.enumerate().for_each(|(n, word)| memory.store_u32(4 * n, word));
                let mut indirect_grefs = [0; MAX_INDIRECT_PAGES];
                indirect_grefs[0] = self.lists.gref(list).0;
                Slot::from(IndirectRequest {
                    operation: op::INDIRECT,
                    indirect_op: operation,
                    nr_segments: count as u16,
                    id,
                    sector_number,
                    handle,
                    indirect_grefs,
                    ..IndirectRequest::default()
                })
            }
        });
    }

    /// Shows the back end what was issued.
    pub(super) fn push(&mut self) {
        if self.ring.push() {
            self.channel.notify();
        }
    }

    /// Looks for work that a notification may have announced before the channel was listened to.
    pub(super) fn kick(&self) {
        self.channel.notify();
    }

    /// Ready when the back end has said that there are responses.
    pub(super) fn poll_fired(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.channel.poll_fired(cx)
    }

    /// Takes the responses that are there, and asks for a notification of the next one. What is to be tried again waits in front.
    pub(super) fn reap(&mut self, waiting: &mut VecDeque<Rc<Job>>) -> Result<(), BlockFault> {
        self.ring.look().map_err(BlockFault::Ring)?;
        loop {
            while let Some((_, response)) = self.ring.response() {
                self.ended(response, waiting)?;
            }
            if self.ring.arm(1).map_err(BlockFault::Ring)? == 0 {
                return Ok(());
            }
        }
    }

    fn ended(&mut self, response: Response, waiting: &mut VecDeque<Rc<Job>>) -> Result<(), BlockFault> {
        let Response { id, operation: seen, status: result, .. } = response;
        let part = self.in_flight.take(id).map_err(BlockFault::Id)?;
        let Part { operation: expected, sector, mut pieces, list } = part;
        // Linux's back end answers an indirect request with the operation within, others as the header says.
        let is_echoed = seen == expected || (list.is_some() && seen == op::INDIRECT);
        self.lists.give_back(list);
        let is_read = expected == op::READ && result == status::OKAY && is_echoed;
        let held: usize = pieces.iter_mut().map(|piece| self.take_back(piece, is_read)).sum();
        // What is not known to be over is not told to be over: the jobs end with the connection's other ones.
        let fault = if !is_echoed {
            Some(BlockFault::Operation { id, seen, expected })
        } else if !matches!(result, status::OKAY | status::ERROR | status::EOPNOTSUPP) {
            Some(BlockFault::Status { id, seen: result })
        } else if held > 0 {
            Some(BlockFault::Held { id, pages: held })
        } else {
            None
        };
        let is_tried_again = match result {
            status::OKAY => false,
            status::EOPNOTSUPP if matches!(expected, op::FLUSH_DISKCACHE | op::WRITE_BARRIER) => {
                self.flushes.fall_back(expected)
            }
            _ => pieces.len() > 1,
        };
        // Backwards, so that those to be tried again wait in their order.
        for Piece { job, from, .. } in pieces.into_iter().rev() {
            if fault.is_some() {
                job.fail(job.gone());
            } else if is_tried_again {
                if job.piece_failed(from) {
                    waiting.push_front(job);
                } else {
                    job.finish();
                }
                continue;
            } else if result != status::OKAY {
                job.fail_at(sector, result);
            }
            job.piece_ended();
            job.finish();
        }
        fault.map_or(Ok(()), Err)
    }

    /// Ends the back end's access to a piece, and says how many pages it holds all the same. `is_read`: they hold what was asked for.
    fn take_back(&mut self, piece: &mut Piece, is_read: bool) -> usize {
        if is_read {
            piece.copy_out(&self.copies);
        }
        match core::mem::replace(&mut piece.memory, Memory::None) {
            Memory::None => 0,
            Memory::Copied(pages) => {
                self.copies.give_back(pages);
                0
            }
            Memory::Lent(lent) => {
                self.lent -= lent.refs().len();
                lent.end()
            }
        }
    }

    /// Callers' pages that the back end, which has closed, still uses; its access to the others has ended.
    pub(super) fn still_held(&mut self) -> usize {
        let pieces = self.in_flight.iter_mut().flat_map(|part| &mut part.pieces);
        let held = pieces.map(|piece| match &mut piece.memory {
            Memory::Lent(lent) => lent.try_end(),
            Memory::None | Memory::Copied(_) => 0,
        });
        held.sum()
    }

    /// Ends the queue: what is in flight is taken back as far as the back end lets go of it. Adds the jobs of what was in
    /// flight, each once.
    pub(super) fn end(mut self, jobs: &mut Vec<Rc<Job>>) {
        for part in self.in_flight.drain() {
            for Piece { job, memory, .. } in part.pieces {
                drop(memory);
                job.piece_ended();
                if !jobs.iter().any(|known| Rc::ptr_eq(known, &job)) {
                    jobs.push(job);
                }
            }
        }
    }
}

/// The next piece of a job.
fn begin(job: Rc<Job>, sectors: u64, memory: Memory) -> Piece {
    let from = job.piece_begins(sectors);
    Piece { job, from, sectors, memory }
}
