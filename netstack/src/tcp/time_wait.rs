//! TIME-WAIT: a small record instead of a connection, so that segments that come late are not taken for another's.

use super::segment::{self, Segment, before};
use super::{Flow, Place, Table};
use crate::interface::Iface;
use crate::memory::Share;
use crate::stack::Core;
use alloc::rc::Rc;
use fata_libos::time::{Duration, Instant};
use smoltcp::wire::TcpControl;

/// How long: twice the lifetime that a segment is granted here.
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);
/// Records at once; the oldest goes for a new one.
pub(crate) const LIMIT: usize = 4096;
/// What a record costs with its places in the tables, octets.
pub(crate) const COST: usize = 256;

/// See the module.
pub(crate) struct TimeWait {
    iface: Rc<Iface>,
    pub(crate) since: Instant,
    snd_next: u32,
    rcv_next: u32,
    _share: Share,
}

impl Place {
    /// A record, if there is memory for one.
    pub(super) fn time_wait(table: &Table, iface: &Rc<Iface>, snd_next: u32, rcv_next: u32) -> Option<Self> {
        let (iface, since, _share) = (iface.clone(), Instant::recent(), table.reserve_time_wait()?);
        Some(Self::TimeWait(Rc::new(TimeWait { iface, since, snd_next, rcv_next, _share })))
    }
}

impl TimeWait {
    /// Whether a SYN may open the connection anew (RFC 9293, 3.6.1): it lies beyond all that was received.
    pub(crate) fn gives_way_to(&self, segment: &Segment) -> bool {
        segment.syn && !segment.has_ack && !segment.rst && before(self.rcv_next, segment.seq.wrapping_add(1))
    }

    /// Answers what needs an answer. A reset is believed if it has the one number that a peer who knows nothing of the
    /// connection gives it, in reply to our acknowledgement of its SYN: it may come again then (as RFC 5961, 3).
    pub(crate) fn receive(&self, core: &Core, now: Instant, flow: &Flow, segment: &Segment) {
        if segment.rst {
            return if segment.seq == self.rcv_next {
                core.tcp.closed(flow, None)
            } else {
                core.counters.tcp_resets_ignored.one()
            };
        }
        if segment.len() == 0 && segment.seq == self.rcv_next {
            return;
        }
        let reply = segment::repr(flow, TcpControl::None, self.snd_next, Some(self.rcv_next));
        segment::send(core, &self.iface, now, flow, &reply);
    }
}
