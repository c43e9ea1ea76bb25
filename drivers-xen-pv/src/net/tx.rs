//! The transmit queue: frames out, their pages back.
//!
//! A frame takes one request a page (see "Guest transmit" in `netif.h`): the first carries the length of the whole, the
//! others their own, and none crosses its page. A page's place in the pool is its request's identifier. Responses are looked
//! at when pages are wanted, not one event each.

use super::fault::NetFault;
use super::pool::TxPool;
use crate::abi::netif::{MAX_TX_SIZE, Tx, TxRequest, status, tx_flags};
use crate::ring::{FrontRing, IdTable};
use crate::shared::SharedMemory;
use crate::types::PAGE_SIZE;
use alloc::vec::Vec;

/// What the queue has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TxCounts {
    pub(super) frames: u64,
    pub(super) octets: u64,
    pub(super) errors: u64,
}

/// Which of a frame's requests one is: a frame that fails is counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First,
    Later,
}

pub(super) struct TxQueue {
    ring: FrontRing<Tx>,
    pool: TxPool,
    in_flight: IdTable<Place>,
    /// Where a frame of several pages is put together; empty until there is one.
    scratch: Vec<u8>,
    counts: TxCounts,
}

/// The requests that a frame of `len` octets takes.
pub(super) const fn slots_for(len: usize) -> usize {
    if len == 0 { 1 } else { len.div_ceil(PAGE_SIZE) }
}

impl TxQueue {
    /// A queue over a fresh ring.
    pub(super) fn new(ring: SharedMemory, pool: TxPool) -> Self {
        let ring = FrontRing::new(ring);
        let in_flight = IdTable::new(ring.size() as u16);
        Self { ring, pool, in_flight, scratch: Vec::new(), counts: TxCounts::default() }
    }

    pub(super) fn counts(&self) -> TxCounts {
        self.counts
    }

    /// Frames not answered yet.
    pub(super) fn frames_in_flight(&self) -> u64 {
        self.in_flight.iter().filter(|place| **place == Place::First).count() as u64
    }

    /// Makes room for a frame of `len` octets, if there can be any now.
    pub(super) fn make_room(&mut self, len: usize) -> Result<bool, NetFault> {
        let slots = slots_for(len);
        if self.has_room(slots) {
            return Ok(true);
        }
        self.reap()?;
        // Without memory for more pages it goes on with what it has.
        while !self.has_room(slots) && self.in_flight.free() >= slots && matches!(self.pool.grow(), Ok(1..)) {
        }
        Ok(self.has_room(slots))
    }

    /// Whether a frame of so many slots can be taken.
    fn has_room(&self, slots: usize) -> bool {
        let pages = self.pool.len() - self.in_flight.in_flight();
        pages >= slots && self.ring.free() as usize >= slots
    }

    /// Takes a frame, for which there is room. `flags` are those of its first request.
    ///
    /// # Panics
    /// If there is no room, or the frame is longer than any may be: ask [`make_room`](Self::make_room) first.
    pub(super) fn transmit(&mut self, len: usize, flags: u16, fill: &mut dyn FnMut(&mut [u8])) {
        assert!(len <= MAX_TX_SIZE, "a frame of {len} octets");
        if len <= PAGE_SIZE {
            let id = self.take_page(Place::First);
            fill(self.pool.page_mut(id, len));
            self.request(id, len, flags);
        } else {
            self.transmit_long(len, flags, fill);
        }
        self.counts.frames += 1;
        self.counts.octets += len as u64;
    }

    fn transmit_long(&mut self, len: usize, flags: u16, fill: &mut dyn FnMut(&mut [u8])) {
        let mut frame = core::mem::take(&mut self.scratch);
        frame.resize(frame.len().max(len), 0);
        fill(&mut frame[..len]);
        let mut rest = &frame[..len];
        while let Some((part, after)) = rest.split_at_checked(rest.len().min(PAGE_SIZE))
            && !part.is_empty()
        {
            let first = rest.len() == len;
            let id = self.take_page(if first { Place::First } else { Place::Later });
            self.pool.page_mut(id, part.len()).copy_from_slice(part);
            let more = if after.is_empty() { 0 } else { tx_flags::MORE_DATA };
            let size = if first { len } else { part.len() };
            self.request(id, size, more | if first { flags } else { 0 });
            rest = after;
        }
        self.scratch = frame;
    }

    /// Identifiers are handed out lowest first, so one of a page that there is, as long as there is room.
    fn take_page(&mut self, place: Place) -> u16 {
        self.in_flight.insert(place).expect("room was asked for")
    }

    fn request(&mut self, id: u16, size: usize, flags: u16) {
        let gref = self.pool.gref(id).0;
        self.ring.request(TxRequest { gref, offset: 0, flags, id, size: size as u16 });
    }

    /// Publishes what was taken; true if the peer wants to know.
    pub(super) fn publish(&mut self) -> bool {
        self.ring.push()
    }

    /// Takes the responses that are there, whose pages are free then.
    pub(super) fn reap(&mut self) -> Result<(), NetFault> {
        self.ring.look().map_err(NetFault::TxRing)?;
        self.reap_known()
    }

    /// Asks for a notification when half of what is in flight is answered; takes what is answered already.
    pub(super) fn arm(&mut self) -> Result<(), NetFault> {
        let pushed = self.ring.in_use() - self.ring.unpushed();
        self.ring.arm(pushed / 2 + 1).map_err(NetFault::TxRing)?;
        self.reap_known()
    }

    fn reap_known(&mut self) -> Result<(), NetFault> {
        while let Some((_, response)) = self.ring.response() {
            let place = self.in_flight.take(u64::from(response.id)).map_err(NetFault::TxId)?;
            match response.status {
                status::OKAY => {}
                status::ERROR | status::DROPPED => self.counts.errors += u64::from(place == Place::First),
                seen => return Err(NetFault::TxStatus { id: response.id, seen }),
            }
        }
        Ok(())
    }
}
