//! A ring with its pages and event channel, and what is in flight on it.

use super::fault::BlockFault;
use super::job::{Job, Part};
use crate::abi::blkif::{Blk, DiscardRequest, Request, Response, Slot, op, status};
use crate::events::{Channel, EventError};
use crate::grant::{Access, GrantError, GrantedPages};
use crate::ring::{FrontRing, IdTable};
use crate::types::{DomId, EvtchnPort, GrantRef};
use crate::xen::Xen;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::task::{Context, Poll};

/// Why there is no queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueueError {
    /// No pages, or no grants of them.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// No event channel.
    #[error(transparent)]
    Event(#[from] EventError),
    /// Back ends hold pages of earlier connections, and would hold these too.
    #[error("back ends hold {pages} pages of earlier connections")]
    Held {
        /// Pages that wait for a back end to let go.
        pages: usize,
    },
}

pub(super) struct Queue {
    xen: Rc<Xen>,
    remote: DomId,
    handle: u16,
    /// The operation for flushes; `None` where the back end has none.
    flush: Option<u8>,
    ring: FrontRing<Blk>,
    pages: GrantedPages,
    channel: Channel,
    in_flight: IdTable<Part>,
}

/// Whether a job went onto the ring as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Issued {
    Whole,
    /// There is no more room now.
    Partly,
}

impl Queue {
    /// A queue with a ring of `1 << order` pages.
    pub(super) fn new(xen: &Rc<Xen>, remote: DomId, handle: u16, order: u32) -> Result<Self, QueueError> {
        let channel = Channel::alloc(xen, remote)?;
        let pages = GrantedPages::alloc(xen, remote, 1 << order, Access::ReadWrite)?;
        let ring = FrontRing::new(pages.memory());
        let in_flight = IdTable::new(ring.size() as u16);
        Ok(Self { xen: xen.clone(), remote, handle, flush: None, ring, pages, channel, in_flight })
    }

    /// Says how flushes are asked for, once it is known.
    pub(super) fn set_flush(&mut self, flush: Option<u8>) {
        self.flush = flush;
    }

    /// The ring's pages, for the back end.
    pub(super) fn refs(&self) -> &[GrantRef] {
        self.pages.refs()
    }

    /// The channel, for the back end.
    pub(super) fn port(&self) -> EvtchnPort {
        self.channel.port()
    }

    /// Puts as much of a job onto the ring as there is room for; [`push`](Self::push) shows it to the back end.
    pub(super) fn issue(&mut self, job: &Rc<Job>) -> Issued {
        while !job.is_issued() {
            if self.ring.free() == 0 {
                return Issued::Partly;
            }
            match job.next_part(&self.xen, self.remote, self.flush.unwrap_or(op::FLUSH_DISKCACHE)) {
                // A back end without a cache has nothing to flush.
                Ok(part) if part.operation == op::FLUSH_DISKCACHE && self.flush.is_none() => {
                    part.job.part_ended();
                }
                Ok(part) => self.put(part),
                // Responses give grants back.
                Err(_) if self.in_flight.in_flight() > 0 => return Issued::Partly,
                Err(_) => job.fail_for_memory(),
            }
        }
        Issued::Whole
    }

    fn put(&mut self, part: Part) {
        let (segments, count) = part.segments();
        let Part { operation, sector, sectors, .. } = part;
        let Ok(id) = self.in_flight.insert(part) else {
            unreachable!("as many places as the ring has slots")
        };
        let (id, handle) = (id.into(), self.handle);
        self.ring.request(match operation {
            op::DISCARD => Slot::from(DiscardRequest {
                operation,
                handle,
                id,
                sector_number: sector,
                nr_sectors: sectors,
                ..DiscardRequest::default()
            }),
            _ => Slot::from(Request {
                operation,
                nr_segments: count,
                handle,
                pad: 0,
                id,
                sector_number: sector,
                seg: segments,
            }),
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

    /// Takes the responses that are there, and asks for a notification of the next one.
    pub(super) fn reap(&mut self) -> Result<(), BlockFault> {
        self.ring.look().map_err(BlockFault::Ring)?;
        loop {
            while let Some((_, response)) = self.ring.response() {
                self.ended(response)?;
            }
            if self.ring.arm(1).map_err(BlockFault::Ring)? == 0 {
                return Ok(());
            }
        }
    }

    fn ended(&mut self, response: Response) -> Result<(), BlockFault> {
        let Response { id, operation: seen, status: result, .. } = response;
        let part = self.in_flight.take(id).map_err(BlockFault::Id)?;
        let Part { job, operation: expected, sector, lent, .. } = part;
        // What is not known to be over is not told to be over: the job ends with the connection's other ones.
        let pages = lent.map_or(0, |lent| lent.end());
        let fault = if seen != expected {
            Some(BlockFault::Operation { id, seen, expected })
        } else if !matches!(result, status::OKAY | status::ERROR | status::EOPNOTSUPP) {
            Some(BlockFault::Status { id, seen: result })
        } else if pages > 0 {
            Some(BlockFault::Held { id, pages })
        } else {
            None
        };
        if let Some(fault) = fault {
            job.fail(job.gone());
            job.part_ended();
            job.finish();
            return Err(fault);
        }
        if result != status::OKAY {
            job.fail_at(sector, result);
        }
        job.part_ended();
        job.finish();
        Ok(())
    }

    /// Ends the queue: what is in flight is taken back as far as the back end lets go of it. Returns the jobs of what was in
    /// flight.
    pub(super) fn end(mut self) -> Vec<Rc<Job>> {
        let ended = self.in_flight.drain().map(|Part { job, lent, .. }| {
            drop(lent);
            job.part_ended();
            job
        });
        ended.collect()
    }
}
