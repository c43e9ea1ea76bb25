//! How a connection begins: what this side's SYN says, and what the peer's says of it.

use super::congestion::Congestion;
use super::spread::{Part, Spread};
use super::{
    Account, CLOCKS, Clocks, Config, Counts, DEFAULT_MSS, FIRST_WINDOW, Flags, Frto, HEADERS, Header,
    LEAST_MSS, Machine, NEVER, Options, Pmtu, Queue, Rack, Receiving, Ring, Rtt, Sending, Seq, State,
    Timestamp, Verdict,
};
use fata_libos::time::{Duration, Instant};

/// The shift that a window of so many octets needs (RFC 7323, 2.3).
pub(crate) fn window_scale(octets: usize) -> u8 {
    (usize::BITS - octets.leading_zeros()).saturating_sub(16).min(14) as u8
}

/// What is known of the SYN-ACKs that a peer was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It was sent one, then.
    Once(Instant),
    /// It was sent several: the path may lose much (RFC 5681, 3.1; RFC 6298, 5.7).
    Repeatedly,
    /// It was sent a cookie, of which nothing was kept.
    Unknown,
}

/// What the SYN-ACK to this SYN carries.
pub fn answer(config: &Config, syn: &Header, now: Instant) -> Header {
    let options = Options {
        mss: Some(config.mtu - HEADERS),
        scale: syn.options.scale.map(|_| window_scale(config.receive)),
        sack_permitted: syn.options.sack_permitted,
        timestamp: syn
            .options
            .timestamp
            .map(|peer| Timestamp { value: clock(config.timestamp_offset, now), echo: peer.value }),
        ..Options::default()
    };
    let asks = syn.flags.has(Flags::ECE | Flags::CWR);
    Header {
        seq: config.iss,
        ack: syn.seq + 1,
        window: config.receive.min(FIRST_WINDOW) as u16,
        flags: Flags::SYN | Flags::ACK | if asks { Flags::ECE } else { Flags::default() },
        options,
    }
}

/// Whether that is the first segment of a connection.
pub(crate) fn is_opening(header: &Header) -> bool {
    header.flags.0 & (Flags::SYN | Flags::ACK | Flags::RST).0 == Flags::SYN.0
}

/// Whether a segment opens a connection anew that is in TIME-WAIT: the first of one, whose clock is later than the `recent` one of
/// before (RFC 6191, 2); where not both have one, it lies beyond all that was received, up to `next` (RFC 9293, 3.6.1).
pub fn reopens(next: Seq, recent: Option<u32>, header: &Header) -> bool {
    let beyond = header.seq.after(next);
    let new = match (recent, header.options.timestamp) {
        // With the same clock its number decides.
        (Some(recent), Some(peer)) if peer.value == recent => beyond,
        (Some(recent), Some(peer)) => (peer.value.wrapping_sub(recent) as i32) > 0,
        _ => beyond,
    };
    is_opening(header) && new
}

/// The clock of timestamps: milliseconds.
pub(crate) fn clock(offset: u32, now: Instant) -> u32 {
    ((now.as_nanos() / 1_000_000) as u32).wrapping_add(offset)
}

impl Machine {
    /// Opens a connection: its first transmission is a SYN.
    pub fn connect(config: Config, now: Instant) -> Self {
        Self::new(config, State::SynSent, now)
    }

    /// Takes the connection that a peer opens with `syn`, which was answered: to be followed by the segment that acknowledges
    /// the SYN-ACK.
    pub fn accept(config: Config, syn: &Header, answered: Answered, now: Instant) -> Self {
        let mut machine = Self::new(config, State::SynReceived, now);
        machine.learn(syn, now);
        // What a peer echoes before that is not this side's clock, if anything.
        machine.clocks.echo = syn.options.timestamp.map_or(0, |clocks| clocks.echo);
        machine.snd.next = machine.snd.iss + 1;
        machine.snd.edge = machine.snd.next + u32::from(syn.window);
        // The SYN-ACK has acknowledged the SYN: what follows moves the peer's clock (RFC 7323, 4.3).
        machine.rcv.acked = machine.rcv.next;
        machine.rcv.edge = machine.rcv.next + machine.rcv.limit.min(FIRST_WINDOW) as u32;
        let (seq, end) = (machine.snd.iss, machine.snd.next);
        let sent = match answered {
            Answered::Once(at) => Some((at, 0)),
            Answered::Repeatedly => Some((now, 1)),
            Answered::Unknown => None,
        };
        if let Some((at, repeats)) = sent {
            machine.snd.queue.push(super::queue::Sent { seq, end, at, flags: 0, repeats });
        }
        machine.snd.rto_at = now + machine.rtt.timeout();
        machine
    }

    fn new(config: Config, state: State, now: Instant) -> Self {
        let pmtu = Pmtu::new(config.mtu.max(super::pmtu::LEAST));
        let mss = u32::from(config.mtu.max(super::pmtu::LEAST) - HEADERS);
        let scale = config.shift.unwrap_or(window_scale(config.receive));
        let iss = config.iss;
        Self {
            state,
            snd: Sending {
                iss,
                una: iss,
                next: iss,
                end: iss + 1,
                edge: iss,
                wl1: Seq(0),
                wl2: Seq(0),
                max_window: 0,
                scale: 0,
                mss,
                outgoing: super::Outgoing::default(),
                queued: 0,
                most: u32::try_from(config.send).unwrap_or(u32::MAX),
                finished: false,
                queue: Queue::default(),
                dup_acks: 0,
                nodelay: false,
                small: iss,
                full: iss,
                probing: false,
                probes: 0,
                pace_at: Instant::default(),
                last: now,
                rto_at: NEVER,
                tlp_at: NEVER,
                reorder_at: NEVER,
                persist_at: NEVER,
                tlp: None,
                force: false,
                frto: Frto::No,
                reduced: false,
                reset: false,
                paced_at: NEVER,
            },
            rcv: Receiving {
                irs: Seq(0),
                next: Seq(0),
                edge: Seq(0),
                scale,
                ring: Ring::default(),
                unread: 0,
                refused: 0,
                assembler: super::Assembler::default(),
                limit: config.receive.min(FIRST_WINDOW),
                most: config.receive,
                fin: None,
                mss: u32::from(DEFAULT_MSS),
                acked: Seq(0),
                ack_now: false,
                part: Part::Nothing,
                ack_at: NEVER,
                spread: Spread::default(),
                quick: super::told::QUICK,
                duplicate: None,
                outside_from: now,
                challenge_from: now,
                rtt: Duration::ZERO,
                tuned: now,
                copied: 0,
                copied_before: 0,
                flow: 0,
                hole_at: now,
                marked: false,
            },
            clocks: Clocks { offset: config.timestamp_offset, on: true, recent: 0, recent_at: now, echo: 0 },
            sack: true,
            ecn: false,
            rtt: Rtt::default(),
            rack: Rack::default(),
            congestion: Congestion::new(mss),
            pmtu,
            keep_alive: None,
            heard: now,
            asked: now,
            counts: Counts::default(),
            account: Account::default(),
            offers: config,
        }
    }

    /// This side's SYN, or SYN-ACK where the peer's came first.
    pub(super) fn syn(&self, now: Instant) -> Header {
        let ecn = Flags::ECE | Flags::CWR;
        let answers = self.state == State::SynReceived;
        let clocks = Timestamp { value: clock(self.clocks.offset, now), echo: self.clocks.recent };
        let options = Options {
            mss: Some(self.offers.mtu.max(super::pmtu::LEAST) - HEADERS),
            scale: (!answers || self.rcv.scale > 0 || self.snd.scale > 0).then_some(self.rcv.scale),
            sack_permitted: self.sack,
            timestamp: self.clocks.on.then_some(clocks),
            ..Options::default()
        };
        let flags = match (answers, self.ecn, self.offers.ecn && self.counts.timeouts == 0) {
            (true, true, _) => Flags::SYN | Flags::ACK | Flags::ECE,
            (true, false, _) => Flags::SYN | Flags::ACK,
            (false, _, true) => Flags::SYN | ecn,
            (false, ..) => Flags::SYN,
        };
        let window = self.rcv.limit.min(FIRST_WINDOW) as u16;
        Header { seq: self.snd.iss, ack: self.rcv.next, window, flags, options }
    }

    /// Notes what the peer's SYN offers.
    fn learn(&mut self, syn: &Header, now: Instant) {
        let rcv = &mut self.rcv;
        (rcv.irs, rcv.next, rcv.acked) = (syn.seq, syn.seq + 1, syn.seq);
        rcv.edge = rcv.next;
        match syn.options.scale {
            Some(scale) => self.snd.scale = scale,
            None => (self.snd.scale, rcv.scale) = (0, 0),
        }
        rcv.most = rcv.most.min(FIRST_WINDOW << rcv.scale);
        rcv.limit = rcv.limit.min(rcv.most);
        self.sack = syn.options.sack_permitted;
        match syn.options.timestamp {
            Some(clocks) => (self.clocks.recent, self.clocks.recent_at) = (clocks.value, now),
            None => self.clocks.on = false,
        }
        let mss = syn.options.mss.unwrap_or(DEFAULT_MSS).max(LEAST_MSS);
        self.pmtu.limit(mss.saturating_add(HEADERS));
        let ecn = Flags::ECE | Flags::CWR;
        self.ecn = if syn.flags.has(Flags::ACK) {
            self.offers.ecn && syn.flags.0 & ecn.0 == Flags::ECE.0
        } else {
            syn.flags.has(ecn)
        };
        self.snd.wl1 = syn.seq;
        self.snd.wl2 = self.snd.iss;
        self.measure();
        self.congestion = Congestion::new(self.snd.mss);
    }

    /// The size of segments, after that of packets has changed.
    pub(super) fn measure(&mut self) {
        let options = if self.clocks.on { CLOCKS } else { 0 };
        let mss = self.pmtu.current().saturating_sub(HEADERS + options);
        self.snd.mss = u32::from(mss.max(LEAST_MSS - CLOCKS));
        self.congestion.resize(self.snd.mss);
    }

    /// A segment in SYN-SENT (RFC 9293, 3.10.7.3).
    pub(super) fn receive_syn_sent(&mut self, now: Instant, header: &Header) -> Verdict {
        let flags = header.flags;
        if flags.has(Flags::ACK) {
            let good = header.ack.after(self.snd.iss) && !header.ack.after(self.snd.next);
            if !good {
                return if flags.has(Flags::RST) {
                    Verdict::NotBelieved
                } else {
                    Verdict::Refused(header.ack)
                };
            }
            if flags.has(Flags::RST) {
                self.die();
                return Verdict::Reset;
            }
        } else if flags.has(Flags::RST) {
            return Verdict::NotBelieved;
        }
        if !flags.has(Flags::SYN) {
            return Verdict::Bad;
        }
        self.learn(header, now);
        self.snd.edge = self.snd.iss + 1 + u32::from(header.window);
        self.snd.max_window = u32::from(header.window);
        self.heard = now;
        if !flags.has(Flags::ACK) {
            // Both sides open at once: the SYN goes out again, with an acknowledgement.
            self.state = State::SynReceived;
            self.snd.queue.update(0, |sent| sent.flags |= super::queue::LOST);
            self.snd.force = true;
            self.rcv.edge = self.rcv.next + self.rcv.limit.min(FIRST_WINDOW) as u32;
            return Verdict::Taken;
        }
        self.established(now, header.ack);
        self.rcv.ack_now = true;
        Verdict::Taken
    }

    /// This side's SYN is acknowledged.
    pub(super) fn established(&mut self, now: Instant, ack: Seq) {
        let mut first = None;
        self.snd.queue.acknowledge(ack, |sent| first = Some((sent.at, sent.repeats)));
        match first {
            Some((at, 0)) => self.rtt.sample(now, now.duration_since(at)),
            Some(_) => {
                self.rtt.end_backing_off();
                self.rtt.handshake_repeated();
                self.congestion.handshake_repeated(self.snd.mss);
            }
            // Nothing is known of it: neither how long it took nor that any was lost.
            None => {}
        }
        self.snd.una = ack;
        self.snd.next = self.snd.next.later(ack);
        (self.snd.small, self.snd.full) = (ack, ack);
        self.snd.rto_at = NEVER;
        (self.congestion.recovery, self.congestion.undo) = (None, None);
        self.state = if self.snd.finished { State::FinWait1 } else { State::Established };
    }
}
