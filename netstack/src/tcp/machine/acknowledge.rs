//! What the peer says of what it got: acknowledgements, selective ones, and its window.

use super::queue::{PROBE, SACKED, Sent};
use super::synchronize::clock;
use super::{Frto, HEADERS, Header, Machine, NEVER, Seq, State};
use fata_libos::time::{Duration, Instant};

/// Pieces that selective acknowledgements may cut the queue into, beside one for each segment on the way.
const PIECES: usize = 64;

/// What an acknowledgement brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct News {
    /// Octets that have arrived, as far as that is new.
    pub(super) delivered: u32,
    /// Octets acknowledged in order.
    pub(super) acked: u32,
    /// Something arrived that was sent only once.
    pub(super) fresh: bool,
    /// The highest number of that.
    pub(super) fresh_end: Seq,
    /// Blocks told of something new.
    pub(super) sacked: bool,
    /// The peer got something twice.
    pub(super) duplicate: Option<(Seq, Seq)>,
    /// The same acknowledgement again, without anything new (RFC 5681, 2).
    pub(super) repeated: bool,
    /// The longest and the shortest time since something was sent that is new and was sent once.
    pub(super) longest: Option<Duration>,
    pub(super) shortest: Option<Duration>,
    /// The highest number that had arrived before.
    highest: Option<Seq>,
    /// A probe of the path that has arrived, octets of data.
    probe: Option<u32>,
    /// Some of what is acknowledged in order was sent while the congestion window was full.
    pub(super) was_full: bool,
}

impl Machine {
    /// The number of the first octet that is kept.
    pub(super) fn base(&self) -> Seq {
        self.snd.end - self.snd.queued
    }

    /// Takes an acknowledgement that can be true.
    pub(super) fn acknowledge(&mut self, now: Instant, header: &Header, data: usize) {
        let ack = header.ack;
        let una = self.snd.una;
        let mut news = News { highest: self.rack.highest(), ..News::default() };
        if self.snd.probing && ack == self.snd.next + 1 {
            self.snd.next = ack;
        }
        if ack.before(una) {
            // Overtaken by a later one; its blocks may be news even so, and its window is not.
            self.take_blocks(now, header, &mut news);
            self.settle_probe(now, &news);
            if news.sacked || news.duplicate.is_some() {
                self.judge(now, header, &news);
            }
            return;
        }
        let window = u32::from(header.window) << self.snd.scale;
        let same_window = header.ack + window == self.snd.edge;
        self.update_window(header, window);
        if ack.after(una) {
            self.advance(now, header, &mut news);
        }
        self.take_blocks(now, header, &mut news);
        self.settle_probe(now, &news);
        if ack.after(una) {
            self.sample(now, header, &news);
        }
        news.repeated = ack == una
            && header.space(data) == 0
            && same_window
            && !self.snd.queue.is_empty()
            && news.duplicate.is_none();
        self.judge(now, header, &news);
    }

    /// RFC 9293, 3.10.7.4, fifth step.
    fn update_window(&mut self, header: &Header, window: u32) {
        let snd = &mut self.snd;
        let newer = snd.wl1.before(header.seq) || (snd.wl1 == header.seq && !snd.wl2.after(header.ack));
        if !newer {
            return;
        }
        (snd.wl1, snd.wl2) = (header.seq, header.ack);
        if (header.ack + window).after(snd.edge) {
            snd.probes = 0;
        }
        snd.edge = header.ack + window;
        snd.max_window = snd.max_window.max(window);
        if snd.edge.after(snd.next) {
            snd.persist_at = NEVER;
        }
    }

    fn take_blocks(&mut self, now: Instant, header: &Header, news: &mut News) {
        if !self.sack {
            return;
        }
        let blocks = header.options.sack;
        let most = PIECES + ((self.snd.next - self.snd.una) / self.snd.mss.max(1)) as usize;
        let ack = header.ack.later(self.snd.una);
        for (n, (from, to)) in blocks.iter().copied().enumerate() {
            if !from.before(to) || to.after(self.snd.next) {
                continue;
            }
            let inside_second =
                n == 0 && blocks.get(1).is_some_and(|(a, b)| !from.before(*a) && !to.after(*b));
            if n == 0 && (!to.after(ack) || inside_second) {
                if !from.before(self.snd.una - self.snd.max_window.max(1)) {
                    news.duplicate = Some((from, to));
                }
                continue;
            }
            if !from.after(ack) && !to.after(ack) || from.before(self.snd.una) {
                continue;
            }
            let mut queue = core::mem::take(&mut self.snd.queue);
            let mut account = core::mem::take(&mut self.account);
            queue.sack((from, to), most, &mut account, |sent| self.note(now, sent, header, news));
            (self.snd.queue, self.account) = (queue, account);
            news.sacked = true;
        }
        news.sacked &= news.delivered > 0;
    }

    /// Notes a send that has arrived.
    fn note(&mut self, now: Instant, sent: &Sent, header: &Header, news: &mut News) {
        if sent.is(SACKED) {
            return;
        }
        news.delivered += sent.len();
        if sent.is(PROBE) {
            news.probe = Some(sent.len());
        }
        let rtt = now.duration_since(sent.at);
        if sent.repeats == 0 {
            news.fresh = true;
            news.fresh_end = if news.fresh_end == Seq(0) { sent.end } else { news.fresh_end.later(sent.end) };
            news.longest = Some(news.longest.map_or(rtt, |longest| longest.max(rtt)));
            news.shortest = Some(news.shortest.map_or(rtt, |shortest| shortest.min(rtt)));
            self.counts.reordered += u32::from(self.rack.arrived(sent, rtt, news.highest));
            return;
        }
        // Which of the sends has arrived? The first, if it cannot be the last (RFC 8985, 6.2, step 2).
        let clocks = header.options.timestamp.filter(|_| self.clocks.on);
        let earlier = clocks
            .is_some_and(|clocks| (clocks.echo.wrapping_sub(clock(self.clocks.offset, sent.at)) as i32) < 0);
        if !earlier && rtt >= self.rtt.least() {
            self.rack.arrived(sent, rtt, news.highest);
        }
    }

    /// A probe of the path has got through.
    fn settle_probe(&mut self, now: Instant, news: &News) {
        if let Some(size) = news.probe {
            let overhead = HEADERS + if self.clocks.on { super::CLOCKS } else { 0 };
            self.pmtu.arrived(now, size as u16 + overhead);
            self.measure();
        }
    }

    /// Takes what is acknowledged in order out of the queue and what is kept.
    fn advance(&mut self, now: Instant, header: &Header, news: &mut News) {
        let ack = header.ack;
        let una = self.snd.una;
        let mut queue = core::mem::take(&mut self.snd.queue);
        queue.acknowledge(ack, |sent| self.note(now, sent, header, news));
        queue.settle(&mut self.account);
        self.snd.queue = queue;
        let base = self.base();
        let octets = ack.beyond(base).min(self.snd.queued);
        self.snd.outgoing.advance(octets, self.snd.queued, &mut self.account);
        self.snd.queued -= octets;
        news.acked = ack - una;
        news.was_full = una.before(self.snd.full);
        self.snd.una = ack;
        // Not to lie so far back one day that they seem to lie ahead.
        self.snd.small = self.snd.small.later(ack);
        self.snd.full = self.snd.full.later(ack);
        self.snd.dup_acks = 0;
        self.snd.probes = 0;
        self.snd.probing = false;
        self.snd.next = self.snd.next.later(ack);
        // All that was written and the end are there.
        if self.snd.finished && ack == self.snd.end + 1 {
            self.state = match self.state {
                State::FinWait1 => State::FinWait2,
                State::Closing => State::TimeWait,
                State::LastAck => return self.die(),
                state => state,
            };
        }
    }

    fn sample(&mut self, now: Instant, header: &Header, news: &News) {
        if news.fresh {
            self.pmtu.progressed();
        }
        if let Some(longest) = news.longest {
            return self.rtt.sample(now, longest);
        }
        if let Some(clocks) = header.options.timestamp.filter(|clocks| self.clocks.on && clocks.echo != 0) {
            let passed = clock(self.clocks.offset, now).wrapping_sub(clocks.echo);
            if passed < 120_000 {
                self.rtt.sample(now, Duration::from_millis(u64::from(passed.max(1))));
            }
        }
    }

    /// Whether what is acknowledged here was sent before it was sent again (RFC 3522): then nothing was lost.
    pub(super) fn came_from_first(&self, header: &Header) -> bool {
        let stamp = self.congestion.undo.and_then(|undo| undo.stamp);
        match (stamp, header.options.timestamp.filter(|_| self.clocks.on)) {
            (Some(stamp), Some(clocks)) => clocks.echo != 0 && (clocks.echo.wrapping_sub(stamp) as i32) < 0,
            _ => false,
        }
    }

    /// Whether F-RTO finds that the timeout was spurious (RFC 5682, 2.1 and 3.1).
    pub(super) fn frto(&mut self, news: &News) -> bool {
        let end = self.congestion.recovery.map_or(self.snd.una, |recovery| recovery.end);
        let moved = news.acked > 0 || news.sacked;
        match self.snd.frto {
            Frto::Begun if news.acked > 0 => {
                // All of it at once says nothing; else new data is tried before anything else goes out again.
                let some = self.snd.una.before(end);
                let limit = self.snd.next + 2 * self.snd.mss;
                self.snd.frto = if some { Frto::New(limit) } else { Frto::No };
                false
            }
            // What was sent once, before the timeout, arrives after all.
            Frto::New(_) if moved => {
                self.snd.frto = Frto::No;
                let spurious = news.fresh && !news.fresh_end.after(end);
                if !spurious {
                    self.congestion.narrow(3 * self.snd.mss);
                }
                spurious
            }
            _ => {
                if news.repeated || news.sacked {
                    if matches!(self.snd.frto, Frto::New(_)) {
                        self.congestion.narrow(3 * self.snd.mss);
                    }
                    self.snd.frto = Frto::No;
                }
                false
            }
        }
    }
}
