//! The queues of a device. Requests are independent of each other, so that each may go to any.

use super::fault::BlockFault;
use super::job::Job;
use super::limits::{Rings, Transfer};
use super::queue::{Issued, Queue, QueueError};
use super::terms::Flushes;
use crate::grant::GrantError;
use crate::types::DomId;
use crate::xen::Xen;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::task::{Context, Poll};

/// Pages of earlier connections that a back end's domain may hold before there are no new ones: what four rings of one page, full, have in
/// flight.
pub(super) const MAX_HELD: usize = 4 * 32 * 11;

pub(super) struct Queues {
    all: Vec<Queue>,
    /// The one that is next.
    turn: usize,
}

impl Queues {
    /// As wanted, or with smaller rings where there is no memory for large ones: all are of the same size.
    pub(super) fn new(
        xen: &Rc<Xen>,
        remote: DomId,
        handle: u16,
        mut rings: Rings,
    ) -> Result<Self, QueueError> {
        let pages = xen.grants().parked_pages_of(remote);
        if pages > MAX_HELD {
            return Err(QueueError::Held { pages });
        }
        loop {
            match Self::with_rings(xen, remote, handle, rings) {
                Err(QueueError::Grant(GrantError::NoMemory { .. })) if rings.order > 0 => rings.order -= 1,
                made => return made,
            }
        }
    }

    fn with_rings(xen: &Rc<Xen>, remote: DomId, handle: u16, rings: Rings) -> Result<Self, QueueError> {
        let mut all = Vec::with_capacity(rings.queues);
        for _ in 0..rings.queues {
            all.push(Queue::new(xen, remote, handle, rings.order)?);
        }
        Ok(Self { all, turn: 0 })
    }

    /// Each of them, for what is to be told to the back end.
    pub(super) fn all(&self) -> &[Queue] {
        &self.all
    }

    /// Begins to be of use, once it is known what the back end agrees to; `transfer` is what each queue may do.
    pub(super) fn agree(&mut self, flushes: Flushes, transfer: Transfer) {
        self.all.iter_mut().for_each(|queue| queue.agree(flushes, transfer));
    }

    /// Puts as much of what waits onto the rings as there is room for; [`push`](Self::push) shows it to the back end.
    pub(super) fn issue(&mut self, waiting: &mut VecDeque<Rc<Job>>) {
        let mut refused = 0;
        while let Some(job) = waiting.front().cloned() {
            if job.is_issued() {
                waiting.pop_front();
                job.finish();
                continue;
            }
            if refused == self.all.len() {
                // Responses give pages and grants back. Without any to come there is nothing to wait for.
                if self.all.iter().any(|queue| queue.in_flight() > 0) {
                    return;
                }
                job.fail_for_memory();
                // What comes next may need less: flushes need none.
                refused = 0;
                continue;
            }
            let turn = self.turn;
            self.turn = (turn + 1) % self.all.len();
            match self.all[turn].issue(waiting) {
                Issued::Something => refused = 0,
                Issued::Nothing => refused += 1,
            }
        }
    }

    /// Shows the back end what was issued.
    pub(super) fn push(&mut self) {
        self.all.iter_mut().for_each(Queue::push);
    }

    /// Looks for work that a notification may have announced before the channels were listened to.
    pub(super) fn kick(&self) {
        self.all.iter().for_each(Queue::kick);
    }

    /// Takes the responses that the back end has told of, until there are none; then each queue keeps the waker. What is to be
    /// tried again waits in front.
    pub(super) fn reap(
        &mut self,
        cx: &mut Context<'_>,
        waiting: &mut VecDeque<Rc<Job>>,
    ) -> Result<(), BlockFault> {
        for queue in &mut self.all {
            while let Poll::Ready(()) = queue.poll_fired(cx) {
                queue.reap(waiting)?;
            }
        }
        Ok(())
    }

    /// Callers' pages that the back end, which has closed, still uses; its access to the others has ended. Only before
    /// [`end`](Self::end).
    pub(super) fn still_held(&mut self) -> usize {
        self.all.iter_mut().map(Queue::still_held).sum()
    }

    /// Ends the queues, whose back end has closed or is not to be waited for: what is in flight is taken back as far as the back
    /// end lets go of it. Returns the jobs that were in flight, each once, in the order in which they were issued as far as the
    /// identifiers say.
    pub(super) fn end(self) -> Vec<Rc<Job>> {
        let mut jobs = Vec::new();
        for queue in self.all {
            queue.end(&mut jobs);
        }
        jobs
    }
}
