//! Handshakes that peers began: small records until the peer proves that it can hear us, so that a flood of SYNs costs
//! little and stops nobody who is connected. Where there are too many, SYNs are answered without a record
//! ([`cookie`](super::cookie)).
//!
//! The record keeps what the SYN said and the seed of the state machine to come. The SYN-ACK is written from that. When
//! the peer acknowledges it, the machine is made, sees the SYN, draws the same sequence number from the seed, and takes the
//! acknowledgement.

use super::buffers::LEAST;
use super::listener::Listening;
use super::smol::{Machine, Nowhere, initial_sequence, window_shift};
use super::segment::{self, Segment, Syn};
use super::{Conn, Flow, Place};
use crate::interface::Iface;
use crate::ip::HEADER;
use crate::memory::Share;
use crate::stack::Core;
use crate::work::{Due, TimerKey};
use alloc::rc::Rc;
use alloc::vec;
use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr};
use fata_libos::entropy;
use fata_libos::time::{Duration, Instant};
use smoltcp::socket::tcp::State;
use smoltcp::wire::TcpControl;

/// Handshakes under way at once.
pub(crate) const LIMIT: usize = 1024;
/// What one costs with its places in the tables, octets.
pub(crate) const COST: usize = 512;
/// When the SYN-ACK is sent again, and at last the handshake given up: after so long since the time before.
const STEPS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(5)];

/// See the module.
pub(crate) struct HalfOpen {
    iface: Rc<Iface>,
    listener: Rc<Listening>,
    seed: u64,
    syn: Syn,
    /// Octets of the buffers to come.
    buffers: (usize, usize),
    step: Cell<usize>,
    /// Goes with the record.
    timer: Cell<Option<TimerKey>>,
    /// `None` where the record is not kept.
    _share: Option<Share>,
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        if let Some(key) = self.timer.take() {
            self.iface.work.clear_timer(key);
        }
    }
}

/// Takes the SYN of a new connection.
pub(crate) fn open(
    core: &Core,
    iface: &Rc<Iface>,
    now: Instant,
    flow: Flow,
    listener: Rc<Listening>,
    syn: Syn,
) {
    if listener.is_full() {
        return core.counters.tcp_backlog_dropped.one();
    }
    let Some(buffers) = core.tcp.size(listener.buffers.get()) else {
        return core.counters.tcp_refused_memory.one();
    };
    let Some(share) = core.tcp.reserve_half_open() else {
        core.counters.tcp_cookies.one();
        let (seed, syn) = core.tcp.cookies.make(now, &flow, syn);
        // Any connection gets that much.
        let buffers = (buffers.0.min(LEAST), buffers.1);
        return HalfOpen::new(iface, listener, seed, syn, buffers, None).answer(core, now, &flow);
    };
    let half = Rc::new(HalfOpen::new(iface, listener, entropy::u64(), syn, buffers, Some(share)));
    half.answer(core, now, &flow);
    half.set_timer(now + STEPS[0], &flow);
    core.tcp.insert(flow, Place::HalfOpen(half));
}

/// Takes a segment of a flow that is not in the table; false if it is not the end of a handshake that was answered with a
/// cookie.
pub(crate) fn receive_cookie(
    core: &Core,
    iface: &Rc<Iface>,
    now: Instant,
    flow: &Flow,
    segment: Segment,
    packet: &[u8],
) -> bool {
    let Some(listener) = core.tcp.listener(flow.local()) else { return false };
    let Some((seed, syn)) = core.tcp.cookies.check(now, flow, &segment, initial_sequence) else {
        return false;
    };
    let Some(buffers) = core.tcp.size(listener.buffers.get()) else {
        core.counters.tcp_refused_memory.one();
        return true;
    };
    HalfOpen::new(iface, listener, seed, syn, buffers, None).receive(core, now, flow, segment, packet);
    if matches!(core.tcp.find(flow), Some(Place::Live(_))) {
        core.counters.tcp_cookies_good.one();
    }
    true
}

/// The timer of a handshake.
pub(crate) fn due(core: &Core, now: Instant, flow: &Flow) {
    let Some(Place::HalfOpen(half)) = core.tcp.find(flow) else { return };
    half.timer.set(None);
    let step = half.step.get() + 1;
    half.step.set(step);
    if let Some(wait) = STEPS.get(step).filter(|_| !half.listener.is_closed()) {
        half.answer(core, now, flow);
        half.set_timer(now + *wait, flow);
    } else {
        core.counters.tcp_half_open_expired.one();
        core.tcp.closed(flow, None);
    }
}

impl HalfOpen {
    fn new(
        iface: &Rc<Iface>,
        listener: Rc<Listening>,
        seed: u64,
        syn: Syn,
        buffers: (usize, usize),
        share: Option<Share>,
    ) -> Self {
        let (step, timer) = (Cell::new(0), Cell::new(None));
        Self { iface: iface.clone(), listener, seed, syn, buffers, step, timer, _share: share }
    }

    fn set_timer(&self, at: Instant, flow: &Flow) {
        self.timer.set(Some(self.iface.work.set_timer(at, Due::HalfOpen(*flow))));
    }

    /// Sends the SYN-ACK.
    fn answer(&self, core: &Core, now: Instant, flow: &Flow) {
        let next = self.syn.seq.wrapping_add(1);
        let mut reply = segment::repr(flow, TcpControl::Syn, initial_sequence(self.seed), Some(next));
        reply.window_len = u16::try_from(self.buffers.0).unwrap_or(u16::MAX);
        reply.window_scale = self.syn.scale.map(|_| window_shift(self.buffers.0));
        reply.max_seg_size = Some((self.iface.link.borrow().mtu() - HEADER - 20) as u16);
        reply.sack_permitted = self.syn.sack;
        segment::send(core, &self.iface, now, flow, &reply);
    }

    /// Whether the peer, which has proved nothing yet, begins anew: with another number.
    pub(crate) fn gives_way_to(&self, segment: &Segment) -> bool {
        segment.syn && !segment.has_ack && !segment.rst && segment.seq != self.syn.seq
    }

    /// Takes a further segment of the handshake.
    pub(crate) fn receive(&self, core: &Core, now: Instant, flow: &Flow, segment: Segment, packet: &[u8]) {
        let expected = self.syn.seq.wrapping_add(1);
        if segment.rst {
            if segment.seq == expected {
                core.tcp.closed(flow, None);
            } else {
                core.counters.tcp_resets_ignored.one();
            }
        } else if segment.syn {
            // The same again: our answer was lost.
            if segment.seq == self.syn.seq && !segment.has_ack {
                self.answer(core, now, flow);
            }
        } else if !segment.has_ack {
            core.counters.rx_bad.one();
        } else if segment.ack != initial_sequence(self.seed).wrapping_add(1) || self.listener.is_closed() {
            segment::reset(core, &self.iface, now, flow, &segment);
        } else if segment.seq.wrapping_sub(expected) as usize > self.buffers.0 {
            // Outside the window.
            core.counters.rx_bad.one();
        } else {
            self.establish(core, now, flow, packet);
        }
    }

    fn establish(&self, core: &Core, now: Instant, flow: &Flow, packet: &[u8]) {
        if self.listener.is_full() {
            // Dropped as if lost: the peer comes again when somebody has accepted.
            return core.counters.tcp_backlog_dropped.one();
        }
        let Some(share) = core.tcp.reserve(self.buffers) else {
            return core.counters.tcp_refused_memory.one();
        };
        let (IpAddr::V4(own), IpAddr::V4(peer)) = (flow.local, flow.remote) else { return };
        let mtu = self.iface.link.borrow().mtu();
        let Some(mut machine) = Machine::new(own, mtu, self.buffers, self.seed, now) else {
            return core.counters.tcp_refused_memory.one();
        };
        if machine.socket().listen(flow.local_port).is_err() {
            return;
        }
        machine.receive(now, &self.syn_packet(flow, own, peer), &mut Nowhere);
        machine.send(now, &mut Nowhere);
        machine.receive(now, packet, &mut Nowhere);
        machine.sent.shift = self.syn.scale.unwrap_or(0);
        if !matches!(machine.state(), State::Established | State::CloseWait) {
            return core.counters.rx_bad.one();
        }
        let conn = Conn::new(*flow, self.iface.clone(), machine, share, self.syn.seq, now);
        core.tcp.insert(*flow, Place::Live(conn.clone()));
        core.counters.tcp_opened.one();
        conn.mark_dirty();
        self.listener.push(conn);
    }

    /// The SYN as it came, for the machine.
    fn syn_packet(&self, flow: &Flow, own: Ipv4Addr, peer: Ipv4Addr) -> vec::Vec<u8> {
        let repr = self.syn.repr(flow);
        let mut packet = vec![0; HEADER + repr.buffer_len()];
        segment::write(&mut packet, peer, own, &repr);
        packet
    }
}
