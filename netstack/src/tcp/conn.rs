//! One connection: its state machine, who waits for it, and its deadlines.

use super::machine::{Machine, Sent, Wire};
use super::segment::{self, Segment, before};
use super::{Flow, Place};
use crate::connections::ConnectionInfo;
use crate::error::Error;
use crate::interface::Iface;
use crate::link::{Carries, Hop};
use crate::memory::Share;
use crate::stack::Core;
use crate::work::{Due, Sender, TimerKey};
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::net::Ipv4Addr;
use core::task::Waker;
use fata_libos::time::{Duration, Instant};
use smoltcp::socket::tcp::State;
use smoltcp::wire::{TcpControl, TcpPacket, TcpSeqNumber};

/// How long a handshake of ours may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a peer may be silent that owes us an acknowledgement (RFC 9293 asks for 100 s at least before the
/// connection is closed, RFC 5482 lets it be shorter).
pub(crate) const USER_TIMEOUT: Duration = Duration::from_secs(100);
/// How long a connection that its owner has dropped may take to close.
const LINGER: Duration = Duration::from_secs(30);
/// Keep-alive probes without an answer before the peer is given up.
const KEEP_ALIVE_PROBES: u32 = 5;
/// Between two challenge ACKs of one connection (RFC 5961, 7).
const CHALLENGE_INTERVAL: Duration = Duration::from_secs(1);
/// When a machine wants to send at once but does not, it is asked again after this.
const STALL: Duration = Duration::from_millis(10);

/// See the module.
pub(crate) struct Conn {
    pub(crate) flow: Flow,
    pub(crate) iface: Rc<Iface>,
    pub(super) state: RefCell<Inner>,
    queued: Cell<bool>,
    timer: Cell<Option<TimerKey>>,
}

pub(super) struct Inner {
    /// `None` once nothing is left to send or read.
    pub(super) machine: Option<Machine>,
    /// The memory of the machine.
    _share: Option<Share>,
    /// The peer's first sequence number, once known.
    irs: u32,
    /// Octets that the owner has read.
    pub(super) read: u32,
    /// Our first number that is not acknowledged yet.
    una: u32,
    /// When the peer was last heard, or first owed us something.
    pub(super) heard: Instant,
    /// Since when the peer owes us something.
    owed: bool,
    pub(super) keep_alive: Option<Duration>,
    pub(super) orphaned: Option<Instant>,
    challenged: Option<Instant>,
    pub(super) error: Option<Error>,
    /// The peer has finished, and all it sent has been read or dropped.
    pub(super) ended: bool,
    /// In no table any more.
    pub(super) done: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// The way out of one connection's packets.
struct Out<'a> {
    core: &'a Core,
    iface: &'a Iface,
    way: Option<(Ipv4Addr, Ipv4Addr, Hop)>,
    now: Instant,
}

impl Wire for Out<'_> {
    fn has_room(&self) -> bool {
        self.way.is_none() || self.iface.link.borrow().has_room()
    }

    fn send(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8])) {
        let Some((own, _, hop)) = self.way else { return self.core.counters.tx_no_route.one() };
        let mut link = self.iface.link.borrow_mut();
        link.send(self.now, own, hop, len, Carries::Tcp, &self.core.counters, fill);
    }
}

fn synchronized(state: State) -> bool {
    !matches!(state, State::Closed | State::Listen | State::SynSent | State::SynReceived)
}

fn peer_finished(state: State) -> bool {
    matches!(state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait)
}

impl Inner {
    /// The next number expected of the peer.
    fn rcv_next(&self) -> u32 {
        let Some(machine) = &self.machine else { return self.irs };
        let fin = u32::from(peer_finished(machine.state()));
        self.irs.wrapping_add(1).wrapping_add(self.read).wrapping_add(machine.readable() as u32 + fin)
    }

    /// Gives the machine's memory back.
    pub(super) fn release(&mut self) {
        self.machine = None;
        self._share = None;
    }

    pub(super) fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    /// When the peer is given up.
    fn limit(&mut self, now: Instant) -> Option<Instant> {
        let machine = self.machine.as_ref()?;
        let state = machine.state();
        let owes = machine.unacknowledged() > 0
            || matches!(state, State::SynSent | State::FinWait1 | State::Closing | State::LastAck);
        if owes && !self.owed {
            self.heard = now;
        }
        self.owed = owes;
        let patience = match (state, owes, self.keep_alive) {
            (State::SynSent, ..) => Some(CONNECT_TIMEOUT),
            (_, true, _) => Some(USER_TIMEOUT),
            (_, _, Some(interval)) => Some(interval * (1 + KEEP_ALIVE_PROBES)),
            _ => None,
        };
        let silent = patience.map(|patience| self.heard + patience);
        let linger = self.orphaned.map(|since| since + LINGER);
        silent.into_iter().chain(linger).min()
    }
}

impl Sender for Conn {
    fn send(self: Rc<Self>, core: &Core, now: Instant) {
        self.send_all(core, now);
    }

    fn timer_fired(self: Rc<Self>) {
        self.timer.set(None);
        self.mark_dirty();
    }
}

impl Conn {
    pub(crate) fn new(
        flow: Flow,
        iface: Rc<Iface>,
        machine: Machine,
        share: Share,
        irs: u32,
        now: Instant,
    ) -> Rc<Self> {
        let una = machine.sent.next;
        let state = RefCell::new(Inner {
            machine: Some(machine),
            _share: Some(share),
            irs,
            read: 0,
            una,
            heard: now,
            owed: false,
            keep_alive: None,
            orphaned: None,
            challenged: None,
            error: None,
            ended: false,
            done: false,
            reader: None,
            writer: None,
        });
        Rc::new(Self { flow, iface, state, queued: Cell::new(false), timer: Cell::new(None) })
    }

    /// Its row in the table of connections.
    pub(super) fn info(&self, now: Instant) -> ConnectionInfo {
        let inner = self.state.borrow();
        let machine = inner.machine.as_ref();
        let state = match machine.map_or(State::Closed, Machine::state) {
            State::Closed => "CLOSED",
            State::Listen => "LISTEN",
            State::SynSent => "SYN-SENT",
            State::SynReceived => "SYN-RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN-WAIT-1",
            State::FinWait2 => "FIN-WAIT-2",
            State::CloseWait => "CLOSE-WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST-ACK",
            State::TimeWait => "TIME-WAIT",
        };
        ConnectionInfo {
            send_queue: machine.map_or(0, Machine::unacknowledged),
            receive_queue: machine.map_or(0, Machine::readable),
            retransmits: machine.map_or(0, |machine| machine.sent.again),
            idle: Some(now.duration_since(inner.heard)),
            ..ConnectionInfo::new(self.flow.local(), self.flow.remote(), state)
        }
    }

    fn out<'a>(&'a self, core: &'a Core, now: Instant) -> Out<'a> {
        Out { core, iface: &self.iface, way: segment::way(&self.iface, &self.flow), now }
    }

    /// Puts it into its interface's queue.
    pub(crate) fn mark_dirty(self: &Rc<Self>) {
        if !self.queued.replace(true) {
            self.iface.work.push(self.clone());
        }
    }

    /// Takes a segment of this flow.
    pub(crate) fn receive(
        self: &Rc<Self>,
        core: &Core,
        now: Instant,
        segment: Segment,
        packet: &mut [u8],
        header_len: usize,
    ) {
        let mut guard = self.state.borrow_mut();
        let inner = &mut *guard;
        let next = inner.rcv_next();
        let Some(machine) = &inner.machine else { return };
        let before_state = machine.state();
        let is_acceptable = machine.accepts(next, &segment);
        if synchronized(before_state) {
            if (segment.rst && segment.seq != next) || segment.syn || machine.sent.is_beyond(&segment) {
                core.counters.tcp_resets_ignored.one();
                return self.challenge(core, now, inner, next);
            }
            refresh_ack(inner.una, &machine.sent, &segment, &mut packet[header_len..]);
        } else if segment.syn && !segment.has_ack {
            // Both sides opening at once: refused until the machine is our own.
            return;
        }
        let Some(machine) = &mut inner.machine else { return };
        let unacknowledged = machine.unacknowledged();
        if synchronized(before_state) && is_acceptable {
            machine.sent.acknowledged(&segment, inner.una);
            if segment.window == 0 && machine.sent.all_got(&segment) {
                // smoltcp would probe the closed window for ever, and without a pause, although it has nothing to send.
                TcpPacket::new_unchecked(&mut packet[header_len..]).set_window_len(1);
            }
        }
        machine.receive(now, packet, &mut self.out(core, now));
        let state = machine.state();
        if !segment.rst {
            inner.heard = now;
        }
        if before_state == State::SynSent && state == State::Established {
            (inner.irs, inner.una) = (segment.seq, segment.ack);
            machine.sent.shift = segment::window_scale(&packet[header_len..]);
            core.counters.tcp_opened.one();
        }
        // What the machine believes: it drops segments of which it does not even look at the acknowledgement.
        let acknowledged =
            unacknowledged - machine.unacknowledged() + usize::from(fin_got(before_state, state));
        inner.una = inner.una.wrapping_add(acknowledged as u32);
        if state == State::Closed && segment.rst && before_state != State::LastAck {
            let refused = before_state == State::SynSent;
            inner.error = Some(if refused { Error::ConnectionRefused } else { Error::ConnectionReset });
        }
        if !inner.done && !self.queued.replace(true) {
            self.iface.work.push(self.clone());
        }
        self.wake_who_can_go_on(inner, state != before_state);
    }

    fn wake_who_can_go_on(&self, inner: &mut Inner, state_changed: bool) {
        let Some(machine) = &mut inner.machine else { return inner.wake() };
        let socket = machine.socket();
        let can_read = socket.recv_queue() > 0;
        let can_write = socket.send_queue() * 2 <= socket.send_capacity();
        if state_changed {
            return inner.wake();
        }
        if can_read && let Some(waker) = inner.reader.take() {
            waker.wake();
        }
        if can_write && let Some(waker) = inner.writer.take() {
            waker.wake();
        }
    }

    /// Answers a segment that would end the connection if it were believed (RFC 5961): the true peer will repeat it so
    /// that it can be.
    fn challenge(&self, core: &Core, now: Instant, inner: &mut Inner, next: u32) {
        if inner.challenged.is_some_and(|last| now < last + CHALLENGE_INTERVAL) {
            return;
        }
        inner.challenged = Some(now);
        let Some(machine) = &inner.machine else { return };
        let mut reply = segment::repr(&self.flow, TcpControl::None, machine.sent.next, Some(next));
        reply.window_len = machine.sent.window;
        segment::send(core, &self.iface, now, &self.flow, &reply);
    }

    /// Sends what there is to send, ends what is over, and sets the timer anew.
    fn send_all(self: &Rc<Self>, core: &Core, now: Instant) {
        self.queued.set(false);
        let mut guard = self.state.borrow_mut();
        let inner = &mut *guard;
        if inner.done {
            return;
        }
        let limit = inner.limit(now);
        let Some(machine) = &mut inner.machine else { return };
        if limit.is_some_and(|limit| limit <= now) && machine.state() != State::Closed {
            if inner.orphaned.is_none() {
                core.counters.tcp_timed_out.one();
                inner.error = Some(Error::TimedOut);
            }
            machine.socket().abort();
        }
        if inner.orphaned.is_some() {
            discard(machine, &mut inner.read);
        }
        let again = machine.sent.again;
        let mut out = self.out(core, now);
        let mut stalled = true;
        let up = self.iface.is_up();
        while up && machine.send(now, &mut out) {
            // Nothing useful follows an empty segment; if the machine thinks otherwise it has to wait.
            stalled = machine.sent.empty;
            if stalled {
                break;
            }
        }
        core.counters.tcp_retransmits.add(machine.sent.again - again);
        if up && !out.has_room() {
            self.queued.set(true);
            self.iface.work.put_back(self.clone());
        }
        self.settle(core, now, inner, stalled);
    }

    /// Takes a connection that is over out of the table; sets the timer of one that is not.
    fn settle(self: &Rc<Self>, core: &Core, now: Instant, inner: &mut Inner, stalled: bool) {
        let (next, up) = (inner.rcv_next(), self.iface.is_up());
        let Some(machine) = &mut inner.machine else { return };
        match machine.state() {
            State::Closed if machine.socket().remote_endpoint().is_none() || !up => {
                return self.finish(core, inner, None);
            }
            State::TimeWait => {
                // The last ACK is on its way; what comes late needs no machine.
                let place = Place::time_wait(&core.tcp, &self.iface, machine.sent.next, next);
                return self.finish(core, inner, place);
            }
            _ => {}
        }
        // Without a link only the peer's limit counts; the machine goes on where it was when the link is back.
        let deadline = machine.deadline(now).filter(|_| up);
        let deadline = deadline.map(|at| if stalled && at <= now { now + STALL } else { at });
        let limit = inner.limit(now);
        if let Some(at) = deadline.into_iter().chain(limit).min() {
            self.set_timer(at);
        }
    }

    /// An earlier timer replaces the one that is set; a later one waits until that has fired.
    fn set_timer(self: &Rc<Self>, at: Instant) {
        match self.timer.get() {
            Some(key) if key.0 <= at => return,
            Some(key) => self.iface.work.clear_timer(key),
            None => {}
        }
        self.timer.set(Some(self.iface.work.set_timer(at, Due::Conn(self.clone()))));
    }

    /// Leaves the tables. What has been received can still be read.
    fn finish(&self, core: &Core, inner: &mut Inner, place: Option<Place>) {
        inner.done = true;
        if let Some(key) = self.timer.take() {
            self.iface.work.clear_timer(key);
        }
        core.tcp.closed(&self.flow, place);
        if let Some(machine) = &inner.machine {
            inner.ended = inner.error.is_none() && peer_finished_or_closed(machine.state());
            if machine.readable() == 0 || inner.error.is_some() || inner.orphaned.is_some() {
                inner.release();
            }
        }
        inner.wake();
    }

    /// Ends it at once, without a word to the peer: the local address is gone, or nobody will ever hear of it.
    pub(crate) fn kill(&self, core: &Core, error: Error) {
        let mut inner = self.state.borrow_mut();
        if !inner.done {
            inner.error = Some(error);
            self.finish(core, &mut inner, None);
        }
    }

    /// An error about a handshake of ours ends it, where the segment it names is the one we sent. An established
    /// connection does not believe such errors (RFC 5927).
    pub(crate) fn unreachable(&self, core: &Core, seq: Option<u32>, error: Error) {
        let opening = {
            let inner = self.state.borrow();
            let machine = inner.machine.as_ref();
            machine.is_some_and(|m| {
                m.state() == State::SynSent && seq.is_none_or(|seq| m.sent.next == seq.wrapping_add(1))
            })
        };
        if opening {
            self.kill(core, error);
        }
    }
}

/// Whether the peer has acknowledged our end in this step.
fn fin_got(before: State, after: State) -> bool {
    match before {
        State::FinWait1 => matches!(after, State::FinWait2 | State::TimeWait),
        State::Closing => after == State::TimeWait,
        _ => false,
    }
}

/// A connection that ended without an error ended because the peer had finished, or both had.
fn peer_finished_or_closed(state: State) -> bool {
    peer_finished(state) || state == State::Closed
}

/// Throws away what a connection receives that nobody reads any more.
fn discard(machine: &mut Machine, read: &mut u32) {
    while let Ok(n @ 1..) = machine.socket().recv(|data| (data.len(), data.len())) {
        *read = read.wrapping_add(n as u32);
    }
}

/// smoltcp drops data whose acknowledgement is older than one it has seen, as happens when segments overtake each other.
fn refresh_ack(una: u32, sent: &Sent, segment: &Segment, tcp: &mut [u8]) {
    if segment.len() > 0
        && segment.has_ack
        && before(segment.ack, una)
        && let Some(window) = sent.window_at(una, segment.ack)
    {
        let mut tcp = TcpPacket::new_unchecked(tcp);
        tcp.set_ack_number(TcpSeqNumber(una as i32));
        tcp.set_window_len(window);
    }
}
