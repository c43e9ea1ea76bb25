//! Buffers that the owner reads and writes in place. They are his meanwhile: whatever he does with the connection finds an empty
//! one.

use super::ring::Ring;
use super::{Machine, State};
use fata_libos::time::Instant;

/// A buffer, and the piece of it that is shown.
pub(crate) struct Lent {
    ring: Ring,
    at: usize,
    len: usize,
}

impl Lent {
    /// What was received.
    pub(crate) fn octets(&self) -> &[u8] {
        self.ring.first(self.len)
    }

    /// Room for what is to be sent; what stands there is old.
    pub(crate) fn octets_mut(&mut self) -> &mut [u8] {
        self.ring.room(self.at, self.len)
    }
}

impl Machine {
    /// Whether there is something to be shown that was not refused, or something refused to which no more can come.
    pub(crate) fn has_more_to_show(&self) -> bool {
        let rcv = &self.rcv;
        rcv.unread > rcv.refused as usize || rcv.unread > 0 && !rcv.edge.after(rcv.next)
    }

    /// Gives away what was received, until it is [taken back](Self::take_used). What was refused comes in one piece.
    pub(crate) fn lend_received(&mut self) -> Lent {
        let rcv = &mut self.rcv;
        if rcv.refused > 0 {
            let used = if rcv.assembler.is_empty() { rcv.unread } else { rcv.ring.capacity() };
            rcv.ring.straighten(rcv.unread, used);
        }
        let (ring, len) = (core::mem::take(&mut rcv.ring), rcv.unread);
        Lent { ring, at: 0, len }
    }

    /// Takes back what was lent, of which so many octets were used.
    pub(crate) fn take_used(&mut self, now: Instant, lent: Lent, used: usize) {
        let shown = lent.octets().len();
        let used = used.min(shown);
        self.rcv.ring = lent.ring;
        self.consume(now, used);
        self.rcv.refused = if used == 0 { shown as u32 } else { 0 };
    }

    /// Gives away the buffer of what is to be sent, with room for so many octets or for fewer, until it is
    /// [taken back](Self::take_filled); `None` if there is none.
    pub(crate) fn lend_room(&mut self, most: usize) -> Option<Lent> {
        let len = self.room_to_write(most.max(1));
        let at = self.snd.outgoing.in_ring(self.snd.queued);
        (len > 0).then(|| Lent { ring: core::mem::take(&mut self.snd.outgoing.ring), at, len })
    }

    /// Takes back what was lent, with so many octets more; false if nothing can be sent any more.
    pub(crate) fn take_filled(&mut self, mut lent: Lent, filled: usize) -> bool {
        let filled = filled.min(lent.octets_mut().len());
        self.snd.outgoing.ring = lent.ring;
        let goes_on = self.may_send();
        if goes_on {
            self.wrote(filled);
        }
        if self.state == State::Closed || self.snd.outgoing.in_ring(self.snd.queued) == 0 {
            self.snd.outgoing.ring.release(&mut self.account);
        }
        goes_on
    }
}
