//! Segments out: what may be sent now, in which order, and how large (RFC 9293, 3.8.6; RFC 5681).

use super::congestion::Kind;
use super::loss::{Cause, DUPLICATES};
use super::owner::MOST_SEGMENTS;
use super::queue::{AGAIN, PROBE, Sent};
use super::spread::Part;
use super::synchronize::clock;
use super::{
    CLOCKS, FIRST_WINDOW, Flags, Frto, HEADERS, Header, Machine, NEVER, Options, Sacks, Seq, State, Timestamp,
};
use fata_libos::time::{Duration, Instant};

/// What pacing lets out at once: so many segments, or what goes in so much time.
const BURST: u32 = 10;
const BURST_TIME: Duration = Duration::from_millis(1);
/// On shorter paths the acknowledgements themselves are the pace.
const PACED_FROM: Duration = Duration::from_millis(1);
/// The pace is that of no longer round trip than so many of the least.
const PACED_MOST: u32 = 4;
/// The longest pause between two probes of a closed window.
const PERSIST_MOST: Duration = Duration::from_secs(60);
/// Blocks of a selective acknowledgement, one less beside timestamps (RFC 7323, 3.2).
pub(super) const BLOCKS: usize = 4;

/// A segment to be sent, or several of one header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Its header.
    pub header: Header,
    /// Octets of data.
    pub len: usize,
    /// The data of each segment into which this is to be cut, octets; 0 where it is one.
    pub segment_size: usize,
    /// Whether the IP header says that the ends understand marks of congestion.
    pub ect: bool,
    /// Where its data stands among what is not acknowledged.
    offset: usize,
}

impl Machine {
    /// The next thing to send, after doing what timers ask for. `most`: the most octets of data in a large send; 0 where
    /// each segment goes by itself. To be called until there is nothing.
    pub fn transmit(&mut self, now: Instant, most: usize) -> Option<Transmit> {
        if core::mem::take(&mut self.snd.reset) {
            return Some(self.send_reset());
        }
        if self.state == State::Closed {
            return None;
        }
        self.snd.paced_at = NEVER;
        self.run_timers(now);
        // Also where the peer's SYN came before this side's could go out.
        if matches!(self.state, State::SynSent | State::SynReceived) && self.snd.queue.is_empty() {
            return Some(self.send_syn(now));
        }
        // A peer that waits for holes to be filled is to know at once what has come, and what came twice.
        let has_blocks = !self.rcv.assembler.is_empty() || self.rcv.duplicate.is_some();
        if self.rcv.ack_now && has_blocks && self.state.is_synchronized() {
            return Some(self.send_ack(now));
        }
        if let Some(transmit) = self.send_again(now, most).or_else(|| self.send_new(now, most)) {
            return Some(transmit);
        }
        self.snd.force = false;
        if let Some(transmit) = self.send_probe(now).or_else(|| self.send_keep_alive(now)) {
            return Some(transmit);
        }
        let due = self.wants_to_send(now);
        (due && self.state != State::SynSent).then(|| self.send_ack(now))
    }

    /// Copies the data of what is to be sent; `buf` has its length.
    pub fn copy(&self, transmit: &Transmit, buf: &mut [u8]) {
        self.snd.outgoing.read(transmit.offset, buf);
    }

    fn send_syn(&mut self, now: Instant) -> Transmit {
        let seq = self.snd.iss;
        self.snd.next = seq + 1;
        self.snd.queue.push(Sent { seq, end: seq + 1, at: now, flags: 0, repeats: 0 });
        self.snd.last = now;
        self.set_timers(now, Cause::Progress);
        bare(self.syn(now))
    }

    fn send_reset(&mut self) -> Transmit {
        self.die();
        let flags = Flags::RST | Flags::ACK;
        bare(Header { seq: self.snd.next, ack: self.rcv.next, window: 0, flags, options: Options::default() })
    }

    fn send_ack(&mut self, now: Instant) -> Transmit {
        let header = self.header(now, self.snd.next, Flags::ACK, true);
        bare(header)
    }

    /// What is lost goes first (RFC 6675, 5), except while F-RTO tries new data.
    fn send_again(&mut self, now: Instant, most: usize) -> Option<Transmit> {
        if let Frto::New(limit) = self.snd.frto {
            // Either new data is tried first, or there is none.
            if self.has_new() || self.snd.next + 2 * self.snd.mss != limit {
                return None;
            }
            self.snd.frto = Frto::No;
        }
        let n = self.snd.queue.next_waiting()?;
        let first = *self.snd.queue.get(n)?;
        if matches!(self.state, State::SynSent | State::SynReceived) {
            return Some(self.syn_again(now, n));
        }
        let room = self.congestion.window().saturating_sub(self.on_the_way());
        let mss = self.snd.mss;
        let force = core::mem::take(&mut self.snd.force);
        if room < mss.min(first.len()) && !force {
            return None;
        }
        if !force && self.is_paced(now) {
            return None;
        }
        let len = if force { mss } else { (room - room % mss).max(mss).min(self.large(most)) };
        self.snd.queue.split(n, first.seq + len, usize::MAX, &mut self.account);
        self.snd.queue.join(n, mss);
        let sent = *self.snd.queue.get(n)?;
        self.snd.queue.update(n, |sent| {
            sent.flags |= AGAIN;
            sent.at = now;
            sent.repeats = sent.repeats.saturating_add(1);
        });
        let segments = sent.len().div_ceil(mss);
        self.counts.repeats += segments;
        let stamp = clock(self.clocks.offset, now);
        if let Some(undo) = &mut self.congestion.undo {
            undo.stamp.get_or_insert(stamp);
            undo.repeats += segments;
        }
        Some(self.data(now, sent, false))
    }

    fn syn_again(&mut self, now: Instant, n: usize) -> Transmit {
        self.snd.force = false;
        // Without a timeout it is the answer to a SYN that has crossed this side's.
        let timeouts = self.counts.timeouts.min(255) as u8;
        self.snd.queue.update(n, |sent| {
            sent.flags = 0;
            sent.at = now;
            sent.repeats = timeouts;
        });
        self.set_timers(now, Cause::Progress);
        (self.rcv.ack_now, self.rcv.ack_at, self.rcv.acked) = (false, NEVER, self.rcv.next);
        bare(self.syn(now))
    }

    fn has_new(&self) -> bool {
        let unsent = self.snd.end.beyond(self.snd.next);
        !self.is_full() && unsent.min(self.snd.edge.beyond(self.snd.next)) > 0
    }

    /// Whether the queue has as many entries as it may have: the next acknowledgement makes room.
    fn is_full(&self) -> bool {
        self.snd.queue.len() >= MOST_SEGMENTS
    }

    /// The most octets of one send: on a slow path no more than goes in a millisecond, as what waits for so much room is
    /// missing on the way.
    fn large(&self, most: usize) -> u32 {
        let mss = self.snd.mss;
        // Of 64 bits: wider divisions are code of their own in an image.
        let in_time = |each: Duration| BURST_TIME.as_nanos() as u64 / (each.as_nanos() as u64).max(1);
        let paced = self.pace_of(mss).map_or(u64::MAX, in_time);
        let segments = u64::from(most as u32 / mss).min(paced.max(2));
        let whole = segments as u32 * mss;
        if whole < 2 * mss || self.snd.reduced { mss } else { whole }
    }

    fn send_new(&mut self, now: Instant, most: usize) -> Option<Transmit> {
        use State::{CloseWait, Closing, Established, FinWait1, LastAck};
        if !matches!(self.state, Established | CloseWait | FinWait1 | Closing | LastAck) {
            return None;
        }
        let (next, end) = (self.snd.next, self.snd.end);
        let unsent = end.beyond(next);
        let fin = self.snd.finished && !next.after(end);
        if unsent == 0 && !fin || self.is_full() {
            return None;
        }
        if !self.snd.queue.make_room(&mut self.account) {
            // Nothing on the way would bring the next try.
            self.snd.persist_at = self.snd.persist_at.min(now + PERSIST_MOST / 60);
            return None;
        }
        self.restart_after_idle(now);
        if let Some(transmit) = self.send_path_probe(now, unsent) {
            return Some(transmit);
        }
        let window = self.snd.edge.beyond(next);
        let (len, with_fin) = self.choose(most, unsent, window, fin)?;
        if !self.snd.force && self.is_paced(now) {
            return None;
        }
        self.snd.force = false;
        Some(self.send_from_ring(now, len, with_fin, 0))
    }

    /// How much to send now, and whether the end goes with it.
    fn choose(&mut self, most: usize, unsent: u32, window: u32, fin: bool) -> Option<(u32, bool)> {
        let mss = self.snd.mss;
        let force = self.snd.force;
        let room = self.congestion.window().saturating_sub(self.on_the_way());
        let room = if force { room.max(mss) } else { room };
        let room = match self.snd.frto {
            Frto::New(limit) => room.min(limit.beyond(self.snd.next)),
            _ => room,
        };
        if room < unsent.min(mss).max(1) {
            self.snd.full = self.snd.next;
        }
        let large = if force { mss } else { self.large(most) };
        let mut len = unsent.min(window).min(room).min(large);
        if len < unsent {
            if len >= mss {
                len -= len % mss;
                if room <= window.min(unsent).min(large) {
                    self.snd.full = self.snd.next + len;
                }
                if self.defers(len, large, unsent) {
                    return None;
                }
            } else if len == 0 || len < window.min(unsent) || 2 * len < self.snd.max_window {
                // Silly (RFC 9293, 3.8.6.2.1): wait for more room, or for the timer of a closed window.
                return self.await_window(window, unsent);
            }
            return Some((len, false));
        }
        let tail = len % mss;
        let waits = tail != 0 && !self.snd.nodelay && !fin && !force && self.snd.small.after(self.snd.una);
        if waits {
            // Nagle (RFC 9293, 3.7.4), as Minshall has it: one segment on the way that is not full.
            len -= tail;
        }
        let with_fin = fin && !waits && window > len;
        if len == 0 && !with_fin {
            return if fin { self.await_window(window, 1) } else { None };
        }
        Some((len, with_fin))
    }

    /// Octets of new data in a probe of the tail: as much as [`choose`](Self::choose) lets out by force, 0 where it would not.
    pub(super) fn new_in_probe(&mut self) -> u32 {
        let snd = &self.snd;
        let wanted = snd.end.beyond(snd.next).min(snd.mss);
        let len = wanted.min(snd.edge.beyond(snd.next));
        let silly = len < wanted && 2 * len < snd.max_window;
        if silly || self.is_full() || !self.snd.queue.make_room(&mut self.account) { 0 } else { len }
    }

    /// Nothing can be sent: if that is for the peer's window, and nothing on the way will bring an answer, a timer is set.
    fn await_window(&mut self, window: u32, wanted: u32) -> Option<(u32, bool)> {
        if window < wanted.min(self.snd.mss) && self.snd.queue.is_empty() && self.snd.persist_at == NEVER {
            self.snd.persist_at = self.snd.last.max(self.heard) + self.persist_time();
        }
        None
    }

    fn persist_time(&self) -> Duration {
        (self.rtt.timeout() * (1 << self.snd.probes.min(10))).min(PERSIST_MOST)
    }

    /// With much on the way whose acknowledgements will let more out, larger sends are worth waiting for.
    fn defers(&self, len: u32, large: u32, unsent: u32) -> bool {
        let window = self.congestion.window();
        large > self.snd.mss
            && self.congestion.recovery.is_none()
            && len < large.min(window / 8)
            && len < unsent
            && self.snd.queue.in_flight() >= window / 2
    }

    fn restart_after_idle(&mut self, now: Instant) {
        let timeout = self.rtt.base();
        if self.snd.queue.is_empty() && self.snd.next.after(self.snd.iss + 1) {
            let idle = now.duration_since(self.snd.last);
            if idle >= timeout {
                let timeouts = (idle.as_nanos() / timeout.as_nanos().max(1)).min(31) as u32;
                self.congestion.idle(timeouts, self.snd.mss);
                self.congestion.pause(self.snd.last);
            }
        }
    }

    /// A larger packet than is known to get through, from data that is to be sent anyway (RFC 4821, 7).
    fn send_path_probe(&mut self, now: Instant, unsent: u32) -> Option<Transmit> {
        let size = self.pmtu.probe(now)?;
        let overhead = HEADERS + if self.clocks.on { CLOCKS } else { 0 };
        let len = u32::from(size - overhead);
        // What follows it is to tell of its loss.
        let followed = len + DUPLICATES * self.snd.mss;
        let window = self.congestion.window();
        let room = window.saturating_sub(self.on_the_way());
        let fits = self.congestion.recovery.is_none()
            && unsent >= followed
            && self.snd.edge.beyond(self.snd.next) >= len
            && room >= len
            // Who does not tell what has come tells of it only with so many segments.
            && (self.sack || window.min(self.snd.edge.beyond(self.snd.una)) >= followed);
        if !fits || len <= self.snd.mss {
            return None;
        }
        self.pmtu.probing();
        Some(self.send_from_ring(now, len, false, PROBE))
    }

    fn send_from_ring(&mut self, now: Instant, len: u32, fin: bool, flags: u8) -> Transmit {
        let seq = self.snd.next;
        let sent = Sent { seq, end: seq + len + u32::from(fin), at: now, flags, repeats: 0 };
        self.snd.queue.push(sent);
        self.snd.next = sent.end;
        self.snd.probing = false;
        if !len.is_multiple_of(self.snd.mss) {
            self.snd.small = sent.end;
        }
        let transmit = self.data(now, sent, true);
        self.snd.last = now;
        self.rcv.quick = self.rcv.quick.min(2);
        transmit
    }

    /// Notes that the congestion window is in use, as it must be to grow (RFC 9438, 5.8; RFC 7661, 4.1): to the last segment, or
    /// for a half where it doubles in a round trip.
    fn notice_full(&mut self) {
        let (flight, window) = (self.on_the_way(), self.congestion.window());
        if flight + self.snd.mss > window || self.congestion.is_slow_start() && 2 * flight > window {
            self.snd.full = self.snd.next;
        }
    }

    /// A segment of what the queue has an entry for.
    fn data(&mut self, now: Instant, sent: Sent, fresh: bool) -> Transmit {
        let mss = self.snd.mss;
        let fin = self.snd.finished && sent.end == self.snd.end + 1;
        let len = sent.len() - u32::from(fin);
        let mut flags = Flags::ACK;
        if fin {
            flags |= Flags::FIN;
        }
        if len > 0 && !sent.end.before(self.snd.end) {
            flags |= Flags::PSH;
        }
        if fresh && len > 0 && core::mem::take(&mut self.snd.reduced) {
            flags |= Flags::CWR;
        }
        self.notice_full();
        self.congestion.sent(len);
        self.pace(now, len);
        self.set_timers(now, Cause::Sent);
        let header = self.header(now, sent.seq, flags, false);
        Transmit {
            header,
            len: len as usize,
            segment_size: if len > mss && !sent.is(PROBE) { mss as usize } else { 0 },
            ect: self.ecn && fresh && len > 0,
            offset: (sent.seq - self.base()) as usize,
        }
    }

    /// A header that says what is expected and offered.
    pub(super) fn header(&mut self, now: Instant, seq: Seq, flags: Flags, with_blocks: bool) -> Header {
        let mut flags = flags;
        if self.rcv.marked && self.ecn {
            flags |= Flags::ECE;
        }
        let (ack, rest_at) = self.told(now);
        let window = self.offer(ack);
        let timestamp = self
            .clocks
            .on
            .then(|| Timestamp { value: clock(self.clocks.offset, now), echo: self.clocks.recent });
        let sack = if with_blocks { self.blocks() } else { Sacks::default() };
        self.rcv.acked = ack;
        (self.rcv.ack_now, self.rcv.ack_at) = (false, rest_at);
        self.rcv.part = if rest_at == NEVER { Part::Nothing } else { Part::Later };
        let options = Options { timestamp, sack, ..Options::default() };
        Header { seq, ack, window, flags, options }
    }

    /// The blocks of a selective acknowledgement: what has come twice first (RFC 2883), then what changed last.
    fn blocks(&mut self) -> Sacks {
        let mut sack = Sacks::default();
        let duplicate = self.rcv.duplicate.take();
        if !self.sack {
            return sack;
        }
        if let Some(block) = duplicate {
            sack.push(block);
        }
        for range in self.rcv.assembler.newest() {
            let is_told = sack.iter().skip(usize::from(duplicate.is_some())).any(|told| *told == range);
            if !is_told && !sack.push(range) {
                break;
            }
        }
        self.rcv.assembler.told();
        sack.truncate(BLOCKS - usize::from(self.clocks.on));
        sack
    }

    /// The window field: what is free, moved on only by what is worth it (RFC 9293, 3.8.6.2.2), never back.
    fn offer(&mut self, ack: Seq) -> u16 {
        let rcv = &mut self.rcv;
        let free = rcv.limit.saturating_sub(rcv.unread);
        if free >= (rcv.limit / 2).min(rcv.mss as usize) {
            rcv.edge = rcv.edge.later(rcv.next + free as u32);
        }
        let left = rcv.edge.beyond(ack) >> rcv.scale;
        left.min(FIRST_WINDOW as u32) as u16
    }

    /// A closed window is probed with one octet of what waits (RFC 9293, 3.8.6.1), one that is too small is used.
    fn send_probe(&mut self, now: Instant) -> Option<Transmit> {
        if self.snd.persist_at > now {
            return None;
        }
        self.snd.persist_at = NEVER;
        let (next, end) = (self.snd.next, self.snd.end);
        let unsent = end.beyond(next);
        let fin = self.snd.finished && !next.after(end);
        let idle = self.snd.queue.is_empty() && self.snd.queue.make_room(&mut self.account);
        if !idle || (unsent == 0 && !fin) || !self.state.is_synchronized() {
            return None;
        }
        let window = self.snd.edge.beyond(next);
        if window > 0 && unsent > 0 {
            return Some(self.send_from_ring(now, window.min(unsent).min(self.snd.mss), false, 0));
        }
        self.snd.probes = self.snd.probes.saturating_add(1);
        self.snd.persist_at = now + self.persist_time();
        self.snd.probing = true;
        let (len, flags) = if unsent > 0 { (1, Flags::ACK) } else { (0, Flags::ACK | Flags::FIN) };
        let header = self.header(now, next, flags, false);
        let offset = (next - self.base()) as usize;
        Some(Transmit { header, len, segment_size: 0, ect: false, offset })
    }

    /// Asks a silent peer whether it is there (RFC 9293, 3.8.4).
    fn send_keep_alive(&mut self, now: Instant) -> Option<Transmit> {
        if self.keep_alive_at()? > now {
            return None;
        }
        self.asked = now;
        let seq = self.snd.next - 1;
        Some(bare(self.header(now, seq, Flags::ACK, false)))
    }

    /// When the next question is due.
    pub(super) fn keep_alive_at(&self) -> Option<Instant> {
        let quiet = self.snd.queue.is_empty() && self.snd.persist_at == NEVER && self.state.is_synchronized();
        let interval = self.keep_alive.filter(|_| quiet)?;
        Some(self.heard.max(self.asked) + interval)
    }

    /// The round trip over which sends are spread, if they are.
    pub(super) fn paced_over(&self) -> Option<Duration> {
        // A sample that has a timeout in it weighs long; it is no reason to send for seconds as if the path were that long.
        let most = self.rtt.least().saturating_mul(PACED_MOST);
        Some(self.rtt.smoothed()?.min(most)).filter(|round_trip| *round_trip >= PACED_FROM)
    }

    /// How fast to send: the window in a round trip, and room to grow (RFC 9002, 7.7, gives the factors).
    fn pace_of(&self, octets: u32) -> Option<Duration> {
        let smoothed = self.paced_over()?;
        let window = u64::from(self.congestion.window().max(self.snd.mss));
        let (up, down) = if self.congestion.is_slow_start() { (2, 1) } else { (6, 5) };
        Some(Duration::from_nanos(smoothed.as_nanos() as u64 * u64::from(octets) / (window * up / down)))
    }

    fn pace(&mut self, now: Instant, octets: u32) {
        if let Some(cost) = self.pace_of(octets) {
            self.snd.pace_at = self.snd.pace_at.max(now) + cost;
        }
    }

    /// Whether the next send has to wait; notes until when.
    fn is_paced(&mut self, now: Instant) -> bool {
        if self.snd.pace_at <= now + BURST_TIME {
            return false;
        }
        let in_timeout = self.congestion.recovery.is_some_and(|recovery| recovery.kind == Kind::Timeout);
        let Some(slack) = self.pace_of(BURST * self.snd.mss).filter(|_| !in_timeout) else { return false };
        let slack = slack.max(BURST_TIME);
        let waits = self.snd.pace_at > now + slack;
        if waits {
            let early = self.snd.pace_at.as_nanos() - slack.as_nanos() as u64;
            self.snd.paced_at = Instant::from_nanos(early);
        }
        waits
    }
}

fn bare(header: Header) -> Transmit {
    Transmit { header, len: 0, segment_size: 0, ect: false, offset: 0 }
}
