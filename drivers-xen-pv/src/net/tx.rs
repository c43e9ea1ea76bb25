//! The transmit queue: frames out, their pages back.
//!
//! A frame takes one request a page (see "Guest transmit" in `netif.h`): the first carries the length of the whole, the
//! others their own, and none crosses its page. One that the back end is to cut up has extra info in the slot after its first
//! request, which is answered by a response that means nothing. Responses are looked at when pages are wanted, not one event
//! each.

use super::cut::{Segmentation, Unfit, cut};
use super::fault::NetFault;
use super::tx_pool::{Place, Taken, TxPool};
use crate::abi::netif::{ExtraInfo, GsoInfo, MAX_TX_SIZE, Tx, TxRequest, status, tx_flags};
use crate::ring::FrontRing;
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

/// A frame to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outgoing {
    /// Octets.
    pub(super) len: usize,
    /// Those of its first request.
    pub(super) flags: u16,
    /// The payload octets of each segment if it is to be cut up, else 0.
    pub(super) segment_size: u16,
}

pub(super) struct TxQueue {
    ring: FrontRing<Tx>,
    pool: TxPool,
    agreed: Segmentation,
    /// Extra infos that were not answered yet.
    extras: u32,
    /// Where a frame is put together for which there are no pages in a row; empty until there is one.
    scratch: Vec<u8>,
    counts: TxCounts,
}

/// The pages that a frame of `len` octets takes.
pub(super) const fn pages_for(len: usize) -> usize {
    if len == 0 { 1 } else { len.div_ceil(PAGE_SIZE) }
}

impl TxQueue {
    /// A queue over a fresh ring, for a back end that cuts up what is `agreed` on.
    pub(super) fn new(ring: SharedMemory, pool: TxPool, agreed: Segmentation) -> Self {
        let (scratch, counts) = (Vec::new(), TxCounts::default());
        Self { ring: FrontRing::new(ring), pool, agreed, extras: 0, scratch, counts }
    }

    pub(super) fn counts(&self) -> TxCounts {
        self.counts
    }

    /// Frames not answered yet.
    pub(super) fn frames_in_flight(&self) -> u64 {
        self.pool.frames_in_flight()
    }

    /// Makes room for a frame of `len` octets, if there can be any now.
    pub(super) fn make_room(&mut self, len: usize) -> Result<bool, NetFault> {
        let pages = pages_for(len);
        if self.has_room(pages) && self.pool.has_row(pages) {
            return Ok(true);
        }
        self.reap()?;
        // Without memory for more pages it goes on with what it has.
        while !self.pool.has_row(pages) && matches!(self.pool.grow(), Ok(1..)) {}
        Ok(self.has_room(pages))
    }

    /// Whether a frame of so many pages can be taken, with extra info if it is to be cut up.
    fn has_room(&self, pages: usize) -> bool {
        self.pool.free() >= pages && self.ring.free() as usize > pages
    }

    /// Takes a frame, for which there is room.
    ///
    /// # Panics
    /// If there is no room, or the frame is longer than any may be: ask [`make_room`](Self::make_room) first.
    pub(super) fn transmit(&mut self, frame: Outgoing, fill: &mut dyn FnMut(&mut [u8])) {
        let Outgoing { len, .. } = frame;
        assert!(len <= MAX_TX_SIZE, "a frame of {len} octets");
        let taken = self.pool.take(pages_for(len)).expect("room was asked for");
        let cut = match taken.in_a_row {
            true => {
                let bytes = self.pool.memory_mut(taken.ids()[0], len);
                fill(bytes);
                self.agreed.info(bytes, frame.segment_size)
            }
            false => self.fill_apart(&taken, frame, fill),
        };
        match cut {
            Ok(info) => self.requests(&taken, frame, info),
            // It is lost, as it would be in a back end that has not agreed to it.
            Err(Unfit) => self.drop_frame(&taken),
        }
    }

    /// Fills pages that do not follow on each other.
    fn fill_apart(
        &mut self,
        taken: &Taken,
        frame: Outgoing,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Option<GsoInfo>, Unfit> {
        if self.scratch.try_reserve(frame.len.saturating_sub(self.scratch.len())).is_err() {
            // Without memory it is lost, as on a wire.
            return Err(Unfit);
        }
        self.scratch.resize(self.scratch.len().max(frame.len), 0);
        let bytes = &mut self.scratch[..frame.len];
        fill(bytes);
        for (id, part) in taken.ids().iter().zip(bytes.chunks(PAGE_SIZE)) {
            self.pool.memory_mut(*id, part.len()).copy_from_slice(part);
        }
        self.agreed.info(bytes, frame.segment_size)
    }

    fn requests(&mut self, taken: &Taken, frame: Outgoing, info: Option<GsoInfo>) {
        let mut rest = frame.len;
        let last = taken.ids().len() - 1;
        for (n, id) in taken.ids().iter().enumerate() {
            let more = if n < last { tx_flags::MORE_DATA } else { 0 };
            let extra = if info.is_some() { tx_flags::EXTRA_INFO } else { 0 };
            let (size, flags) =
                if n == 0 { (frame.len, frame.flags | extra) } else { (rest.min(PAGE_SIZE), 0) };
            let (gref, size) = (self.pool.gref(*id).0, size as u16);
            self.ring.request(TxRequest { gref, offset: 0, flags: flags | more, id: *id, size }.into());
            if let (0, Some(info)) = (n, info) {
                self.ring.request(ExtraInfo::segmentation(info).into());
                self.extras += 1;
            }
            rest -= rest.min(PAGE_SIZE);
        }
        self.counts.frames += 1;
        self.counts.octets += frame.len as u64;
    }

    #[cold]
    fn drop_frame(&mut self, taken: &Taken) {
        for id in taken.ids() {
            // Taken a moment ago.
            let _ = self.pool.give_back(u64::from(*id));
        }
        self.counts.errors += 1;
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
            let (id, seen) = (response.id, response.status);
            // The slot held extra info: nobody wrote an identifier.
            if seen == status::NULL {
                self.extras = self.extras.checked_sub(1).ok_or(NetFault::TxStatus { id, seen })?;
                continue;
            }
            let place = self.pool.give_back(u64::from(id)).map_err(NetFault::TxId)?;
            match seen {
                status::OKAY => {}
                status::ERROR | status::DROPPED => self.counts.errors += u64::from(place == Place::First),
                seen => return Err(NetFault::TxStatus { id, seen }),
            }
        }
        Ok(())
    }
}

impl Segmentation {
    /// What goes with a frame; nothing with one that is not to be cut up.
    fn info(self, frame: &[u8], segment_size: u16) -> Result<Option<GsoInfo>, Unfit> {
        if segment_size == 0 { Ok(None) } else { cut(frame, segment_size, self) }
    }
}
