//! A back end's side of a ring, for the fakes of host tests.

use super::{Message, Protocol, RingIdx, layout, slots_in};
use crate::shared::SharedMemory;
use core::marker::PhantomData;
use core::sync::atomic::{Ordering, fence};

/// A back end's private view of a shared ring. Honest by itself; its fields are public so that a test can make it lie.
#[derive(Debug)]
pub struct BackRing<P: Protocol> {
    /// The ring, mapped.
    pub memory: SharedMemory,
    /// Requests taken.
    pub req_cons: RingIdx,
    /// Responses written, published or not.
    pub rsp_prod: RingIdx,
    /// Responses published.
    pub rsp_pushed: RingIdx,
    size: u32,
    protocol: PhantomData<P>,
}

impl<P: Protocol> BackRing<P> {
    /// Attaches to a ring that a front end has made (`BACK_RING_ATTACH`).
    pub fn new(memory: SharedMemory) -> Self {
        let start = RingIdx(memory.load_u32(layout::RSP_PROD));
        let size = slots_in::<P>(memory.len());
        Self { memory, req_cons: start, rsp_prod: start, rsp_pushed: start, size, protocol: PhantomData }
    }

    /// Requests that can be taken.
    pub fn pending(&self) -> u32 {
        RingIdx(self.memory.load_u32(layout::REQ_PROD)).since(self.req_cons)
    }

    /// Takes the next request.
    pub fn request(&mut self) -> Option<P::Request> {
        if self.pending() == 0 {
            return None;
        }
        let offset = self.offset(self.req_cons);
        let mut words = <P::Request as Message>::Words::default();
        for (i, word) in words.as_mut().iter_mut().enumerate() {
            *word = self.memory.load_u32(offset + 4 * i);
        }
        self.req_cons = self.req_cons.plus(1);
        Some(P::Request::from_words(words))
    }

    /// Writes the next response.
    pub fn response(&mut self, response: P::Response) {
        let offset = self.offset(self.rsp_prod);
        for (i, word) in response.to_words().as_ref().iter().enumerate() {
            self.memory.store_u32(offset + 4 * i, *word);
        }
        self.rsp_prod = self.rsp_prod.plus(1);
    }

    /// Publishes the responses; true if the front end wants to be notified.
    #[must_use = "a front end that is not notified sleeps on"]
    pub fn push(&mut self) -> bool {
        let (old, new) = (self.rsp_pushed, self.rsp_prod);
        self.memory.store_u32(layout::RSP_PROD, new.0);
        self.rsp_pushed = new;
        fence(Ordering::SeqCst);
        new.passes(old, RingIdx(self.memory.load_u32(layout::RSP_EVENT)))
    }

    /// Asks for a notification with the next request, and returns how many there are already.
    pub fn arm(&mut self) -> u32 {
        self.memory.store_u32(layout::REQ_EVENT, self.req_cons.plus(1).0);
        fence(Ordering::SeqCst);
        self.pending()
    }

    fn offset(&self, index: RingIdx) -> usize {
        layout::SLOTS + (index.0 & (self.size - 1)) as usize * P::SLOT_SIZE
    }
}
