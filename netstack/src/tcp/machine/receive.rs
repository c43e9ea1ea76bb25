//! Segments in (RFC 9293, 3.10.7.4): what is believed, what is taken, and when it is acknowledged.

use super::synchronize::clock;
use super::transmit::BLOCKS;
use super::{CLOCKS, Data, FIRST_WINDOW, Flags, HEADERS, Header, Machine, Seq, State, Verdict};
use fata_libos::time::{Duration, Instant};

/// Between two answers to segments without data that lie outside the window: peers that both lost count would answer
/// each other for ever.
const OUTSIDE_INTERVAL: Duration = Duration::from_millis(500);
/// Between two challenges (RFC 5961, 7).
const CHALLENGE_INTERVAL: Duration = Duration::from_secs(1);
/// A timestamp this old says nothing (RFC 7323, 5.5).
const CLOCK_LIFETIME: Duration = Duration::from_secs(24 * 24 * 3600);

impl Machine {
    /// Takes a segment of this connection with its data. `marked`: the packet was marked for congestion (RFC 3168).
    pub fn receive(&mut self, now: Instant, header: &Header, marked: bool, data: &[u8]) -> Verdict {
        self.take_segment(now, header, marked, Data::new(&data, 0, data.len()))
    }

    /// As [`receive`](Self::receive), with data that is still in the frame.
    pub(crate) fn take_segment(
        &mut self,
        now: Instant,
        header: &Header,
        marked: bool,
        data: Data<'_>,
    ) -> Verdict {
        match self.state {
            State::Closed => Verdict::Bad,
            State::SynSent => self.receive_syn_sent(now, header),
            _ => self.receive_synchronized(now, header, marked, data),
        }
    }

    fn receive_synchronized(
        &mut self,
        now: Instant,
        header: &Header,
        marked: bool,
        data: Data<'_>,
    ) -> Verdict {
        let together =
            Header { seq: header.seq + 1, flags: Flags(header.flags.0 & !Flags::SYN.0), ..*header };
        let answers = self.state == State::SynReceived
            && header.flags.has(Flags::SYN | Flags::ACK)
            && header.seq == self.rcv.irs;
        // Both opened at once: the peer's SYN comes again with the acknowledgement of this side's (RFC 9293, figure 8).
        let header = if answers { &together } else { header };
        let flags = header.flags;
        if flags.has(Flags::SYN) {
            // Wherever it stands (RFC 5961, 4.2).
            self.challenge(now);
            return Verdict::NotBelieved;
        }
        if self.clocks.on && !flags.has(Flags::RST) {
            let Some(peer) = header.options.timestamp else { return Verdict::Bad };
            let old = (peer.value.wrapping_sub(self.clocks.recent) as i32) < 0;
            if old && now.duration_since(self.clocks.recent_at) < CLOCK_LIFETIME {
                self.answer_outside(now, header.space(data.len()));
                return Verdict::Old;
            }
        }
        if !self.is_acceptable(header, data.len()) {
            if flags.has(Flags::RST) {
                return Verdict::NotBelieved;
            }
            if self.snd.probing && header.ack == self.snd.next + 1 && flags.has(Flags::ACK) {
                // The peer took the octet that its window was probed with, and what it says that in is older than what it sent before:
                // it began again there. Without the octet's number each side would refuse all that the other says.
                self.acknowledge(now, header, data.len());
            }
            self.note_duplicate(header.seq, (header.seq + data.len() as u32).earlier(self.rcv.next));
            self.answer_outside(now, header.space(data.len()));
            return Verdict::Outside;
        }
        if flags.has(Flags::RST) {
            if header.seq != self.rcv.next {
                self.challenge(now);
                return Verdict::NotBelieved;
            }
            self.die();
            return Verdict::Reset;
        }
        if !flags.has(Flags::ACK) {
            return Verdict::Bad;
        }
        if let Some(verdict) = self.check_acknowledgement(now, header, answers) {
            return verdict;
        }
        // Not before: who only guesses at the numbers is not to move the clock.
        if let Some(peer) = header.options.timestamp.filter(|_| self.clocks.on)
            && !header.seq.after(self.rcv.acked)
        {
            (self.clocks.recent, self.clocks.recent_at) = (peer.value, now);
        }
        self.heard = now;
        self.asked = now;
        if self.ecn {
            self.rcv.marked = (self.rcv.marked && !flags.has(Flags::CWR)) || marked;
            self.counts.marks += u32::from(marked);
        }
        if !answers {
            self.acknowledge(now, header, data.len());
        }
        self.take(now, header, data)
    }

    /// RFC 9293, 3.10.7.4, first step. Where the window is closed, a segment at its place is looked at for its
    /// acknowledgement alone.
    fn is_acceptable(&self, header: &Header, data: usize) -> bool {
        let (next, edge) = (self.rcv.next, self.rcv.edge);
        let len = header.space(data);
        let inside = |seq: Seq| !seq.before(next) && seq.before(edge);
        match (len, edge == next) {
            (0, true) => header.seq == next,
            (0, false) => inside(header.seq) || header.seq == edge,
            (_, true) => header.seq == next,
            _ => inside(header.seq) || inside(header.seq + (len - 1)),
        }
    }

    /// Whether the acknowledgement can be true (RFC 5961, 5.2); what became of the segment where not. `answers`: it is of a
    /// SYN, whose window is never shifted (RFC 7323, 2.2).
    fn check_acknowledgement(&mut self, now: Instant, header: &Header, answers: bool) -> Option<Verdict> {
        let most = self.snd.next + u32::from(self.snd.probing);
        if self.state == State::SynReceived {
            if !header.ack.after(self.snd.una) || header.ack.after(most) {
                return Some(Verdict::Refused(header.ack));
            }
            self.established(now, self.snd.iss + 1);
            let scale = if answers { 0 } else { self.snd.scale };
            self.snd.max_window = u32::from(header.window) << scale;
            self.snd.edge = self.snd.iss + 1 + self.snd.max_window;
            (self.snd.wl1, self.snd.wl2) = (header.seq, header.ack);
            return None;
        }
        let least = self.snd.una - self.snd.max_window.max(FIRST_WINDOW as u32);
        if header.ack.after(most) || header.ack.before(least) {
            self.challenge(now);
            return Some(Verdict::NotBelieved);
        }
        None
    }

    /// Takes what is new of the data, and the peer's end.
    fn take(&mut self, now: Instant, header: &Header, data: Data<'_>) -> Verdict {
        let fin = header.flags.has(Flags::FIN);
        if data.is_empty() && !fin {
            return Verdict::Taken;
        }
        if !matches!(self.state, State::Established | State::FinWait1 | State::FinWait2) {
            // The peer had finished; what is there again is acknowledged again.
            self.rcv.ack_now = true;
            return Verdict::Outside;
        }
        self.sample_rtt(now, header);
        let before = self.rcv.next.beyond(header.seq).min(data.len() as u32) as usize;
        let (seq, fresh) = (header.seq + before as u32, data.split_at(before).1);
        if before > 0 {
            self.note_duplicate(header.seq, seq);
            self.rcv.ack_now = true;
        }
        let wanted = fresh.len().min(self.rcv.edge.beyond(seq) as usize);
        let fits = self.make_room(seq, wanted);
        if fits < wanted {
            // What was offered stays offered (RFC 9293, 3.8.6); from there on no more than there is memory for.
            let rcv = &mut self.rcv;
            rcv.limit = rcv.limit.min(rcv.ring.capacity().max(rcv.mss as usize));
            rcv.ack_now = true;
            if fits == 0 {
                self.counts.no_memory += 1;
                return Verdict::NoMemory;
            }
        }
        let cut = fresh.len() > fits;
        let fresh = fresh.split_at(fits).0;
        // Several segments may have come as one.
        let most = self.offers.mtu.saturating_sub(HEADERS + if self.clocks.on { CLOCKS } else { 0 });
        self.rcv.mss = self.rcv.mss.max((fresh.len() as u32).min(u32::from(most)));
        if fin && !cut {
            self.rcv.fin = Some(seq + fresh.len() as u32);
            self.rcv.ack_now = true;
        }
        self.rcv.ack_now |= cut;
        let (next, had_holes) = (self.rcv.next, !self.rcv.assembler.is_empty());
        if !self.store(seq, fresh) {
            // One hole too many.
            self.counts.no_memory += 1;
            self.rcv.fin = None;
            self.rcv.ack_now = true;
            return Verdict::NoMemory;
        }
        self.note_hole(now, next, had_holes);
        self.take_fin();
        self.plan_acknowledgement(now);
        Verdict::Taken
    }

    /// Makes room for so much data at `seq`: octets for which there is memory.
    fn make_room(&mut self, seq: Seq, len: usize) -> usize {
        if len == 0 {
            return 0;
        }
        let rcv = &mut self.rcv;
        let offset = rcv.unread + (seq - rcv.next) as usize;
        let used = if rcv.assembler.is_empty() { rcv.unread } else { rcv.ring.capacity() };
        let room = rcv.ring.reserve_some(used, offset + len, &mut self.account);
        room.saturating_sub(offset).min(len)
    }

    /// Puts data where it belongs, for which there is room; false if it would make one hole too many.
    fn store(&mut self, seq: Seq, data: Data<'_>) -> bool {
        let rcv = &mut self.rcv;
        if data.is_empty() {
            return true;
        }
        let offset = rcv.unread + (seq - rcv.next) as usize;
        let end = seq + data.len() as u32;
        if seq != rcv.next && rcv.assembler.has(seq, end) {
            // The next block is the one that it lies in (RFC 2883, 4.2).
            rcv.assembler.add(seq, end, 0);
            rcv.ack_now = true;
            self.note_duplicate(seq, end);
            return true;
        }
        if seq == rcv.next {
            rcv.ring.fill(offset, data);
            let filled = !rcv.assembler.is_empty();
            let next = if filled { rcv.assembler.advance(end) } else { end };
            rcv.unread += (next - rcv.next) as usize;
            rcv.next = next;
            // A hole that was filled in part is told at once as well (RFC 5681, 4.2).
            rcv.ack_now |= filled;
            return true;
        }
        if !rcv.assembler.add(seq, end, rcv.ring.capacity()) {
            return false;
        }
        rcv.ring.fill(offset, data);
        rcv.ack_now = true;
        self.counts.out_of_order += 1;
        true
    }

    /// Notes how old a hole is. What comes out of one that took more than a round trip to fill came in several: until the rest of
    /// that recovery is over, it is not counted as what comes in one (see [`tune`](Self::tune)).
    fn note_hole(&mut self, now: Instant, next: Seq, had_holes: bool) {
        let filled = had_holes && self.rcv.next != next;
        let round_trip = self.way_here();
        let rcv = &mut self.rcv;
        if filled && now.duration_since(rcv.hole_at) > round_trip {
            (rcv.tuned, rcv.copied, rcv.flow) = (now + round_trip, 0, 0);
        }
        if filled || !had_holes {
            rcv.hole_at = now;
        }
    }

    fn take_fin(&mut self) {
        if self.rcv.fin != Some(self.rcv.next) {
            return;
        }
        self.rcv.fin = None;
        self.rcv.next += 1;
        self.rcv.edge = self.rcv.edge.later(self.rcv.next);
        self.rcv.ack_now = true;
        self.state = match self.state {
            State::Established => State::CloseWait,
            State::FinWait1 => State::Closing,
            _ => State::TimeWait,
        };
    }

    /// How long the peer's data takes, as its timestamps tell: for the owner's pace. Each echo counts once: those that come
    /// with the rest of a flight, or after a pause, are older by that.
    fn sample_rtt(&mut self, now: Instant, header: &Header) {
        let is_new = |echo: u32| self.clocks.on && echo != 0 && echo != self.clocks.echo;
        if let Some(clocks) = header.options.timestamp.filter(|clocks| is_new(clocks.echo)) {
            self.clocks.echo = clocks.echo;
            let passed = clock(self.clocks.offset, now).wrapping_sub(clocks.echo);
            if passed < 60_000 {
                let rtt = Duration::from_millis(u64::from(passed.max(1)));
                self.rcv.rtt = if self.rcv.rtt.is_zero() { rtt } else { (self.rcv.rtt * 7 + rtt) / 8 };
            }
        }
    }

    /// What has come twice is told once (RFC 2883), with what follows on it.
    fn note_duplicate(&mut self, seq: Seq, end: Seq) {
        if !end.after(seq) {
            return;
        }
        self.counts.duplicates += 1;
        let before = self.rcv.duplicate.filter(|(_, end)| *end == seq);
        self.rcv.duplicate = self.sack.then(|| (before.map_or(seq, |(from, _)| from), end));
    }

    /// Whether the peer is to be told what has come before a segment at `seq` is taken: an acknowledgement has room for few
    /// blocks, and what none of them names it would send again.
    pub fn is_to_tell(&self, seq: Seq) -> bool {
        let rcv = &self.rcv;
        let most = BLOCKS - usize::from(self.clocks.on) - usize::from(rcv.duplicate.is_some());
        rcv.duplicate.is_some_and(|(_, end)| end != seq)
            || self.sack && seq.after(rcv.next) && rcv.assembler.hides(seq, most)
    }

    /// Says again what is expected.
    fn answer_outside(&mut self, now: Instant, len: u32) {
        if len > 0 || now >= self.rcv.outside_from {
            self.rcv.outside_from = now + OUTSIDE_INTERVAL;
            self.rcv.ack_now = true;
        }
    }

    /// Answers what would end the connection if it were believed: the true peer repeats it so that it can be.
    fn challenge(&mut self, now: Instant) {
        if now >= self.rcv.challenge_from {
            self.rcv.challenge_from = now + CHALLENGE_INTERVAL;
            self.rcv.ack_now = true;
        }
    }
}
