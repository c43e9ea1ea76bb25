//! TCP: the table of connections, and what a segment meets there.
//!
//! Every flow has at most one [`Place`] in the table: a handshake that its peer began ([`half_open`]), a connection
//! ([`conn`]) around its state machine ([`machine`]), or TIME-WAIT ([`time_wait`]). The table is found by keyed hash, so
//! that a packet costs the same with one connection and with ten thousand.

mod buffers;
mod conn;
mod cookie;
mod first;
mod flow;
mod flows;
mod half_open;
mod listener;
pub(crate) mod machine;
mod owner;
mod segment;
mod stream;
mod time_wait;

pub use buffers::Buffers;
pub(crate) use conn::Conn;
pub(crate) use flow::Flow;
pub use listener::TcpListener;
pub use stream::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, TcpStream, WriteHalf};

use crate::checksum::Sum;
use crate::connections::ConnectionInfo;
use crate::data::Data;
use crate::error::Error;
use crate::hash::Key;
use crate::icmp::Unreachable;
use crate::interface::Iface;
use crate::ip::{self, Header};
use crate::link::Hop;
use crate::memory::{Memory, Share, Use};
use crate::stack::{Core, covers};
use crate::stats::Counters;
use crate::traffic::Lost;
use crate::transport::Transport;
use alloc::rc::Rc;
use alloc::vec::Vec;
use cookie::Cookies;
use core::cell::{Cell, RefCell};
use core::net::{IpAddr, SocketAddr};
use fata_libos::time::Instant;
use flows::{Flows, Waits};
use half_open::HalfOpen;
use listener::Listening;

use machine::{Config, Header as Segment};
use time_wait::TimeWait;

/// What a flow is.
#[derive(Clone)]
pub(crate) enum Place {
    HalfOpen(Rc<HalfOpen>),
    Live(Rc<Conn>),
    TimeWait(Rc<TimeWait>),
}

impl Waits for Place {
    fn since(&self) -> Option<Instant> {
        match self {
            Self::TimeWait(record) => Some(record.since),
            _ => None,
        }
    }
}

impl Place {
    /// Its row in the table of connections.
    fn info(&self, flow: &Flow, now: Instant) -> ConnectionInfo {
        let info = |state| ConnectionInfo::new(flow.local(), flow.remote(), state);
        match self {
            Self::Live(conn) => conn.info(now),
            Self::HalfOpen(_) => info("SYN-RECEIVED"),
            Self::TimeWait(record) => {
                ConnectionInfo { idle: Some(now.duration_since(record.since)), ..info("TIME-WAIT") }
            }
        }
    }
}

/// All flows and listeners of a stack.
pub(crate) struct Table {
    flows: RefCell<Flows<Place>>,
    listeners: RefCell<Vec<Rc<Listening>>>,
    half_open: Cell<usize>,
    /// Connections in SYN-SENT.
    opening: Cell<usize>,
    cookies: Cookies,
    /// Of first sequence numbers.
    key: Key,
    memory: Rc<Memory>,
    /// Acknowledges what it has just taken before more is.
    hasty: Cell<Option<Rc<Conn>>>,
}

impl Table {
    pub(crate) fn new(memory: Rc<Memory>) -> Self {
        Self {
            flows: RefCell::new(Flows::new(Key::random())),
            listeners: RefCell::default(),
            half_open: Cell::new(0),
            opening: Cell::new(0),
            cookies: Cookies::new(),
            key: Key::random(),
            memory,
            hasty: Cell::default(),
        }
    }

    /// Has a connection acknowledge what it has just taken, before its interface takes more.
    fn hasten(&self, conn: &Rc<Conn>) {
        self.hasty.set(Some(conn.clone()));
        conn.iface.work.hasten();
    }

    pub(crate) fn find(&self, flow: &Flow) -> Option<Place> {
        self.flows.borrow().all().get(flow).cloned()
    }

    /// Makes room for one more flow; false if there is no memory for it.
    fn make_room(&self) -> bool {
        self.flows.borrow_mut().make_room(|more| self.memory.is_free(more))
    }

    /// Gives a flow its place; what was there before is gone. For a flow that had none, [`make_room`](Self::make_room) has
    /// made sure that there is room.
    pub(crate) fn insert(&self, flow: Flow, place: Place) {
        self.count_half_open(&place, 1);
        let old = self.flows.borrow_mut().insert(flow, place);
        if let Some(old) = old {
            self.count_half_open(&old, -1);
        }
        self.flows.borrow_mut().trim(Instant::recent(), usize::MAX);
    }

    /// Takes a flow out, or gives it another place.
    pub(crate) fn closed(&self, flow: &Flow, next: Option<Place>) {
        if let Some(next) = next {
            return self.insert(*flow, next);
        }
        let old = self.flows.borrow_mut().remove(flow);
        if let Some(old) = old {
            self.count_half_open(&old, -1);
        }
    }

    fn count_half_open(&self, place: &Place, change: isize) {
        if matches!(place, Place::HalfOpen(_)) {
            self.half_open.set(self.half_open.get().saturating_add_signed(change));
        }
    }

    /// Connections that are neither half-open nor in TIME-WAIT.
    fn live_count(&self) -> usize {
        let flows = self.flows.borrow();
        flows.all().len() - flows.in_time_wait() - self.half_open.get()
    }

    fn count_opening(&self, change: isize) {
        self.opening.set(self.opening.get().saturating_add_signed(change));
    }

    /// The memory for a record of TIME-WAIT, for which the oldest ones go; `None` if there is none even so.
    fn reserve_time_wait(&self) -> Option<Share> {
        let most = time_wait::LIMIT.min(self.memory.limit(Use::TimeWait) / time_wait::COST);
        let has_room = self.flows.borrow_mut().make_room_to_wait(Instant::recent(), most);
        has_room.then(|| self.memory.take(Use::TimeWait, time_wait::COST))?
    }

    fn live(&self, which: &dyn Fn(&Rc<Conn>) -> bool) -> Vec<Rc<Conn>> {
        let flows = self.flows.borrow();
        let conns = flows.all().values().filter_map(|place| match place {
            Place::Live(conn) => Some(conn),
            _ => None,
        });
        conns.filter(|conn| which(conn)).cloned().collect()
    }

    fn listener(&self, local: SocketAddr) -> Option<Rc<Listening>> {
        let listeners = self.listeners.borrow();
        let mut fitting = listeners
            .iter()
            .filter(|l| l.address.port() == local.port() && covers(l.address.ip(), local.ip()));
        fitting.clone().find(|l| l.address.ip() == local.ip()).or_else(|| fitting.next()).cloned()
    }

    /// The most that a new connection's buffers may grow to.
    pub(crate) fn size(&self, wish: Buffers) -> Buffers {
        buffers::size(&self.memory, wish)
    }

    /// Whether there is memory for one more connection.
    pub(crate) fn has_memory(&self) -> bool {
        buffers::fits(&self.memory)
    }

    /// What the machine of a new connection begins with.
    pub(crate) fn config(&self, iface: &Iface, now: Instant, flow: &Flow, buffers: Buffers) -> Config {
        let (iss, timestamp_offset) = first::numbers(&self.key, now, flow);
        Config {
            iss,
            receive: buffers.receive,
            shift: None,
            send: buffers.send,
            mtu: (iface.mtu_to(flow.remote).min(ip::MAX_PACKET) - longer(flow.remote)) as u16,
            timestamp_offset,
            ecn: iface.ecn,
        }
    }

    /// Takes memory for a connection that is not in the table yet.
    pub(crate) fn reserve(&self) -> Option<Share> {
        buffers::reserve(&self.memory).filter(|_| self.make_room())
    }

    /// Takes memory for a handshake.
    fn reserve_half_open(&self) -> Option<Share> {
        let is_full = self.half_open.get() >= half_open::LIMIT;
        (!is_full && self.make_room()).then(|| self.memory.take(Use::HalfOpen, half_open::COST))?
    }
}

/// By how much IP's header to a host is longer than that of IPv4, octets: a connection's machine counts packets with that.
fn longer(to: IpAddr) -> usize {
    ip::header_len(to) - ip::HEADER
}

impl Transport for Table {
    fn acknowledge(&self, core: &Core, now: Instant) {
        if let Some(conn) = self.hasty.take() {
            conn.acknowledge(core, now);
        }
    }

    fn receive(
        &self,
        core: &Rc<Core>,
        iface: &Rc<Iface>,
        now: Instant,
        header: Header,
        segment: &[u8],
        placed: Option<Data<'_>>,
    ) -> bool {
        receive(self, core, iface, now, header, segment, placed)
    }

    fn half_open_due(&self, core: &Core, now: Instant, flow: &Flow) {
        half_open::due(core, now, flow);
    }

    fn unreachable(&self, core: &Core, local: SocketAddr, remote: SocketAddr, seq: u32, what: Unreachable) {
        if let Some(Place::Live(conn)) = self.find(&Flow::new(local, remote)) {
            match what {
                Unreachable::Port => conn.unreachable(core, Some(seq), Error::ConnectionRefused),
                Unreachable::Host => conn.unreachable(core, Some(seq), Error::HostUnreachable),
                Unreachable::TooBig(mtu) => {
                    let mtu = mtu.saturating_sub(longer(remote.ip()) as u16);
                    conn.too_big(core, Instant::recent(), seq, mtu);
                }
            }
        }
    }

    fn link_up(&self, iface: &Rc<Iface>) {
        for conn in self.live(&|conn| Rc::ptr_eq(&conn.iface, iface)) {
            conn.link_up(Instant::recent());
        }
    }

    fn neighbours_lost(&self, core: &Core, iface: &Rc<Iface>, lost: &[IpAddr]) {
        // Who is connected does not believe it: with none of the others there is nothing to look for among ten thousand.
        if self.opening.get() == 0 {
            return;
        }
        let concerned = |conn: &Rc<Conn>| {
            let hop = || segment::way(iface, &conn.flow).map(|way| way.hop);
            conn.is_opening()
                && Rc::ptr_eq(&conn.iface, iface)
                && matches!(hop(), Some(Hop::Neighbour(hop)) if lost.contains(&hop))
        };
        for conn in self.live(&concerned) {
            conn.unreachable(core, None, Error::HostUnreachable);
        }
    }

    fn address_lost(&self, core: &Core, address: IpAddr) {
        let mut gone: Vec<(Flow, Place)> = Vec::new();
        for (flow, place) in self.flows.borrow().all().iter() {
            if flow.local == address {
                gone.push((*flow, place.clone()));
            }
        }
        for (flow, place) in gone {
            match place {
                Place::Live(conn) => conn.kill(core, Error::ConnectionAborted),
                _ => self.closed(&flow, None),
            }
        }
    }

    fn abort_all(&self) {
        for conn in self.live(&|_| true) {
            conn.abort();
        }
    }

    fn count(&self, counters: &Counters) {
        self.flows.borrow_mut().trim(Instant::recent(), usize::MAX);
        let waiting = self.flows.borrow().in_time_wait();
        counters.tcp_half_open.set(self.half_open.get() as u64);
        counters.tcp_time_wait.set(waiting as u64);
        counters.tcp_connections.set(self.live_count() as u64);
    }

    fn connections(&self, now: Instant, most: usize, visit: &mut dyn FnMut(&ConnectionInfo)) -> usize {
        // Of others, and of those that carry data. Whoever asks may be anybody: no more is looked at than has to be.
        let first = self.live_count().min(most);
        let mut left = [most - first, first];
        let flows = self.flows.borrow();
        let flows = flows.all();
        for is_live in [true, false] {
            for (flow, place) in flows.iter() {
                let left = &mut left[usize::from(is_live)];
                if *left == 0 {
                    break;
                }
                #[cfg(test)]
                LOOKS.set(LOOKS.get() + 1);
                if matches!(place, Place::Live(_)) == is_live {
                    *left -= 1;
                    visit(&place.info(flow, now));
                }
            }
        }
        flows.len()
    }

    fn table(&self) -> &Table {
        self
    }
}

/// Takes a segment: see [`Transport::receive`].
fn receive(
    table: &Table,
    core: &Rc<Core>,
    iface: &Rc<Iface>,
    now: Instant,
    header: Header,
    segment: &[u8],
    placed: Option<Data<'_>>,
) -> bool {
    let is_whole = placed.is_none();
    let lost = |what| {
        if is_whole {
            iface.traffic.lost(&core.counters, what);
        }
        is_whole
    };
    let Some(parsed) = Segment::parse(segment) else { return lost(Lost::TcpMalformed) };
    if parsed.source == 0 || parsed.destination == 0 || !header.is_unicast || header.source.is_unspecified() {
        return lost(Lost::TcpMalformed);
    }
    let sum =
        || Sum::default().pseudo(header.source, header.destination, ip::TCP, segment.len()).data(segment);
    if !header.verified && !sum().is_valid() {
        return lost(Lost::TcpChecksum);
    }
    let flow = Flow {
        local: header.destination,
        remote: header.source,
        local_port: parsed.destination,
        remote_port: parsed.source,
    };
    let place = table.find(&flow);
    let whole = &segment[parsed.offset..];
    let data = placed.map_or(Data::new(&whole, 0, whole.len()), |data| data.split_at(parsed.offset).1);
    match &place {
        Some(Place::Live(conn)) if is_whole || conn.takes_in_silence(parsed.header.seq) => {
            conn.receive(core, now, &parsed.header, header.marked, data);
            return true;
        }
        _ if !is_whole => return false,
        _ => {}
    }
    let (segment, marked, data) = (&parsed.header, header.marked, whole);
    let mut floor = None;
    // A cookie may have been given while the flow was something else.
    let may_be_cookie = match &place {
        Some(Place::HalfOpen(_)) => true,
        Some(Place::TimeWait(record)) => record.gives_way_to_cookie(segment),
        _ => false,
    };
    match place {
        _ if may_be_cookie && half_open::receive_cookie(core, iface, now, &flow, segment, marked, data) => {
            return true;
        }
        Some(Place::HalfOpen(half)) => {
            half.receive(core, now, &flow, segment, marked, data);
            return true;
        }
        Some(Place::TimeWait(record)) if !record.gives_way_to(segment) => {
            record.receive(core, now, &flow, segment, data.len());
            return true;
        }
        Some(Place::TimeWait(record)) => floor = Some(record.beyond()),
        _ => {}
    }
    match table.listener(flow.local()) {
        Some(listener) if machine::is_opening(segment) => {
            half_open::open(core, iface, now, flow, listener, *segment, floor);
        }
        _ if half_open::receive_cookie(core, iface, now, &flow, segment, marked, data) => {}
        _ => segment::reset(core, iface, now, &flow, segment, data.len()),
    }
    true
}

#[cfg(test)]
std::thread_local! {
    /// Flows that were looked at for tables of connections.
    static LOOKS: Cell<usize> = const { Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Faults, Hub};
    use crate::{Config, Ipv4Config, Stack};
    use core::net::Ipv4Addr;
    use fata_libos::spawn;
    use fata_libos::time::{Duration, sleep, timeout};

    async fn host(hub: &Hub, n: u8) -> Stack {
        let stack = Stack::new();
        let address = Ipv4Addr::new(10, 0, 0, n);
        let ipv4 = Ipv4Config::Static { address, prefix_len: 24, gateway: None };
        let config = Config { ipv4, ..Config::default() };
        stack.add_interface("main", Box::new(hub.device(n, false)), config).configured().await;
        stack
    }

    #[test]
    fn no_more_flows_are_looked_at_than_there_are_rows() {
        fata_libos::testing::run(async {
            let hub = Hub::new(Faults::default());
            let (a, b) = (host(&hub, 1).await, host(&hub, 2).await);
            let at = |n, port| SocketAddr::new(Ipv4Addr::new(10, 0, 0, n).into(), port);
            let listener = TcpListener::bind(&b, at(2, 80)).unwrap();
            let mut open = Vec::new();
            for _ in 0..200 {
                let client = TcpStream::connect(&a, at(2, 80)).await.unwrap();
                open.push((client, listener.accept().await.unwrap()));
            }
            let looks = |most: usize| {
                LOOKS.set(0);
                let mut rows = 0;
                assert_eq!(b.connections(most, &mut |_| rows += 1), 200);
                assert_eq!((rows, b.stats().tcp_connections), (most.min(200), 200));
                LOOKS.get()
            };
            assert_eq!((looks(0), looks(50), looks(200)), (0, 50, 200));
            // Both sides end at once, and wait.
            open.truncate(100);
            sleep(Duration::from_secs(1)).await;
            let stats = [a.stats(), b.stats()].map(|stats| (stats.tcp_connections, stats.tcp_time_wait));
            assert_eq!(stats.map(|(live, _)| live), [100, 100]);
            assert_eq!(stats.map(|(_, waiting)| waiting), [100, 100]);
        });
    }

    /// However a connection of ours is begun and ends, it is counted while it is in SYN-SENT and not after.
    #[test]
    fn connections_that_open_are_counted() {
        fata_libos::testing::run(async {
            let hub = Hub::new(Faults::default());
            let (a, b) = (host(&hub, 1).await, host(&hub, 2).await);
            let at = |n, port| SocketAddr::new(Ipv4Addr::new(10, 0, 0, n).into(), port);
            let connect = |peer| {
                let a = a.clone();
                spawn(async move { TcpStream::connect(&a, peer).await })
            };
            let opening = || a.0.tcp.opening.get();
            let _listener = TcpListener::bind(&b, at(2, 80)).unwrap();
            let open = connect(at(2, 80)).await.unwrap();
            assert_eq!(opening(), 0);
            open.abort();
            assert_eq!(connect(at(2, 81)).await.unwrap_err(), Error::ConnectionRefused);
            assert_eq!(opening(), 0);
            // Nobody is there; one is not waited for any more.
            let (first, second) = (connect(at(3, 80)), connect(at(3, 81)));
            assert!(timeout(Duration::from_millis(1), TcpStream::connect(&a, at(3, 82))).await.is_err());
            sleep(Duration::from_millis(1)).await;
            assert_eq!(opening(), 2);
            assert_eq!(first.await.unwrap_err(), Error::HostUnreachable);
            assert_eq!(second.await.unwrap_err(), Error::HostUnreachable);
            assert_eq!((opening(), a.stats().tcp_connections, b.0.tcp.opening.get()), (0, 0, 0));
        });
    }
}
