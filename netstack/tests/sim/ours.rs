//! This stack's machine as an [`Endpoint`], with what the stack does around it: headers of IP, the SYN-ACK, the cutting of
//! large sends, resets for who is not known.

#![allow(dead_code, reason = "each test uses a part of it")]

use crate::sim::{ECN, Endpoint, HOSTS};
use fata_libos::time::{Duration, Instant};
pub use fata_netstack::testing::tcp::Config;
use fata_netstack::testing::tcp::{
    Answered, Flags, HEADER, Header, Info, Machine, Seq, State, Transmit, Verdict, answer, reopens,
};
use std::collections::VecDeque;

/// An IPv4 header, octets.
const IP: usize = 20;
/// How far beyond the last number of a connection in TIME-WAIT the next one begins at least.
const BEYOND: u32 = 65_536;
/// ECT(0) in the ECN field (RFC 3168, 5).
const ECT: u8 = 2;

/// See the module.
pub struct Ours {
    n: usize,
    /// What the machine begins with.
    pub config: Config,
    /// There once the connection has begun.
    pub machine: Option<Machine>,
    /// The most octets of a large send; 0 for none.
    pub large: usize,
    /// How long its device keeps segments, to bring those that follow on each other as one; none where it brings each.
    pub merges: Option<Duration>,
    held: Vec<(Header, u8, Vec<u8>)>,
    held_until: Instant,
    /// Kinds of options that a middlebox takes out of this end's SYN.
    pub stripped: Vec<u8>,
    /// A listener is there: who may open the connection anew from TIME-WAIT is let in.
    pub listens: bool,
    /// Set when the connection begins.
    pub nodelay: bool,
    /// The same.
    pub keep_alive: Option<Duration>,
    ready: VecDeque<Vec<u8>>,
    aborted: bool,
    reset: bool,
    /// The machine was closed by the owner, or has been open.
    finished: bool,
}

/// What most tests begin with: buffers of so many octets.
pub fn config(buffer: usize) -> Config {
    Config {
        iss: Seq(0xffff_ff00),
        receive: buffer,
        shift: None,
        send: buffer,
        mtu: 1500,
        timestamp_offset: 0,
        ecn: false,
    }
}

impl Ours {
    /// End number `n`, which waits for the other.
    pub fn listen(n: usize, config: Config) -> Self {
        let ready = VecDeque::new();
        Self {
            n,
            config,
            machine: None,
            large: 0,
            merges: None,
            held: vec![],
            held_until: Instant::default(),
            stripped: vec![],
            listens: false,
            nodelay: false,
            keep_alive: None,
            ready,
            aborted: false,
            reset: false,
            finished: false,
        }
    }

    /// End number `n`, which begins.
    pub fn connect(n: usize, config: Config, now: Instant) -> Self {
        let mut end = Self::listen(n, config);
        end.begin(now);
        end
    }

    /// Sends a SYN.
    pub fn begin(&mut self, now: Instant) {
        self.take(now, Machine::connect(self.config.clone(), now));
    }

    fn take(&mut self, now: Instant, mut machine: Machine) {
        machine.set_nodelay(self.nodelay);
        machine.set_keep_alive(now, self.keep_alive);
        self.machine = Some(machine);
    }

    /// Figures of the machine.
    pub fn info(&self) -> Option<Info> {
        self.machine.as_ref().map(Machine::info)
    }

    /// The state.
    pub fn state(&self) -> Option<State> {
        self.machine.as_ref().map(Machine::state)
    }

    /// Resets the connection.
    pub fn abort(&mut self) {
        self.aborted = true;
        if let Some(machine) = &mut self.machine {
            machine.abort();
        }
    }

    /// Whether [`abort`](Self::abort) was called.
    pub fn was_aborted(&self) -> bool {
        self.aborted
    }

    fn reset(&mut self, seq: Seq, ack: Option<Seq>) {
        let flags = if ack.is_some() { Flags::RST | Flags::ACK } else { Flags::RST };
        let header = Header { seq, ack: ack.unwrap_or_default(), flags, ..Header::default() };
        self.send(&header, 0, &[]);
    }

    fn send(&mut self, header: &Header, ecn: u8, data: &[u8]) {
        let mut packet = packet(self.n, header, ecn, data);
        if header.flags.has(Flags::SYN) {
            strip(&mut packet[IP + HEADER..], &self.stripped);
        }
        self.ready.push_back(packet);
    }

    /// Nobody is there to take it (RFC 9293, 3.10.7.1).
    fn refuse(&mut self, header: &Header, data: usize) {
        if header.flags.has(Flags::RST) {
            return;
        }
        if header.flags.has(Flags::ACK) {
            self.reset(header.ack, None);
        } else {
            self.reset(Seq(0), Some(header.seq + header.space(data)));
        }
    }

    fn open(&mut self, now: Instant, syn: &Header) {
        if syn.flags.0 & (Flags::SYN | Flags::ACK | Flags::RST).0 != Flags::SYN.0 {
            return self.refuse(syn, 0);
        }
        let header = answer(&self.config, syn, now);
        self.send(&header, 0, &[]);
        self.take(now, Machine::accept(self.config.clone(), syn, Answered::Once(now), now));
    }

    /// Whether TIME-WAIT ends for that: what follows begins beyond all that was sent.
    fn gives_way_to(&mut self, header: &Header) -> bool {
        let waits = |machine: &&Machine| machine.state() == State::TimeWait;
        let Some(machine) = self.machine.as_ref().filter(waits).filter(|_| self.listens) else {
            return false;
        };
        let ((sent, received), clocks) = (machine.numbers(), machine.clocks());
        let gives_way = reopens(received, clocks.map(|(recent, _)| recent), header);
        if gives_way {
            self.config.iss = self.config.iss.later(sent + BEYOND);
        }
        gives_way
    }

    /// Takes a segment as the stack does.
    fn take_segment(&mut self, now: Instant, header: &Header, ecn: u8, data: &[u8]) {
        while self.machine.as_ref().is_some_and(|machine| machine.is_to_tell(header.seq))
            && self.next_send(now)
        {}
        if self.gives_way_to(header) {
            self.machine = None;
        }
        let Some(machine) = &mut self.machine else { return self.open(now, header) };
        let was = machine.state();
        match machine.receive(now, header, ecn == 3, data) {
            Verdict::Refused(seq) => self.reset(seq, None),
            // In TIME-WAIT all is there already.
            Verdict::Reset => self.reset = was != State::TimeWait,
            _ if was == State::Closed => self.refuse(header, data.len()),
            _ => {}
        }
    }

    /// Keeps a segment, or adds it to one that it follows on, as drivers and bridges do (RFC 9293 knows nothing of it).
    fn hold(&mut self, now: Instant, header: Header, ecn: u8, data: &[u8]) {
        if self.held.is_empty() {
            self.held_until = now + self.merges.unwrap_or_default();
        }
        let plain = |flags: Flags| flags.0 & !Flags::PSH.0 == Flags::ACK.0;
        if let Some((last, last_ecn, octets)) = self.held.last_mut()
            && last.seq + octets.len() as u32 == header.seq
            && (last.ack, last.window, last.options, *last_ecn)
                == (header.ack, header.window, header.options, ecn)
            && plain(last.flags)
            && plain(header.flags)
            && !octets.is_empty()
            && (1..65_000 - octets.len()).contains(&data.len())
        {
            last.flags |= header.flags;
            octets.extend_from_slice(data);
            return;
        }
        self.held.push((header, ecn, data.to_vec()));
    }

    /// Makes packets of the next send; false if there is none.
    fn next_send(&mut self, now: Instant) -> bool {
        let Some(mut machine) = self.machine.take() else { return false };
        let transmit = machine.transmit(now, self.large);
        if let Some(transmit) = &transmit {
            self.cut(transmit, &machine);
        }
        self.machine = Some(machine);
        transmit.is_some()
    }

    /// Cuts what goes out into packets.
    fn cut(&mut self, transmit: &Transmit, machine: &Machine) {
        let mut data = vec![0; transmit.len];
        machine.copy(transmit, &mut data);
        let ecn = if transmit.ect { ECT } else { 0 };
        let size = if transmit.segment_size == 0 { transmit.len } else { transmit.segment_size };
        assert!(transmit.len <= self.large.max(size), "a large send of {} octets", transmit.len);
        let ends = Flags(Flags::FIN.0 | Flags::PSH.0);
        let mut at = 0;
        loop {
            let end = (at + size).min(data.len());
            let mut header = transmit.header;
            header.seq += at as u32;
            if end < data.len() {
                header.flags.0 &= !ends.0;
            }
            if at > 0 {
                header.flags.0 &= !Flags::CWR.0;
            }
            self.send(&header, ecn, &data[at..end]);
            at = end;
            if at == data.len() {
                break;
            }
        }
    }
}

/// Puts padding in the place of options.
fn strip(mut options: &mut [u8], kinds: &[u8]) {
    while let [kind, len, ..] = *options {
        let len = if kind == 1 { 1 } else { usize::from(len).clamp(1, options.len()) };
        if kinds.contains(&kind) {
            options[..len].fill(1);
        }
        options = &mut options[len..];
    }
}

/// The IP packet that end `n` sends.
fn packet(n: usize, header: &Header, ecn: u8, data: &[u8]) -> Vec<u8> {
    let len = IP + header.len() + data.len();
    let mut packet = vec![0; len];
    packet[..2].copy_from_slice(&[0x45, ecn]);
    packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    packet[6..10].copy_from_slice(&[0x40, 0, 64, 6]);
    packet[12..16].copy_from_slice(&HOSTS[n].0.octets());
    packet[16..20].copy_from_slice(&HOSTS[1 - n].0.octets());
    header.write(HOSTS[n].1, HOSTS[1 - n].1, &mut packet[IP..]);
    packet[IP + header.len()..].copy_from_slice(data);
    packet
}

impl Endpoint for Ours {
    fn receive(&mut self, now: Instant, packet: &[u8]) {
        let Some(parsed) = Header::parse(&packet[IP..]) else { return };
        let (header, ecn, data) = (parsed.header, packet[ECN] & 3, &packet[IP + parsed.offset..]);
        if self.merges.is_some() {
            self.hold(now, header, ecn, data);
        } else {
            self.take_segment(now, &header, ecn, data);
        }
    }

    fn settle(&mut self, now: Instant) {
        if self.held_until <= now {
            for (header, ecn, data) in core::mem::take(&mut self.held) {
                self.take_segment(now, &header, ecn, &data);
            }
        }
    }

    fn transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        if let Some(packet) = self.ready.pop_front() {
            return Some(packet);
        }
        self.next_send(now);
        self.ready.pop_front()
    }

    fn deadline(&mut self, now: Instant) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(now);
        }
        let held = (!self.held.is_empty()).then_some(self.held_until);
        let timer = self.machine.as_ref().and_then(Machine::deadline);
        held.into_iter().chain(timer).min()
    }

    fn write(&mut self, octets: &[u8]) -> usize {
        self.machine.as_mut().map_or(0, |machine| machine.write(octets))
    }

    fn read(&mut self, now: Instant, buf: &mut [u8]) -> usize {
        self.machine.as_mut().map_or(0, |machine| machine.read(now, buf))
    }

    fn too_big(&mut self, now: Instant, packet: &[u8], mtu: usize) {
        if let (Some(machine), Some(parsed)) = (&mut self.machine, Header::parse(&packet[IP..])) {
            machine.too_big(now, parsed.header.seq, mtu as u16);
        }
    }

    fn is_open(&mut self) -> bool {
        self.state().is_some_and(|state| state != State::SynSent)
    }

    fn close(&mut self) {
        if let Some(machine) = &mut self.machine {
            self.finished = true;
            machine.close();
        }
    }

    fn is_at_end(&mut self) -> bool {
        self.machine.as_ref().is_some_and(|m| {
            m.readable() == 0
                && (m.state().has_peer_finished() || (m.state() == State::Closed && !self.reset))
        })
    }

    fn is_over(&mut self) -> bool {
        self.state().is_some_and(|state| matches!(state, State::Closed | State::TimeWait))
    }

    fn is_cut(&mut self) -> bool {
        // Closed in order: by the acknowledgement of an end that followed the peer's.
        let closed = self.state() == Some(State::Closed);
        self.reset || (closed && (self.aborted || !self.finished))
    }

    fn describe(&mut self) -> String {
        format!("{:?} {:?}", self.state(), self.info())
    }
}
