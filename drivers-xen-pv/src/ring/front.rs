//! A front end's side of a ring.

use super::{Message, Protocol, RingFault, RingIdx, layout, slots_in};
use crate::shared::SharedMemory;
use core::marker::PhantomData;
use core::sync::atomic::{Ordering, fence};

/// A front end's private view of a shared ring.
///
/// Requests are written with [`request`](Self::request) and become visible with [`push`](Self::push). Responses become
/// known with [`look`](Self::look) and are taken with [`response`](Self::response). A slot belongs to a request until its
/// response is taken: `rsp_cons <= rsp_known <= req_pushed <= req_prod <= rsp_cons + size`, on the wrapping counters.
#[derive(Debug)]
pub struct FrontRing<P: Protocol> {
    memory: SharedMemory,
    size: u32,
    req_prod: RingIdx,
    req_pushed: RingIdx,
    rsp_cons: RingIdx,
    rsp_known: RingIdx,
    protocol: PhantomData<P>,
}

impl<P: Protocol> FrontRing<P> {
    /// Makes an empty ring in `memory`, which the peer does not use yet (`FRONT_RING_INIT`).
    pub fn new(memory: SharedMemory) -> Self {
        Self::starting_at(memory, RingIdx(0))
    }

    /// The same with other first indices than 0, so that a test sees them wrap.
    pub fn starting_at(memory: SharedMemory, start: RingIdx) -> Self {
        memory.store_u32(layout::REQ_PROD, start.0);
        memory.store_u32(layout::RSP_PROD, start.0);
        memory.store_u32(layout::REQ_EVENT, start.plus(1).0);
        memory.store_u32(layout::RSP_EVENT, start.plus(1).0);
        let size = slots_in::<P>(memory.len());
        Self {
            memory,
            size,
            req_prod: start,
            req_pushed: start,
            rsp_cons: start,
            rsp_known: start,
            protocol: PhantomData,
        }
    }

    /// Slots.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Requests that can be written now.
    pub fn free(&self) -> u32 {
        self.size - self.in_use()
    }

    /// Requests written and not answered yet, published or not.
    pub fn in_use(&self) -> u32 {
        self.req_prod.since(self.rsp_cons)
    }

    /// Requests written and not published yet.
    pub fn unpushed(&self) -> u32 {
        self.req_prod.since(self.req_pushed)
    }

    /// Responses known and not taken yet.
    pub fn known(&self) -> u32 {
        self.rsp_known.since(self.rsp_cons)
    }

    /// The slot that an index falls on.
    pub fn slot(&self, index: RingIdx) -> usize {
        (index.0 & (self.size - 1)) as usize
    }

    /// Writes a request and returns its index. The peer sees it after [`push`](Self::push).
    ///
    /// # Panics
    /// If the ring is full: ask [`free`](Self::free) first.
    pub fn request(&mut self, request: P::Request) -> RingIdx {
        assert!(self.free() > 0, "a request for a full ring");
        let index = self.req_prod;
        let offset = self.offset(index);
        for (i, word) in request.to_words().as_ref().iter().enumerate() {
            self.memory.store_u32(offset + 4 * i, *word);
        }
        self.req_prod = index.plus(1);
        index
    }

    /// Publishes what was written; true if the peer wants to be notified of it.
    #[must_use = "a peer that is not notified sleeps on"]
    pub fn push(&mut self) -> bool {
        let (old, new) = (self.req_pushed, self.req_prod);
        if old == new {
            return false;
        }
        self.memory.store_u32(layout::REQ_PROD, new.0);
        self.req_pushed = new;
        // The peer sees the requests before its req_event is read, or it sleeps on and nobody notifies it.
        fence(Ordering::SeqCst);
        new.passes(old, RingIdx(self.memory.load_u32(layout::REQ_EVENT)))
    }

    /// Learns of new responses and returns how many can be taken now. Reads the peer's index once.
    pub fn look(&mut self) -> Result<u32, RingFault> {
        let seen = RingIdx(self.memory.load_u32(layout::RSP_PROD));
        let (least, most) = (self.rsp_known, self.req_pushed);
        if seen.since(least) > most.since(least) {
            return Err(RingFault::Producer { seen, least, most });
        }
        self.rsp_known = seen;
        Ok(self.known())
    }

    /// Takes the next known response out, with its index; `None` when no other is known.
    pub fn response(&mut self) -> Option<(RingIdx, P::Response)> {
        if self.known() == 0 {
            return None;
        }
        let index = self.rsp_cons;
        let offset = self.offset(index);
        let mut words = <P::Response as Message>::Words::default();
        for (i, word) in words.as_mut().iter_mut().enumerate() {
            *word = self.memory.load_u32(offset + 4 * i);
        }
        self.rsp_cons = index.plus(1);
        Some((index, P::Response::from_words(words)))
    }

    /// Asks for a notification when `count` more responses than were taken are there, then looks again, so that none is
    /// missed (`RING_FINAL_CHECK_FOR_RESPONSES` for a `count` of 1). Returns how many can be taken now.
    pub fn arm(&mut self, count: u32) -> Result<u32, RingFault> {
        self.memory.store_u32(layout::RSP_EVENT, self.rsp_cons.plus(count).0);
        // The peer sees rsp_event before its index is read, or it would not notify and nobody looks again.
        fence(Ordering::SeqCst);
        self.look()
    }

    fn offset(&self, index: RingIdx) -> usize {
        layout::SLOTS + self.slot(index) * P::SLOT_SIZE
    }
}

#[cfg(test)]
#[path = "front_tests.rs"]
mod tests;
