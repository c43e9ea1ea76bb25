//! The receive queue: empty pages out, parts of frames in.
//!
//! A frame is one or more responses in a row (see "Guest receive" in `netif.h`): the first may be followed by extra info
//! in slots of its own, then by further parts. Responses come in the slots of their requests, so the page of a slot is
//! known without the peer's word. A [`Chain`] gathers them; when it is complete, the frame is copied out of the pages, by
//! whoever wants its octets in places of their own or else in one piece, and they go back on the ring.

use super::chain::{Chain, MAX_EXTRAS, MAX_PARTS, Part};
use super::fault::NetFault;
use super::pool::{RX_CHUNK, RxPage, RxPool};
use crate::abi::netif::{Rx, RxRequest, RxSlot};
use crate::grant::GrantError;
use crate::ring::{FrontRing, RingIdx, slots_in_page};
use crate::shared::SharedMemory;
use alloc::vec::Vec;
use fata_libos::net::{Arrived, Octets, Received, Take, pieces};

const SLOTS: usize = slots_in_page::<Rx>() as usize;

/// The longest frame fits the first pages, or it would wait for pages that wait for it.
const _: () = assert!(MAX_PARTS + MAX_EXTRAS <= RX_CHUNK);

/// What the queue has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RxCounts {
    pub(super) frames: u64,
    pub(super) octets: u64,
    pub(super) errors: u64,
}

/// A frame in the pages that the back end wrote.
struct Frame<'a> {
    pages: &'a [RxPage],
    parts: &'a [Part],
}

impl Octets for Frame<'_> {
    fn read(&self, at: usize, into: &mut [u8]) {
        let mut done = 0;
        self.pieces(at, into.len(), &mut |page, offset, len| {
            page.read(offset, &mut into[done..done + len]);
            done += len;
        });
    }

    fn append(&self, at: usize, len: usize, to: &mut Vec<u8>) {
        self.pieces(at, len, &mut |page, offset, len| page.append(offset, len, to));
    }
}

impl Frame<'_> {
    fn pieces(&self, at: usize, len: usize, visit: &mut dyn FnMut(&SharedMemory, usize, usize)) {
        let lens = &mut self.parts.iter().map(|part| usize::from(part.len));
        pieces(lens, at, len, &mut |n, at, len| {
            let part = self.parts[n];
            visit(&self.pages[usize::from(part.page)].memory, usize::from(part.offset) + at, len);
        });
    }
}

pub(super) struct RxQueue {
    ring: FrontRing<Rx>,
    pool: RxPool,
    /// The page that each slot's request names.
    posted: [u16; SLOTS],
    chain: Chain,
    counts: RxCounts,
    /// Responses taken, of which a frame may have several.
    responses: u64,
    /// The slots of the longest frame so far.
    longest: u32,
    /// The back end ran out of empty pages, or nearly.
    starved: bool,
}

impl RxQueue {
    /// A queue over a fresh ring, with the first pages on it.
    pub(super) fn new(ring: SharedMemory, pool: RxPool) -> Result<Self, GrantError> {
        let mut queue = Self {
            ring: FrontRing::new(ring),
            pool,
            posted: [0; SLOTS],
            chain: Chain::new(),
            counts: RxCounts::default(),
            responses: 0,
            longest: 1,
            starved: false,
        };
        queue.grow()?;
        Ok(queue)
    }

    pub(super) fn counts(&self) -> RxCounts {
        self.counts
    }

    /// Responses taken so far.
    pub(super) fn responses(&self) -> u64 {
        self.responses
    }

    /// Shows the next whole frame to `take`, and copies it into `buf` where that does not take it; frames that are broken or do
    /// not fit are counted and dropped.
    pub(super) fn receive(
        &mut self,
        buf: &mut [u8],
        take: &mut Take<'_>,
    ) -> Result<Option<Arrived>, NetFault> {
        while let Some((index, slot)) = self.next()? {
            self.take(index, slot)?;
            if self.chain.is_complete()
                && let Some(arrived) = self.deliver(buf, take)
            {
                return Ok(Some(arrived));
            }
        }
        Ok(None)
    }

    /// Publishes the pages that were emptied, with more of them if they were too few; true if the peer wants to know.
    pub(super) fn publish(&mut self) -> bool {
        if core::mem::take(&mut self.starved) {
            // All there may be: a sender's bursts double in each round trip, and what finds no page waits in the back end, which
            // drops what is too much. Without memory for more it goes on with what it has.
            while self.grow().is_ok_and(|added| added > 0) {}
        }
        self.ring.push()
    }

    /// Whether half of the pages wait to be published.
    pub(super) fn is_half_unpublished(&self) -> bool {
        self.ring.unpushed() * 2 >= self.ring.in_use()
    }

    /// Asks for a notification with the `count`th response from now; true if any is there already.
    pub(super) fn arm(&mut self, count: u32) -> Result<bool, NetFault> {
        // The peer has to have room for so many, or it never gets there.
        let count = count.min(self.ring.in_use() / 2).max(1);
        let known = self.ring.arm(count).map_err(NetFault::RxRing)?;
        self.look_at_room(known);
        Ok(known > 0)
    }

    /// Notes that the back end, which has filled so many pages, has few left. One that has no room for the next long frame waits,
    /// however many pages are left.
    fn look_at_room(&mut self, filled: u32) {
        let empty = self.ring.in_use() - filled;
        self.starved |= filled > 0 && (filled >= 3 * empty || empty < self.longest);
    }

    fn next(&mut self) -> Result<Option<(RingIdx, RxSlot)>, NetFault> {
        if self.ring.known() == 0 {
            let known = self.ring.look().map_err(NetFault::RxRing)?;
            self.look_at_room(known);
        }
        Ok(self.ring.response())
    }

    fn take(&mut self, index: RingIdx, contents: RxSlot) -> Result<(), NetFault> {
        self.responses += 1;
        let slot = self.ring.slot(index);
        let page = self.posted[slot];
        if self.chain.expects_extra() {
            self.post(page);
            return self.chain.extra(contents.extra());
        }
        let response = contents.response();
        if response.id != page {
            return Err(NetFault::RxId { slot, seen: response.id, expected: page });
        }
        self.chain.part(page, response)
    }

    /// Lets the gathered frame be copied out, if it is whole and fits, and gives its pages back.
    fn deliver(&mut self, buf: &mut [u8], take: &mut Take<'_>) -> Option<Arrived> {
        let received = self.chain.frame(buf.len());
        let frame = Frame { pages: self.pool.pages(), parts: self.chain.parts() };
        let arrived = received.map(|received| {
            if take(received, &frame) {
                return Arrived::Taken;
            }
            frame.read(0, &mut buf[..received.len]);
            Arrived::Whole(received)
        });
        for i in 0..self.chain.parts().len() {
            self.post(self.chain.parts()[i].page);
        }
        self.longest = self.longest.max(self.chain.slots());
        self.chain.clear();
        self.count(received);
        arrived
    }

    fn count(&mut self, received: Option<Received>) {
        match received {
            Some(received) => {
                self.counts.frames += 1;
                self.counts.octets += received.len as u64;
            }
            None => self.counts.errors += 1,
        }
    }

    /// Puts an empty page on the ring. There is room: every page has a slot.
    fn post(&mut self, page: u16) {
        let gref = self.pool.pages()[usize::from(page)].gref.0;
        let index = self.ring.request(RxRequest { id: page, pad: 0, gref });
        self.posted[self.ring.slot(index)] = page;
    }

    /// Puts another chunk of pages on the ring, and returns how many they are.
    fn grow(&mut self) -> Result<usize, GrantError> {
        let old = self.pool.pages().len();
        let added = self.pool.grow()?;
        (old..old + added).for_each(|page| self.post(page as u16));
        Ok(added)
    }
}
