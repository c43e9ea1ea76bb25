//! TIME-WAIT: a small record instead of a connection, so that segments that come late are not taken for another's.

use super::machine::{Flags, Header, Machine, Options, Seq, Timestamp, reopens};
use super::segment;
use super::{Flow, Place, Table};
use crate::interface::Iface;
use crate::memory::Share;
use crate::stack::Core;
use crate::traffic::Lost;
use alloc::rc::Rc;
use core::cell::Cell;
use fata_libos::time::{Duration, Instant};

/// How long: twice the lifetime that a segment is granted here.
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);
/// Records at once; the oldest goes for a new one.
pub(crate) const LIMIT: usize = 4096;
/// Between two answers to segments without data.
const ANSWER_INTERVAL: Duration = Duration::from_millis(500);
/// What a record costs with its places in the tables, octets.
pub(crate) const COST: usize = 256;

/// See the module.
pub(crate) struct TimeWait {
    iface: Rc<Iface>,
    pub(crate) since: Instant,
    snd_next: Seq,
    rcv_next: Seq,
    /// The peer's clock as it was seen last, and what is added to this side's, where both send theirs.
    clocks: Option<(u32, u32)>,
    /// When a segment without data was last answered.
    answered: Cell<Option<Instant>>,
    _share: Share,
}

impl Place {
    /// A record, if there is memory for one.
    pub(super) fn time_wait(table: &Table, iface: &Rc<Iface>, machine: &Machine) -> Option<Self> {
        let (iface, since, _share) = (iface.clone(), Instant::recent(), table.reserve_time_wait()?);
        let ((snd_next, rcv_next), clocks) = (machine.numbers(), machine.clocks());
        Some(Self::TimeWait(Rc::new(TimeWait {
            iface,
            since,
            snd_next,
            rcv_next,
            clocks,
            answered: Cell::new(None),
            _share,
        })))
    }
}

impl TimeWait {
    /// A number beyond all that was sent and may still be on its way.
    pub(crate) fn beyond(&self) -> Seq {
        self.snd_next + 65_536
    }

    /// Whether a segment opens the connection anew.
    pub(crate) fn gives_way_to(&self, header: &Header) -> bool {
        reopens(self.rcv_next, self.clocks.map(|(recent, _)| recent), header)
    }

    /// Whether the acknowledgement of a cookie may open the connection anew. That of the connection that has ended here, if it
    /// was opened so itself, may come again for as long as the cookie is good; it lies before what was received. A connection
    /// with clocks was not.
    pub(crate) fn gives_way_to_cookie(&self, header: &Header) -> bool {
        self.clocks.is_some() || header.seq.after(self.rcv_next)
    }

    /// Answers what needs an answer. A reset is believed if it has the one number that a peer who knows nothing of the
    /// connection gives it, in reply to our acknowledgement of its SYN: it may come again then (as RFC 5961, 3).
    pub(crate) fn receive(&self, core: &Core, now: Instant, flow: &Flow, header: &Header, data: usize) {
        if header.flags.has(Flags::RST) {
            return if header.seq == self.rcv_next {
                core.tcp.closed(flow, None)
            } else {
                self.iface.traffic.lost(&core.counters, Lost::TcpNotBelieved)
            };
        }
        if header.space(data) == 0 {
            // Two that have lost count would answer each other for ever.
            let rests = self.answered.get().is_some_and(|at| now.duration_since(at) < ANSWER_INTERVAL);
            if header.seq == self.rcv_next || rests {
                return;
            }
            self.answered.set(Some(now));
        }
        let timestamp =
            self.clocks.map(|(echo, offset)| Timestamp { value: super::machine::clock(offset, now), echo });
        let options = Options { timestamp, ..Options::default() };
        let reply = Header { options, ..segment::bare(Flags::ACK, self.snd_next, self.rcv_next) };
        segment::send(core, &self.iface, now, flow, &reply);
    }
}
