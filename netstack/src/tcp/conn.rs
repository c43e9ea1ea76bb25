//! One connection: its state machine, who waits for it, and its deadlines.

use super::machine::{Counts, Header, Machine, Seq, State, Verdict};
use super::segment;
use super::{Flow, Place};
use crate::connections::ConnectionInfo;
use crate::data::Data;
use crate::error::Error;
use crate::interface::Iface;
use crate::ip::{self, Way};
use crate::link::{Carries, Send};
use crate::stack::Core;
use crate::traffic::Lost;
use crate::work::{Due, Sender, TimerKey};
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::task::Waker;
use fata_libos::time::{Duration, Instant};

/// How long a handshake of ours may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a peer may owe us an acknowledgement while its window is open, whatever else it says (R2 of RFC 9293, 3.8.3,
/// which asks for 100 s at least before the connection is closed; RFC 5482 lets it be shorter), and be silent while that is
/// closed.
pub(crate) const USER_TIMEOUT: Duration = Duration::from_secs(100);
/// How long a connection that its owner has dropped may take to close since its peer last acknowledged something; where memory
/// is scarce, since it was dropped.
const LINGER: Duration = Duration::from_secs(30);
/// Keep-alive probes without an answer before the peer is given up.
const KEEP_ALIVE_PROBES: u32 = 5;

/// What a connection sends in one turn where others wait, octets, and the least that a frame counts: its place in the device's
/// ring.
const SHARE: usize = 48 << 10;
const LEAST_COST: usize = 4096;

/// A timer that far away is not moved when it could be later.
const DISTANT: Duration = Duration::from_millis(50);

/// What became of a connection's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It has nothing more to send.
    Done,
    /// It is that of others: it has sent its share, or what there was room for.
    Over,
    /// There was no room.
    NoRoom,
}

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
    /// What of its counts is in the stack's already.
    counted: Counts,
    /// When the peer was last heard, or first owed us something.
    pub(super) heard: Instant,
    /// When it last acknowledged something, or said that it takes nothing for now; or first owed us something.
    progressed: Instant,
    /// Whether the peer owes us something.
    owed: bool,
    /// Whether the table counts it among those in SYN-SENT.
    opening: bool,
    pub(super) keep_alive: Option<Duration>,
    pub(super) orphaned: Option<Instant>,
    pub(super) error: Option<Error>,
    /// The peer has finished, and all it sent has been read or dropped.
    pub(super) ended: bool,
    /// In no table any more.
    pub(super) done: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl Inner {
    /// It is not in SYN-SENT any more.
    fn opened(&mut self, core: &Core) {
        if core::mem::take(&mut self.opening) {
            core.tcp.count_opening(-1);
        }
    }

    /// Gives the machine's memory back.
    pub(super) fn release(&mut self) {
        self.machine = None;
    }

    pub(super) fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    /// When the peer is given up.
    fn limit(&mut self, now: Instant) -> Option<Instant> {
        let machine = self.machine.as_ref()?;
        let owes = machine.owed();
        if owes && !self.owed {
            (self.heard, self.progressed) = (now, now);
        }
        self.owed = owes;
        let silent = match (machine.state(), owes, self.keep_alive) {
            (State::SynSent | State::SynReceived, ..) => Some(self.heard + CONNECT_TIMEOUT),
            (_, true, _) => Some(self.progressed + USER_TIMEOUT),
            (_, _, Some(interval)) => Some(self.heard + interval * (1 + KEEP_ALIVE_PROBES)),
            _ => None,
        };
        let linger = self.orphaned.map(|since| {
            let from = if machine.account.is_scarce(0) { since } else { since.max(self.progressed) };
            from + LINGER
        });
        silent.into_iter().chain(linger).min()
    }

    /// Adds to the stack's counters what the machine has counted since.
    fn count(&mut self, core: &Core) {
        let Some(machine) = &self.machine else { return };
        let (now, before) = (machine.counts(), self.counted);
        if now == before {
            return;
        }
        let counters = &core.counters;
        counters.tcp_retransmits.add(u64::from(now.repeats - before.repeats));
        counters.tcp_retransmit_timeouts.add(u64::from(now.timeouts - before.timeouts));
        counters.tcp_recoveries.add(u64::from(now.recoveries - before.recoveries));
        counters.tcp_undone.add(u64::from(now.undone - before.undone));
        counters.tcp_duplicates.add(u64::from(now.duplicates - before.duplicates));
        counters.tcp_out_of_order.add(u64::from(now.out_of_order - before.out_of_order));
        counters.tcp_no_memory.add(u64::from(now.no_memory - before.no_memory));
        counters.tcp_reordered.add(u64::from(now.reordered - before.reordered));
        counters.tcp_marked.add(u64::from(now.marks - before.marks));
        self.counted = now;
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
    /// Acknowledges what has come.
    pub(super) fn acknowledge(&self, core: &Core, now: Instant) {
        if let Some(machine) = &mut self.state.borrow_mut().machine {
            self.transmit(core, now, machine);
        }
    }

    pub(crate) fn new(flow: Flow, iface: Rc<Iface>, machine: Machine, now: Instant) -> Rc<Self> {
        let opening = machine.state() == State::SynSent;
        let state = RefCell::new(Inner {
            machine: Some(machine),
            counted: Counts::default(),
            heard: now,
            progressed: now,
            owed: false,
            opening,
            keep_alive: None,
            orphaned: None,
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
        let state = inner.machine.as_ref().map_or(State::Closed, Machine::state);
        let row = ConnectionInfo::new(self.flow.local(), self.flow.remote(), state.name());
        let Some(machine) = &inner.machine else { return row };
        let info = machine.info();
        ConnectionInfo {
            send_queue: info.unacknowledged,
            receive_queue: info.unread,
            retransmits: u64::from(info.retransmits),
            srtt: info.smoothed_rtt,
            cwnd: Some(info.congestion_window as usize),
            idle: Some(now.duration_since(inner.heard)),
            ..row
        }
    }

    /// Puts it into its interface's queue.
    pub(crate) fn mark_dirty(self: &Rc<Self>) {
        if !self.queued.replace(true) {
            self.iface.work.push(self.clone());
        }
    }

    /// Whether nothing is sent when a segment with this number is taken, whatever it is.
    pub(crate) fn takes_in_silence(&self, seq: Seq) -> bool {
        let inner = self.state.borrow();
        let machine = inner.machine.as_ref();
        machine.is_some_and(|machine| machine.state().is_synchronized() && !machine.is_to_tell(seq))
    }

    /// Takes a segment of this flow with its data.
    pub(crate) fn receive(
        self: &Rc<Self>,
        core: &Core,
        now: Instant,
        header: &Header,
        marked: bool,
        data: Data<'_>,
    ) {
        let mut guard = self.state.borrow_mut();
        let inner = &mut *guard;
        let Some(machine) = &mut inner.machine else { return };
        if machine.is_to_tell(header.seq) {
            self.transmit(core, now, machine);
        }
        let before = machine.state();
        let (una, was_closed) = machine.peer_takes_from();
        let verdict = machine.take_segment(now, header, marked, data);
        if machine.is_to_acknowledge() {
            core.tcp.hasten(self);
        }
        let after = machine.state();
        if before == State::SynSent && after == State::Established {
            core.counters.tcp_opened.one();
        }
        match verdict {
            Verdict::Taken | Verdict::NoMemory => {
                inner.heard = now;
                let (next, is_closed) = machine.peer_takes_from();
                // Nobody waits for a closed window without an owner.
                let may_wait = inner.orphaned.is_none() && (was_closed || is_closed);
                if next != una || may_wait {
                    inner.progressed = now;
                }
            }
            // Whoever knows the addresses and ports could send these.
            Verdict::Outside | Verdict::Old => core.counters.tcp_outside.one(),
            Verdict::NotBelieved => self.iface.traffic.lost(&core.counters, Lost::TcpNotBelieved),
            Verdict::Bad => self.iface.traffic.lost(&core.counters, Lost::TcpMalformed),
            Verdict::Refused(_) => segment::reset(core, &self.iface, now, &self.flow, header, data.len()),
            Verdict::Reset if before == State::LastAck => {}
            Verdict::Reset => {
                let refused = before == State::SynSent;
                inner.error = Some(if refused { Error::ConnectionRefused } else { Error::ConnectionReset });
            }
        }
        if after != State::SynSent {
            inner.opened(core);
        }
        if !inner.done && !self.queued.replace(true) {
            self.iface.work.push(self.clone());
        }
        self.wake_who_can_go_on(inner, after != before);
    }

    fn wake_who_can_go_on(&self, inner: &mut Inner, state_changed: bool) {
        let Some(machine) = inner.machine.as_ref().filter(|_| !state_changed) else { return inner.wake() };
        if machine.readable() > 0
            && let Some(waker) = inner.reader.take()
        {
            waker.wake();
        }
        if machine.writable() >= machine.unacknowledged()
            && let Some(waker) = inner.writer.take()
        {
            waker.wake();
        }
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
            machine.abort();
        }
        if inner.orphaned.is_some() {
            machine.discard(now);
        }
        let turn = if self.iface.is_up() { self.transmit(core, now, machine) } else { Turn::Done };
        self.queued.set(turn != Turn::Done);
        match turn {
            Turn::Done => {}
            Turn::Over => self.iface.work.put_last(self.clone()),
            Turn::NoRoom => self.iface.work.put_back(self.clone()),
        }
        inner.count(core);
        self.settle(core, now, inner);
    }

    /// Sends what the machine has to send: all, or where others wait for the device too, its share.
    fn transmit(&self, core: &Core, now: Instant, machine: &mut Machine) -> Turn {
        let way = segment::way(&self.iface, &self.flow);
        let mut link = self.iface.link.borrow_mut();
        let most = link.largest_send(self.flow.remote);
        let mut sent = 0;
        loop {
            if way.is_some() && !link.has_room() {
                return if sent == 0 { Turn::NoRoom } else { Turn::Over };
            }
            if sent >= SHARE && (self.iface.work.is_waiting() || link.is_waiting()) {
                return Turn::Over;
            }
            let Some(out) = machine.transmit(now, most) else { return Turn::Done };
            sent += out.len.max(LEAST_COST);
            let Some(Way { own, to, hop }) = way else {
                core.counters.tx_no_route.one();
                continue;
            };
            let header_len = ip::header_len(to) + out.header.len();
            let len = header_len + out.len;
            let send = Send { now, own, hop, len, carries: Carries::Tcp, segment_size: out.segment_size };
            link.send(send, &core.counters, &mut |packet| {
                segment::write(packet, &self.flow, &out.header, out.ect);
                machine.copy(&out, &mut packet[header_len..]);
            });
        }
    }

    /// Takes a connection that is over out of the table; sets the timer of one that is not.
    fn settle(self: &Rc<Self>, core: &Core, now: Instant, inner: &mut Inner) {
        let up = self.iface.is_up();
        let Some(machine) = &mut inner.machine else { return };
        match machine.state() {
            State::Closed => return self.finish(core, inner, None),
            _ if machine.is_aborting() && !up => return self.finish(core, inner, None),
            State::TimeWait => {
                // The last ACK is on its way; what comes late needs no machine.
                let place = Place::time_wait(&core.tcp, &self.iface, machine);
                return self.finish(core, inner, place);
            }
            _ => {}
        }
        // Without a link only the peer's limit counts; the machine goes on where it was when the link is back.
        let deadline = machine.deadline().filter(|_| up);
        let limit = inner.limit(now);
        self.set_timer(now, deadline.into_iter().chain(limit).min());
    }

    /// Moves the timer, except a distant one that is early only: most of those are moved again many times before they fire.
    fn set_timer(self: &Rc<Self>, now: Instant, at: Option<Instant>) {
        let set = self.timer.get();
        let stays = match (set, at) {
            (Some(key), Some(at)) => key.at == at || (key.at < at && key.at >= now + DISTANT),
            (Some(key), None) => key.at >= now + DISTANT,
            (None, at) => at.is_none(),
        };
        if stays {
            return;
        }
        if let Some(key) = self.timer.take() {
            self.iface.work.clear_timer(key);
        }
        self.timer.set(at.map(|at| self.iface.work.set_timer(at, Due::Conn(self.clone()))));
    }

    /// Leaves the tables. What has been received can still be read.
    fn finish(&self, core: &Core, inner: &mut Inner, place: Option<Place>) {
        inner.done = true;
        inner.opened(core);
        if let Some(key) = self.timer.take() {
            self.iface.work.clear_timer(key);
        }
        core.tcp.closed(&self.flow, place);
        if let Some(machine) = &inner.machine {
            inner.ended = inner.error.is_none();
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

    /// Whether a handshake of ours is under way.
    pub(super) fn is_opening(&self) -> bool {
        self.state.borrow().opening
    }

    /// An error about a handshake of ours ends it, where the segment it names is the one we sent. An established
    /// connection does not believe such errors (RFC 5927).
    pub(crate) fn unreachable(&self, core: &Core, seq: Option<u32>, error: Error) {
        let opening = {
            let inner = self.state.borrow();
            let machine = inner.machine.as_ref();
            machine.is_some_and(|m| {
                m.state() == State::SynSent && seq.is_none_or(|seq| m.numbers().0 == Seq(seq) + 1)
            })
        };
        if opening {
            self.kill(core, error);
        }
    }

    /// A router says that the segment with this number is too large for its next link.
    pub(crate) fn too_big(self: &Rc<Self>, core: &Core, now: Instant, seq: u32, mtu: u16) {
        let Some(machine) = &mut self.state.borrow_mut().machine else { return };
        if !machine.is_unacknowledged(Seq(seq)) {
            self.iface.traffic.lost(&core.counters, Lost::TcpNotBelieved);
        } else if machine.too_big(now, Seq(seq), mtu) {
            self.mark_dirty();
        }
    }

    /// The link is back.
    pub(crate) fn link_up(self: &Rc<Self>, now: Instant) {
        if let Some(machine) = &mut self.state.borrow_mut().machine {
            machine.link_up(now);
        }
        self.mark_dirty();
    }
}
