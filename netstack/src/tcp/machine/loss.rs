//! What is lost, and what follows from it: RACK, tail loss probes, timeouts, and taking back what was wrong.

use super::acknowledge::News;
use super::congestion::Kind;
use super::queue::{AGAIN, LOST, PROBE, SACKED, Sent};
use super::synchronize::clock;
use super::{CLOCKS, Flags, Frto, HEADERS, Header, Machine, NEVER, Seq, State, Tlp};
use fata_libos::time::{Duration, Instant};

/// Duplicate acknowledgements that tell of a loss, where the peer does not say more (RFC 5681, 3.2).
pub(super) const DUPLICATES: u32 = 3;
/// How long a peer may hold back the acknowledgement of a single segment (RFC 8985, 7.2).
const ACK_DELAY: Duration = Duration::from_millis(200);
/// Added to the time of a probe, for the grain of other people's timers: two ticks of a usual kernel.
const PROBE_GRAIN: Duration = Duration::from_millis(8);

/// Segments that slow start grows by with one acknowledgement, where what that lets out is not paced (L of RFC 9406, 4.3).
const UNPACED: u32 = 8;

/// Why timers are set (RFC 6298, 5; RFC 8985, 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Something was acknowledged, or all begins.
    Progress,
    /// Something was sent.
    Sent,
    /// An acknowledgement came that moved nothing: no timer is moved by it.
    Nothing,
}

impl Machine {
    /// Octets on the way (RFC 6675's "pipe").
    pub(super) fn on_the_way(&self) -> u32 {
        let queue = &self.snd.queue;
        let in_timeout = self.congestion.recovery.is_some_and(|recovery| recovery.kind == Kind::Timeout);
        if self.sack || in_timeout {
            return queue.in_flight();
        }
        // Each duplicate says that a segment has left the network.
        queue.in_flight().saturating_sub(self.snd.dup_acks * self.snd.mss)
    }

    /// Draws the conclusions from an acknowledgement.
    pub(super) fn judge(&mut self, now: Instant, header: &Header, news: &News) {
        self.end_probe(header, news);
        self.notice_duplicate(news);
        if self.frto(news) {
            self.take_back();
        }
        self.end_recovery(header, news);
        if news.repeated && !self.sack {
            let most = (self.snd.next - self.snd.una) / self.snd.mss;
            self.snd.dup_acks = (self.snd.dup_acks + 1).min(most);
        }
        let lost = self.detect(now, news.acked > 0);
        self.follow_loss(lost, news);
        self.heed_mark(header);
        self.adapt_window(now, news, lost);
        self.set_timers(now, if news.acked > 0 { Cause::Progress } else { Cause::Nothing });
    }

    /// The tail loss probe has been answered (RFC 8985, 7.4).
    fn end_probe(&mut self, header: &Header, news: &News) {
        let Some(Tlp { end, again }) = self.snd.tlp else { return };
        if header.ack.before(end) {
            return;
        }
        if !again || news.duplicate.is_some() || (news.repeated && !news.sacked) {
            self.snd.tlp = None;
        } else if header.ack.after(end) {
            // The probe mended a loss: that counts as congestion.
            self.snd.tlp = None;
            if self.congestion.recovery.is_none() {
                let (range, flight) = ((self.snd.una, self.snd.next), self.on_the_way());
                self.congestion.react(Kind::Marked, range, flight, self.snd.mss);
                self.congestion.undo = None;
            }
        }
    }

    /// The peer got twice what was sent twice.
    fn notice_duplicate(&mut self, news: &News) {
        let Some((from, to)) = news.duplicate else { return };
        self.counts.twice = self.counts.twice.saturating_add((to - from).div_ceil(self.snd.mss));
        if self.counts.twice > self.counts.repeats {
            // The network makes copies: they say nothing of what was sent again (RFC 3708, 3).
            return;
        }
        self.rack.duplicated(self.snd.una, self.snd.next);
        let Some(undo) = &mut self.congestion.undo else { return };
        if from.before(undo.from) {
            return;
        }
        undo.repeats = undo.repeats.saturating_sub((to - from).div_ceil(self.snd.mss));
        if undo.stamp.is_some() && undo.repeats == 0 && self.snd.queue.waiting() == 0 {
            self.take_back();
        }
    }

    fn end_recovery(&mut self, header: &Header, news: &News) {
        let Some(recovery) = self.congestion.recovery else { return };
        if news.acked > 0 && self.came_from_first(header) {
            return self.take_back();
        }
        if self.snd.una.before(recovery.end) {
            return;
        }
        if recovery.kind != Kind::Marked {
            self.rack.recovered();
        }
        self.snd.frto = Frto::No;
        self.congestion.recovered();
    }

    /// Nothing was lost, only late.
    fn take_back(&mut self) {
        self.counts.undone += 1;
        self.rack.saw_reordering();
        self.congestion.take_back();
        self.snd.frto = Frto::No;
        self.rtt.end_backing_off();
        self.snd.queue.update_all(|sent| {
            if sent.waits() {
                sent.flags &= !LOST;
            }
        });
    }

    /// Finds what is lost now: octets, without probes of the path.
    fn detect(&mut self, now: Instant, progress: bool) -> u32 {
        if self.sack { self.detect_by_time(now) } else { self.detect_by_duplicates(now, progress) }
    }

    /// RFC 8985, 6.2, step 5.
    fn detect_by_time(&mut self, now: Instant) -> u32 {
        self.snd.reorder_at = NEVER;
        let in_recovery = self.congestion.recovery.is_some();
        if self.snd.queue.sacked() == 0 && !in_recovery {
            return 0;
        }
        let impatient = in_recovery || self.snd.queue.sacked() >= DUPLICATES * self.snd.mss;
        let smoothed = self.rtt.smoothed().unwrap_or_default();
        let window = self.rack.window(self.rtt.least(), smoothed, impatient);
        let (mut lost, mut probe, mut first) = (0, None, NEVER);
        for n in 0..self.snd.queue.len() {
            let Some(sent) = self.snd.queue.get(n).copied() else { break };
            if sent.is(SACKED) || sent.waits() {
                continue;
            }
            let Some(at) = self.rack.lost_at(&sent, window) else {
                if sent.repeats == 0 && !self.snd.queue.is_again_from(sent.seq) {
                    // All that follow were sent later, and once.
                    break;
                }
                continue;
            };
            if at > now {
                first = first.min(at);
                continue;
            }
            if sent.is(PROBE) {
                probe = Some(sent.len());
            } else {
                lost += sent.len();
            }
            self.snd.queue.update(n, |sent| sent.flags = (sent.flags | LOST) & !(AGAIN | PROBE));
        }
        self.snd.reorder_at = first;
        self.lose_probe(now, probe);
        lost
    }

    fn lose_probe(&mut self, now: Instant, octets: Option<u32>) {
        if let Some(octets) = octets {
            let overhead = HEADERS + if self.clocks.on { CLOCKS } else { 0 };
            self.pmtu.lost(now, octets as u16 + overhead);
        }
    }

    /// Without selective acknowledgements: three duplicates, and in a recovery each partial acknowledgement, tell of the
    /// first segment (RFC 6582).
    fn detect_by_duplicates(&mut self, now: Instant, progress: bool) -> u32 {
        let in_recovery = self.congestion.recovery.is_some_and(|recovery| recovery.kind == Kind::Fast);
        let tells = if in_recovery { progress } else { self.snd.dup_acks == DUPLICATES };
        if !tells || self.congestion.recovery.is_some_and(|recovery| recovery.kind == Kind::Timeout) {
            return 0;
        }
        // A probe of the path is lost as a whole.
        if self.snd.queue.front().is_some_and(|sent| !sent.is(PROBE)) {
            let first = self.snd.una + self.snd.mss;
            self.snd.queue.split(0, first, usize::MAX, &mut self.account);
        }
        let (mut lost, mut probe) = (0, None);
        self.snd.queue.update(0, |sent| {
            if sent.is(PROBE) {
                probe = Some(sent.len());
            } else {
                lost = sent.len();
            }
            sent.flags = (sent.flags | LOST) & !(AGAIN | PROBE);
        });
        self.lose_probe(now, probe);
        lost
    }

    fn follow_loss(&mut self, lost: u32, news: &News) {
        if lost == 0 {
            return;
        }
        match &mut self.congestion.recovery {
            None => {
                self.counts.recoveries += 1;
                let flight = self.snd.queue.in_flight() + self.snd.queue.waiting() + news.delivered;
                self.congestion.react(Kind::Fast, (self.snd.una, self.snd.next), flight, self.snd.mss);
                self.note_earlier_repeats();
            }
            Some(recovery) if recovery.kind == Kind::Marked => recovery.kind = Kind::Fast,
            Some(_) => {}
        }
    }

    /// What an earlier recovery sent again may still arrive: that does not prove this one wrong.
    fn note_earlier_repeats(&mut self) {
        let Some(undo) = &mut self.congestion.undo else { return };
        let again =
            (0..self.snd.queue.len()).filter_map(|n| self.snd.queue.get(n)).filter(|sent| sent.is(AGAIN));
        if let Some(first) = again.clone().map(|sent| sent.at).min() {
            undo.stamp = Some(clock(self.clocks.offset, first));
            undo.repeats = again.map(|sent| sent.len().div_ceil(self.snd.mss)).sum();
        }
    }

    /// The peer has seen a mark of congestion (RFC 3168, 6.1.2): once in a round trip.
    fn heed_mark(&mut self, header: &Header) {
        if self.ecn && header.flags.has(Flags::ECE) && self.congestion.recovery.is_none() {
            let (range, flight) = ((self.snd.una, self.snd.next), self.on_the_way());
            self.congestion.react(Kind::Marked, range, flight, self.snd.mss);
            self.congestion.undo = None;
            self.snd.reduced = true;
        }
    }

    fn adapt_window(&mut self, now: Instant, news: &News, lost: u32) {
        let in_timeout = self.congestion.recovery.is_some_and(|recovery| recovery.kind == Kind::Timeout);
        if self.congestion.recovery.is_some() && !in_timeout {
            let on_the_way = self.on_the_way();
            let delivered = if self.sack { news.delivered } else { self.delivered_by_reno(news) };
            let progress = news.acked > 0 && lost == 0;
            return self.congestion.recover(delivered, on_the_way, progress, self.snd.mss);
        }
        if news.acked == 0 {
            return;
        }
        if news.was_full || in_timeout {
            let smoothed = self.rtt.smoothed().unwrap_or_default();
            let bursts = self.congestion.is_slow_start() && self.paced_over().is_none();
            let most = if bursts { UNPACED * self.snd.mss } else { news.acked };
            self.congestion.grow(now, news.acked.min(most), self.snd.mss, smoothed);
        } else {
            self.congestion.pause(now);
        }
        self.congestion.search(self.snd.una, self.snd.next, news.shortest);
    }

    fn delivered_by_reno(&self, news: &News) -> u32 {
        if news.repeated { self.snd.mss } else { news.acked }
    }

    /// Sets the timers after an acknowledgement, or after something was sent.
    pub(super) fn set_timers(&mut self, now: Instant, cause: Cause) {
        let snd = &mut self.snd;
        if snd.queue.is_empty() {
            (snd.rto_at, snd.tlp_at, snd.reorder_at) = (NEVER, NEVER, NEVER);
            return;
        }
        if cause == Cause::Progress || snd.rto_at == NEVER {
            snd.rto_at = now + self.rtt.timeout();
        }
        let fits = self.sack
            && self.state.is_synchronized()
            && snd.tlp.is_none()
            && snd.queue.sacked() == 0
            && self.congestion.recovery.is_none();
        if !fits {
            snd.tlp_at = NEVER;
        } else if cause != Cause::Nothing {
            let rto_at = snd.rto_at;
            self.snd.tlp_at = (now + self.probe_time()).min(rto_at);
        }
    }

    /// RFC 8985, 7.2.
    fn probe_time(&self) -> Duration {
        let Some(smoothed) = self.rtt.smoothed() else { return Duration::from_secs(1) };
        let single = self.snd.next - self.snd.una <= self.snd.mss;
        smoothed * 2 + if single { ACK_DELAY } else { PROBE_GRAIN }
    }

    /// Does what timers ask for.
    pub(super) fn run_timers(&mut self, now: Instant) {
        if self.snd.reorder_at <= now {
            let lost = self.detect_by_time(now);
            self.follow_loss(lost, &News::default());
        }
        // Where both are due, the probe comes first (RFC 8985, 7.2).
        if self.snd.tlp_at <= now {
            self.probe_tail(now);
        } else if self.snd.rto_at <= now {
            self.time_out(now);
        }
    }

    /// RFC 8985, 7.3.
    fn probe_tail(&mut self, now: Instant) {
        self.snd.tlp_at = NEVER;
        self.snd.rto_at = now + self.rtt.timeout();
        self.snd.force = true;
        let new = self.new_in_probe();
        if new > 0 {
            self.snd.tlp = Some(Tlp { end: self.snd.next + new, again: false });
            return;
        }
        let Some(last) = self.snd.queue.back().copied() else { return };
        let n = self.snd.queue.len() - 1;
        if last.len() > self.snd.mss {
            self.snd.queue.split(n, last.end - self.snd.mss, usize::MAX, &mut self.account);
        }
        let n = self.snd.queue.len() - 1;
        self.snd.queue.update(n, |sent| sent.flags |= LOST);
        self.snd.tlp = Some(Tlp { end: self.snd.next, again: true });
    }

    /// RFC 6298, 5.4 to 5.7, with what RFC 8985 (6.3) says of what is lost.
    fn time_out(&mut self, now: Instant) {
        self.counts.timeouts += 1;
        (self.snd.rto_at, self.snd.tlp_at, self.snd.reorder_at) = (NEVER, NEVER, NEVER);
        self.snd.tlp = None;
        self.snd.force = true;
        self.rtt.back_off();
        let Some(first) = self.snd.queue.front().copied() else { return };
        if first.is(SACKED) {
            // The peer has thrown away what it had said it had.
            self.snd.queue.update_all(|sent| sent.flags &= !SACKED);
        }
        let handshake = matches!(self.state, State::SynSent | State::SynReceived);
        let closed = !self.snd.edge.after(self.snd.una);
        if handshake || closed {
            self.snd.queue.update(0, |sent| sent.flags = (sent.flags | LOST) & !AGAIN);
            // A peer without room answers all the same; what is never answered may be too large.
            if handshake || self.heard > first.at {
                return;
            }
        } else {
            let again = self.congestion.recovery.is_some_and(|recovery| recovery.kind == Kind::Timeout);
            self.snd.frto = if again { Frto::No } else { Frto::Begun };
            let ends = (self.snd.una, self.snd.next);
            self.congestion.react(Kind::Timeout, ends, self.on_the_way(), self.snd.mss);
            self.snd.dup_acks = 0;
            self.mark_all_lost(now);
        }
        let overhead = HEADERS + if self.clocks.on { CLOCKS } else { 0 };
        let size = first.len().min(self.snd.mss) as u16 + overhead;
        if self.pmtu.timed_out(now, size) {
            self.measure();
        }
    }

    fn mark_all_lost(&mut self, now: Instant) {
        let patience = self.rack.rtt()
            + self.rack.window(self.rtt.least(), self.rtt.smoothed().unwrap_or_default(), false);
        let mut probe = None;
        let mut is_first = true;
        self.snd.queue.update_all(|sent: &mut Sent| {
            if sent.is(PROBE) {
                probe = Some(sent.len());
                sent.flags &= !PROBE;
            }
            let late = sent.at + patience <= now;
            if !sent.is(SACKED) && (late || core::mem::take(&mut is_first)) {
                sent.flags = (sent.flags | LOST) & !AGAIN;
            }
        });
        self.lose_probe(now, probe);
    }

    /// Whether an error about a segment with this number can be true (RFC 5927, 7).
    pub(crate) fn is_unacknowledged(&self, seq: Seq) -> bool {
        !seq.before(self.snd.una) && seq.before(self.snd.next)
    }

    /// A router says what its next link takes, of a packet with this number: true if it is news and believed. What was
    /// too large goes out again in smaller pieces, and that is not congestion (RFC 1191, 6.5).
    pub fn too_big(&mut self, now: Instant, seq: Seq, mtu: u16) -> bool {
        if !self.is_unacknowledged(seq) || !self.state.is_synchronized() || !self.pmtu.too_big(now, mtu) {
            return false;
        }
        let old = self.snd.mss;
        self.measure();
        let mss = self.snd.mss;
        self.snd.queue.update_all(|sent| {
            if sent.len() > mss.min(old - 1) && !sent.is(SACKED) {
                sent.flags = (sent.flags | LOST) & !(AGAIN | PROBE);
            }
        });
        self.snd.force = true;
        true
    }
}
