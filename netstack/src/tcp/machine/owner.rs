//! What the owner of a connection does with it, and sees of it.

use super::spread::Part;
use super::{Account, Counts, FIRST_SEND, Machine, NEVER, Sending, Seq, State};
use core::ops::Range;
use fata_libos::net::Shared;
use fata_libos::time::{Duration, Instant};

/// Segments' worth of data that may be written and not acknowledged, and sends: each becomes an entry of the queue that every
/// acknowledgement is held against; how large a segment is says the peer, and how small a send, the owner.
pub(super) const MOST_SEGMENTS: usize = 4096;

/// How a connection does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The congestion window, octets.
    pub congestion_window: u32,
    /// Where slow start ends, octets.
    pub threshold: u32,
    /// The smoothed round-trip time, if there was a sample.
    pub smoothed_rtt: Option<Duration>,
    /// The retransmission timeout as it is now.
    pub timeout: Duration,
    /// Octets on the way.
    pub in_flight: u32,
    /// Octets written and not acknowledged.
    pub unacknowledged: usize,
    /// Octets received and not read.
    pub unread: usize,
    /// The peer's window, octets.
    pub peer_window: u32,
    /// Octets of data in a segment.
    pub mss: u32,
    /// Segments sent again.
    pub retransmits: u32,
    /// Times the retransmission timer fired.
    pub timeouts: u32,
    /// Times a loss brought the window down.
    pub recoveries: u32,
    /// Times that was taken back.
    pub undone: u32,
    /// Segments that came twice.
    pub duplicates: u32,
    /// Segments that came out of order.
    pub out_of_order: u32,
    /// Segments dropped for want of memory.
    pub no_memory: u32,
    /// Packets marked for congestion.
    pub marks: u32,
    /// Whether the network was seen to reorder.
    pub reordering: bool,
}

impl Machine {
    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// When [`transmit`](Self::transmit) has something to do, if nothing comes before.
    pub fn deadline(&self) -> Option<Instant> {
        let snd = &self.snd;
        let timers = [snd.rto_at, snd.tlp_at, snd.reorder_at, snd.persist_at, snd.paced_at, self.rcv.ack_at];
        let first = timers.into_iter().chain(self.keep_alive_at()).min()?;
        (first != NEVER && self.state != State::Closed).then_some(first)
    }

    /// Whether something is to be sent at once, after the owner has read.
    pub fn wants_to_send(&self, now: Instant) -> bool {
        self.rcv.ack_now || self.rcv.part == Part::Due || self.rcv.ack_at <= now
    }

    /// Octets that can be read.
    pub fn readable(&self) -> usize {
        self.rcv.unread
    }

    /// Octets that can be written.
    pub fn writable(&self) -> usize {
        if self.snd.finished { 0 } else { self.send_limit().saturating_sub(self.unacknowledged()) }
    }

    /// What may be written: enough to keep the window full while acknowledgements are on their way.
    fn send_limit(&self) -> usize {
        let most = (self.snd.most as usize).min(self.snd.mss as usize * MOST_SEGMENTS);
        (2 * self.congestion.window() as usize).max(FIRST_SEND).min(most)
    }

    /// Octets written and not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.snd.queued as usize
    }

    /// Whether the peer owes an acknowledgement.
    pub fn owed(&self) -> bool {
        self.snd.queued > 0 || !self.snd.queue.is_empty()
    }

    /// The first number that the peer has not acknowledged, and whether it takes nothing from there on.
    pub(crate) fn peer_takes_from(&self) -> (Seq, bool) {
        (self.snd.una, !self.snd.edge.after(self.snd.una))
    }

    /// Writes as much as there is room for.
    #[inline(never)]
    pub fn write(&mut self, data: &[u8]) -> usize {
        let len = self.room_to_write(data.len());
        let used = self.snd.outgoing.in_ring(self.snd.queued);
        self.snd.outgoing.ring.write(used, &data[..len]);
        self.wrote(len)
    }

    /// Writes as much of a part of `octets` as there is room for, to be sent from where it is; copies what is not worth that.
    pub fn share(&mut self, octets: &Shared, part: Range<usize>) -> usize {
        let len = part.len().min(self.writable());
        let shared = part.start..part.start + len;
        let Sending { outgoing, queued, .. } = &mut self.snd;
        if len > 0 && outgoing.share(*queued, octets, shared, &mut self.account) {
            return self.wrote(len);
        }
        self.write(&octets[part])
    }

    /// Makes room for so many octets, or for fewer: for how many.
    pub(super) fn room_to_write(&mut self, len: usize) -> usize {
        let len = len.min(self.writable());
        if len == 0 {
            return 0;
        }
        let outgoing = &mut self.snd.outgoing;
        let used = outgoing.in_ring(self.snd.queued);
        outgoing.ring.reserve_some(used, used + len, &mut self.account).saturating_sub(used)
    }

    pub(super) fn wrote(&mut self, len: usize) -> usize {
        self.snd.queued += len as u32;
        self.snd.end += len as u32;
        len
    }

    /// Reads what is there in order.
    pub fn read(&mut self, now: Instant, buf: &mut [u8]) -> usize {
        let len = buf.len().min(self.rcv.unread);
        self.rcv.ring.read(0, &mut buf[..len]);
        self.consume(now, len);
        len
    }

    /// Drops what is there in order: octets.
    pub fn discard(&mut self, now: Instant) -> usize {
        let len = self.rcv.unread;
        self.consume(now, len);
        len
    }

    pub(super) fn consume(&mut self, now: Instant, len: usize) {
        if len == 0 {
            return;
        }
        let rcv = &mut self.rcv;
        rcv.ring.advance(len);
        rcv.unread -= len;
        rcv.refused = 0;
        if rcv.assembler.is_empty() {
            rcv.ring.shrink(rcv.unread, &mut self.account);
        }
        self.tune(now, len);
        let rcv = &mut self.rcv;
        let left = rcv.edge.beyond(rcv.next) as usize;
        let free = rcv.limit.saturating_sub(rcv.unread);
        let more = free >= 2 * left && free >= (rcv.limit / 2).min(rcv.mss as usize);
        // An acknowledgement that waits has the window with it.
        let more = more && rcv.part != Part::Later;
        rcv.ack_now |= more && !self.state.has_peer_finished() && self.state.is_synchronized();
    }

    /// A window that is read within a round trip holds the peer back: it grows to twice what was read, and where that itself
    /// grows to what a peer in slow start sends in the round trips until it hears of it. Where that would be too much of the memory it stays.
    fn tune(&mut self, now: Instant, len: usize) {
        let rtt = self.way_here();
        let rcv = &mut self.rcv;
        if now < rcv.tuned {
            // It came before.
            return;
        }
        rcv.copied = rcv.copied.saturating_add(len as u32);
        if now.duration_since(rcv.tuned) < rtt {
            return;
        }
        let before = rcv.copied_before.max(10 * rcv.mss).max(1);
        let wanted = 2 * u64::from(rcv.copied) + 16 * u64::from(rcv.mss);
        let grown = rcv.copied.saturating_sub(before).min(before);
        let ahead = 2 * wanted * u64::from(grown) / u64::from(before);
        let limit = rcv.most.min((wanted + ahead) as usize);
        if limit > rcv.limit && !self.account.is_scarce(limit.saturating_sub(rcv.ring.capacity())) {
            rcv.limit = limit;
        }
        rcv.flow = u16::try_from(rcv.copied >> 10).unwrap_or(u16::MAX);
        (rcv.tuned, rcv.copied_before, rcv.copied) = (now, before.max(rcv.copied), 0);
    }

    /// The round trip of the peer's data, as far as it is known.
    pub(super) fn way_here(&self) -> Duration {
        match (self.rcv.rtt, self.rtt.smoothed()) {
            (Duration::ZERO, Some(smoothed)) => smoothed,
            (Duration::ZERO, None) => Duration::from_millis(100),
            (rtt, _) => rtt,
        }
    }

    /// Finishes writing: what was written and then the end are sent.
    pub fn close(&mut self) {
        match self.state {
            State::SynSent => self.die(),
            State::Established | State::SynReceived => self.state_on_close(State::FinWait1),
            State::CloseWait => self.state_on_close(State::LastAck),
            _ => {}
        }
    }

    fn state_on_close(&mut self, state: State) {
        self.snd.finished = true;
        if self.state != State::SynReceived {
            self.state = state;
        }
    }

    /// Ends it at once: a reset is the next and last thing to send, where the peer knows of the connection.
    pub fn abort(&mut self) {
        if self.state.is_synchronized() && self.state != State::TimeWait || self.state == State::SynReceived {
            self.snd.reset = true;
        } else {
            self.die();
        }
    }

    /// Whether a reset is yet to be sent.
    pub fn is_aborting(&self) -> bool {
        self.snd.reset
    }

    /// It is over: nothing is sent any more. What was received can still be read.
    pub(super) fn die(&mut self) {
        self.state = State::Closed;
        self.snd.reset = false;
        self.snd.outgoing.release(&mut self.account);
        self.snd.queue.release(&mut self.account);
        self.snd.queued = 0;
        self.rcv.ack_now = false;
    }

    /// Whether the owner can still write.
    pub fn may_send(&self) -> bool {
        matches!(self.state, State::Established | State::CloseWait | State::SynSent | State::SynReceived)
            && !self.snd.finished
            && !self.snd.reset
    }

    /// Whether data can still come.
    pub fn may_receive(&self) -> bool {
        matches!(
            self.state,
            State::SynSent | State::SynReceived | State::Established | State::FinWait1 | State::FinWait2
        )
    }

    /// Whether a small segment goes out at once although another is on its way.
    pub fn set_nodelay(&mut self, nodelay: bool) {
        self.snd.nodelay = nodelay;
    }

    /// See [`set_nodelay`](Self::set_nodelay).
    pub fn nodelay(&self) -> bool {
        self.snd.nodelay
    }

    /// How long a silent peer is left alone.
    pub fn set_keep_alive(&mut self, now: Instant, interval: Option<Duration>) {
        self.keep_alive = interval;
        self.asked = now;
    }

    /// The link is back: what was on the way when it went is tried again at once.
    pub fn link_up(&mut self, now: Instant) {
        if self.snd.rto_at != NEVER {
            self.rtt.end_backing_off();
            self.snd.rto_at = now;
        }
    }

    /// Memory in buffers and queues, octets.
    #[cfg(not(target_os = "xen"))]
    pub fn memory(&self) -> usize {
        self.snd.outgoing.memory() + self.rcv.ring.capacity() + self.snd.queue.memory()
    }

    /// The next number that goes out, and the next that is expected.
    pub fn numbers(&self) -> (Seq, Seq) {
        (self.snd.next, self.rcv.next)
    }

    /// The peer's clock as it was seen last, and what is added to this side's, where both send theirs.
    pub fn clocks(&self) -> Option<(u32, u32)> {
        self.clocks.on.then_some((self.clocks.recent, self.clocks.offset))
    }

    /// Charges what it allocates from now on to an account.
    pub(crate) fn charge(&mut self, account: Account) {
        self.account = account;
    }

    /// Counts since the connection began.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// How it does.
    pub fn info(&self) -> Info {
        let counts = self.counts;
        Info {
            congestion_window: self.congestion.window(),
            threshold: self.congestion.threshold(),
            smoothed_rtt: self.rtt.smoothed(),
            timeout: self.rtt.timeout(),
            in_flight: self.on_the_way(),
            unacknowledged: self.unacknowledged(),
            unread: self.rcv.unread,
            peer_window: self.snd.edge.beyond(self.snd.una),
            mss: self.snd.mss,
            retransmits: counts.repeats,
            timeouts: counts.timeouts,
            recoveries: counts.recoveries,
            undone: counts.undone,
            duplicates: counts.duplicates,
            out_of_order: counts.out_of_order,
            no_memory: counts.no_memory,
            marks: counts.marks,
            reordering: self.rack.has_seen_reordering(),
        }
    }
}
