//! Handshakes that peers began: small records until the peer proves that it can hear us, so that a flood of SYNs costs
//! little and stops nobody who is connected. Where there are too many, SYNs are answered without a record
//! ([`cookie`]).

use super::buffers::Buffers;
use super::listener::Listening;
use super::machine::{
    Account, Answered, Config, Flags, Header, Machine, Options, Seq, State, Timestamp, answer, is_opening,
    window_scale,
};
use super::{Conn, Flow, Place};
use super::{cookie, segment};
use crate::interface::Iface;
use crate::memory::Share;
use crate::stack::Core;
use crate::traffic::Lost;
use crate::work::{Due, TimerKey};
use alloc::rc::Rc;
use core::cell::Cell;
use fata_libos::time::{Duration, Instant};

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
    /// The peer's SYN.
    syn: Header,
    config: Config,
    /// When the SYN-ACK was sent last.
    sent: Cell<Instant>,
    /// It was sent again because a SYN came again, whoever sent that: when it reached the peer is not known.
    asked_again: Cell<bool>,
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

/// Takes the SYN of a new connection. `floor`: its first number lies after that, where there was a connection of the same
/// addresses and ports (RFC 6528, 3, trusts a clock with that, which a fast connection outruns).
pub(crate) fn open(
    core: &Core,
    iface: &Rc<Iface>,
    now: Instant,
    flow: Flow,
    listener: Rc<Listening>,
    syn: Header,
    floor: Option<Seq>,
) {
    if listener.is_full() {
        return iface.traffic.lost(&core.counters, Lost::TcpBacklog);
    }
    if !core.tcp.has_memory() {
        return iface.traffic.lost(&core.counters, Lost::TcpNoMemory);
    }
    let buffers = core.tcp.size(listener.buffers.get());
    let config = core.tcp.config(iface, now, &flow, buffers);
    let config = Config { iss: floor.map_or(config.iss, |floor| config.iss.later(floor)), ..config };
    let Some(share) = core.tcp.reserve_half_open() else {
        core.counters.tcp_cookies.one();
        let (iss, syn) = core.tcp.cookies.make(now, &flow, syn, window_scale(config.receive));
        return HalfOpen::new(iface, listener, Config { iss, ..config }, syn, None).answer(core, now, &flow);
    };
    let half = Rc::new(HalfOpen::new(iface, listener, config, syn, Some(share)));
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
    header: &Header,
    marked: bool,
    data: &[u8],
) -> bool {
    let Some(listener) = core.tcp.listener(flow.local()) else { return false };
    let Some((syn, shift)) = core.tcp.cookies.check(now, flow, header) else { return false };
    let buffers: Buffers = core.tcp.size(listener.buffers.get());
    // There may be another size for new ones by now; what was said of the shift stays so.
    let config = Config { iss: header.ack - 1, shift, ..core.tcp.config(iface, now, flow, buffers) };
    let timestamp = header.options.timestamp.map(|clocks| Timestamp { echo: 0, ..clocks });
    let options = Options { timestamp, ..header.options };
    let header = &Header { options, ..*header };
    HalfOpen::new(iface, listener, config, syn, None).receive(core, now, flow, header, marked, data);
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
        config: Config,
        syn: Header,
        share: Option<Share>,
    ) -> Self {
        let (sent, step, timer) = (Cell::new(Instant::default()), Cell::new(0), Cell::new(None));
        let asked_again = Cell::new(false);
        Self { iface: iface.clone(), listener, syn, config, sent, asked_again, step, timer, _share: share }
    }

    fn set_timer(&self, at: Instant, flow: &Flow) {
        self.timer.set(Some(self.iface.work.set_timer(at, Due::HalfOpen(*flow))));
    }

    /// Sends the SYN-ACK.
    fn answer(&self, core: &Core, now: Instant, flow: &Flow) {
        self.sent.set(now);
        let mut header = answer(&self.config, &self.syn, now);
        if self._share.is_none() {
            cookie::mark(&self.syn.options, &mut header.options);
        }
        segment::send(core, &self.iface, now, flow, &header);
    }

    /// Takes a further segment of the handshake.
    pub(crate) fn receive(
        &self,
        core: &Core,
        now: Instant,
        flow: &Flow,
        header: &Header,
        marked: bool,
        data: &[u8],
    ) {
        let expected = self.syn.seq + 1;
        if header.flags.has(Flags::RST) {
            if header.seq == expected {
                core.tcp.closed(flow, None);
            } else {
                self.iface.traffic.lost(&core.counters, Lost::TcpNotBelieved);
            }
        } else if header.flags.has(Flags::SYN) {
            // The same again: our answer was lost. With another number it may be anybody's, so the record stays (RFC 9293,
            // 3.10.7.4): who began anew resets what this answer acknowledges, and comes in with his next SYN.
            if is_opening(header) {
                self.asked_again.set(true);
                self.answer(core, now, flow);
            }
        } else if !header.flags.has(Flags::ACK) {
            self.iface.traffic.lost(&core.counters, Lost::TcpMalformed);
        } else if header.ack != self.config.iss + 1 || self.listener.is_closed() {
            segment::reset(core, &self.iface, now, flow, header, data.len());
        } else if header.seq - expected > self.config.receive.min(usize::from(u16::MAX)) as u32 {
            // Outside the window.
            self.iface.traffic.lost(&core.counters, Lost::TcpMalformed);
        } else {
            self.establish(core, now, flow, header, marked, data);
        }
    }

    fn establish(&self, core: &Core, now: Instant, flow: &Flow, header: &Header, marked: bool, data: &[u8]) {
        if self.listener.is_full() {
            // Dropped as if lost: the peer comes again when somebody has accepted.
            return self.iface.traffic.lost(&core.counters, Lost::TcpBacklog);
        }
        let Some(share) = core.tcp.reserve() else {
            return self.iface.traffic.lost(&core.counters, Lost::TcpNoMemory);
        };
        let answered = match (&self._share, self.step.get()) {
            (None, _) => Answered::Unknown,
            (_, 0) if self.asked_again.get() => Answered::Unknown,
            (_, 0) => Answered::Once(self.sent.get()),
            _ => Answered::Repeatedly,
        };
        let mut machine = Machine::accept(self.config.clone(), &self.syn, answered, now);
        machine.charge(Account(Some(share)));
        machine.receive(now, header, marked, data);
        if !matches!(machine.state(), State::Established | State::CloseWait) {
            return self.iface.traffic.lost(&core.counters, Lost::TcpMalformed);
        }
        let conn = Conn::new(*flow, self.iface.clone(), machine, now);
        core.tcp.insert(*flow, Place::Live(conn.clone()));
        core.counters.tcp_opened.one();
        conn.mark_dirty();
        self.listener.push(conn);
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::clock;
    use super::*;
    use crate::data::Data;
    use crate::testing::Hub;
    use crate::{Config, Ipv4Config, Stack, TcpListener};
    use alloc::boxed::Box;
    use core::net::{Ipv4Addr, SocketAddr};

    /// Peers that end their handshakes by cookies, each with two segments of data that echo the SYN-ACK: how long data takes,
    /// the largest window and its shift, where the SYN-ACK named `shift` and the listener's buffer is of `receive` octets.
    fn accepted(receive: usize, shift: u8) -> alloc::vec::Vec<(Duration, usize, u8)> {
        fata_libos::testing::run(async move {
            let (hub, stack, address) = (Hub::default(), Stack::new(), Ipv4Addr::new(10, 0, 0, 1));
            let ipv4 = Ipv4Config::Static { address, prefix_len: 24, gateway: None };
            let config = Config { ipv4, ..Config::default() };
            stack.add_interface("main", Box::new(hub.device(1, false)), config).configured().await;
            let local = SocketAddr::new(address.into(), 80);
            let listener = TcpListener::bind(&stack, local).unwrap();
            let buffers = Buffers { receive, send: 4096 };
            listener.set_buffers(buffers);
            let (core, iface, now) = (&stack.0, &stack.0.interfaces.borrow()[0].clone(), Instant::now());
            let accept = |port| {
                let flow = Flow::new(local, SocketAddr::new(Ipv4Addr::new(10, 0, 0, 9).into(), port));
                let options = Options {
                    mss: Some(1460),
                    scale: Some(7),
                    timestamp: Some(Timestamp { value: 7, echo: 0 }),
                    ..Options::default()
                };
                let syn = Header { seq: Seq(9), flags: Flags::SYN, options, ..Header::default() };
                let (iss, syn) = core.tcp.cookies.make(now, &flow, syn, shift);
                let value = clock(core.tcp.config(iface, now, &flow, buffers).timestamp_offset, now);
                let timestamp = Some(Timestamp { value, echo: 7 });
                let mut said = Options { scale: Some(shift), timestamp, ..syn.options };
                cookie::mark(&syn.options, &mut said);
                let echo = said.timestamp.unwrap().value;
                let timestamp = Some(Timestamp { value: 8, echo });
                let options = Options { timestamp, ..Options::default() };
                let (seq, ack) = (Seq(10), iss + 1);
                let mut header = Header { seq, ack, flags: Flags::ACK, window: 1000, options };
                assert!(receive_cookie(core, iface, now, &flow, &header, false, &[]));
                let Some(Place::Live(conn)) = core.tcp.find(&flow) else { panic!("no connection") };
                for _ in 0..2 {
                    let data = &[7; 1000][..];
                    conn.receive(core, now, &header, false, Data::new(&data, 0, data.len()));
                    header.seq += 1000;
                }
                let state = conn.state.borrow();
                state.machine.as_ref().unwrap().receives()
            };
            (1..20).map(accept).collect()
        })
    }

    /// The clock of a SYN-ACK that carries a cookie is earlier than it was.
    #[test]
    fn what_echoes_a_cookie_is_no_time() {
        for (time, ..) in accepted(1 << 20, 5) {
            assert_eq!(time, Duration::ZERO);
        }
    }

    /// The listener's buffers have become smaller or larger since the SYN-ACK, which keeps its word and no more.
    #[test]
    fn the_shift_of_a_cookie_does_not_make_the_window_larger() {
        for (receive, shift, most) in
            [(100_000, 1, 100_000), (100_000, 6, 100_000), (4096, 5, 4096), (400_000, 1, 65_535 << 1)]
        {
            for (_, limit, said) in accepted(receive, shift) {
                assert_eq!((limit, said), (most, shift));
            }
        }
    }
}
