//! One network interface: its device, its address, and the task that drives it.

use crate::config::{Config, Ipv4Config};
use crate::dhcp::{self, Inbox};
use crate::ip::{self, Header, Net, Reassembly, Way};
use crate::ip6::Inet6;
use crate::link::Link;
use crate::memory::Memory;
use crate::stack::Core;
use crate::traffic::Traffic;
use crate::version;
use crate::work::{Due, Work};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::task::{Context, Poll};
use fata_libos::entropy;
use fata_libos::net::{Arrived, ETHERNET_HEADER, NetDevice, Octets};
use fata_libos::spawn_detached;
use fata_libos::task::{WakerSet, yield_now};
use fata_libos::time::{Duration, Instant, Sleep, sleep_until};

/// Frames taken from the device before what they caused is sent.
const BURST: usize = 64;
/// The longest frame taken: an IP packet that the device's back end has put together of segments, and VLAN tags.
const MAX_FRAME: usize = ETHERNET_HEADER + ip::MAX_PACKET + 8;

/// See the module.
pub(crate) struct Iface {
    pub(crate) name: String,
    /// From 1 on.
    number: u32,
    pub(crate) link: Forever<RefCell<Link>>,
    pub(crate) traffic: Rc<Traffic>,
    pub(crate) net: Cell<Option<Net>>,
    pub(crate) dns: Forever<RefCell<Vec<IpAddr>>>,
    pub(crate) fragments: Forever<RefCell<Reassembly>>,
    pub(crate) work: Forever<Work>,
    /// Wakes whoever waits for another address, gateway or name server.
    pub(crate) changed: Forever<WakerSet>,
    /// Counts changes of those.
    pub(crate) changes: Cell<u64>,
    /// Wakes whoever waits for room to send.
    pub(crate) room: Forever<WakerSet>,
    ident: Cell<u16>,
    up: Cell<bool>,
    /// Times the device went down.
    pub(crate) losses: Cell<u64>,
    pub(crate) dhcp: Forever<Inbox>,
    /// When the address was last defended.
    defended: Cell<Option<Instant>>,
    inet6: Forever<Option<Box<dyn Inet6>>>,
    /// Whether to offer explicit congestion notification.
    pub(crate) ecn: bool,
}

/// A part of an interface, which on a guest lives as long as the guest: its image needs no code that takes it apart.
#[cfg(target_os = "xen")]
pub(crate) type Forever<T> = core::mem::ManuallyDrop<T>;

/// Elsewhere a test ends before its process does.
#[cfg(not(target_os = "xen"))]
pub(crate) struct Forever<T>(T);

#[cfg(not(target_os = "xen"))]
impl<T> Forever<T> {
    pub(crate) fn new(part: T) -> Self {
        Self(part)
    }
}

#[cfg(not(target_os = "xen"))]
impl<T> core::ops::Deref for Forever<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// RFC 5227, 1.1: DEFEND_INTERVAL. Two hosts with one address would answer each other for ever without it.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

impl Iface {
    pub(crate) fn new(
        (name, number): (String, u32),
        device: Box<dyn NetDevice>,
        config: &Config,
        memory: &Rc<Memory>,
    ) -> Self {
        let (traffic, mac) = (Rc::<Traffic>::default(), device.mac());
        let mut link = Link::new(device, config.mtu, memory, &traffic);
        let inet6 = config.ipv6.as_ref().map(|ipv6| (ipv6.start.0)(ipv6, &mut link, mac));
        Self {
            name,
            number,
            link: Forever::new(RefCell::new(link)),
            traffic,
            net: Cell::new(None),
            dns: Forever::new(RefCell::new(Vec::new())),
            fragments: Forever::new(RefCell::new(Reassembly::new(memory))),
            work: Forever::new(Work::default()),
            changed: Forever::new(WakerSet::new()),
            changes: Cell::new(0),
            room: Forever::new(WakerSet::new()),
            ident: Cell::new(entropy::u32() as u16),
            up: Cell::new(false),
            losses: Cell::new(0),
            dhcp: Forever::new(Inbox::default()),
            defended: Cell::new(None),
            inet6: Forever::new(inet6),
            ecn: config.ecn,
        }
    }

    /// The number of the next packet that may be cut up.
    pub(crate) fn next_ident(&self) -> u16 {
        let ident = self.ident.get();
        self.ident.set(ident.wrapping_add(1));
        ident
    }

    /// IPv6, if the interface has it.
    pub(crate) fn inet6(&self) -> Option<&dyn Inet6> {
        self.inet6.as_deref().filter(|_| version::in_use())
    }

    /// The way to a host by this interface, from the address `own` of this host if one is given.
    pub(crate) fn way(&self, to: IpAddr, own: Option<IpAddr>) -> Option<Way> {
        let (own, hop) = match (to, own) {
            (IpAddr::V4(to), None | Some(IpAddr::V4(_))) => {
                let net = self.net.get()?;
                (own.unwrap_or(IpAddr::V4(net.address)), net.hop(to)?)
            }
            // Not from one that is still being asked for (RFC 4862, 5.4), as all are after the link was down.
            (IpAddr::V6(to), Some(IpAddr::V6(own))) => {
                let inet6 = self.inet6().filter(|inet6| inet6.has(own))?;
                (own.into(), inet6.hop(to)?)
            }
            (IpAddr::V6(to), None) => (self.inet6()?.source(to)?.into(), self.inet6()?.hop(to)?),
            _ => return None,
        };
        Some(Way { own, to, hop })
    }

    /// A link-local address that was seen here, with the number of this interface.
    pub(crate) fn scoped(&self, mut address: SocketAddr) -> SocketAddr {
        if let SocketAddr::V6(v6) = &mut address
            && v6.ip().is_unicast_link_local()
        {
            v6.set_scope_id(self.number);
        }
        address
    }

    /// How many bits an address has in common with the network of this interface that it lies in; 0 if it lies in none.
    pub(crate) fn direct(&self, to: IpAddr) -> u8 {
        match to {
            IpAddr::V4(to) => self.net.get().filter(|net| net.contains(to)).map_or(0, |net| net.prefix_len),
            IpAddr::V6(to) => self.inet6().map_or(0, |inet6| inet6.direct(to)),
        }
    }

    /// The largest packet that goes to a host, octets.
    pub(crate) fn mtu_to(&self, to: IpAddr) -> usize {
        let mtu = self.link.borrow().mtu();
        match (to, self.inet6()) {
            (IpAddr::V6(to), Some(inet6)) => inet6.mtu(to).min(mtu),
            _ => mtu,
        }
    }

    /// Whether it has that address.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.net.get().is_some_and(|net| net.address == address),
            IpAddr::V6(address) => self.inet6().is_some_and(|inet6| inet6.has(address)),
        }
    }

    /// Calls whoever waits for another address, router or name server.
    #[inline(never)]
    pub(crate) fn has_changed(&self) {
        self.changes.set(self.changes.get() + 1);
        self.changed.wake_all();
        self.work.kick();
    }

    /// Whether a device is connected.
    pub(crate) fn is_up(&self) -> bool {
        self.up.get()
    }

    /// Whether a packet is for this host, and if so how.
    pub(crate) fn accepts(&self, source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) -> Option<Header> {
        let header = |is_unicast| Header {
            source: source.into(),
            destination: destination.into(),
            is_unicast,
            verified: false,
            marked: false,
        };
        let Some(net) = self.net.get() else {
            // Without an address only an answer to the DHCP client is for us, to whatever address it is sent.
            return (protocol == ip::UDP).then(|| header(false));
        };
        if source == net.address || !(net.is_unicast(source) || source.is_unspecified()) {
            return None;
        }
        if destination == net.address {
            return Some(header(true));
        }
        let to_many = net.is_broadcast(destination) || destination.is_multicast();
        (to_many && protocol == ip::UDP).then(|| header(false))
    }

    /// Whether an address that another claims is defended: not again at once.
    pub(crate) fn defends(&self, now: Instant) -> bool {
        let rests = self.defended.get().is_some_and(|at| now.duration_since(at) < DEFEND_INTERVAL);
        if !rests {
            self.defended.set(Some(now));
        }
        !rests
    }

    pub(crate) fn receive_arp(&self, core: &Core, now: Instant, packet: &[u8]) {
        let Some(net) = self.net.get() else { return };
        let mut link = self.link.borrow_mut();
        let is_claimed = link.receive_arp(now, net.address, packet, &core.counters);
        if is_claimed && self.defends(now) {
            log::warn!("{}: another host claims the address {}", self.name, net.address);
            link.claim(net.address, &core.counters);
        }
    }

    /// Takes or gives up an address.
    pub(crate) fn configure(&self, core: &Core, net: Option<Net>, dns: Vec<IpAddr>) {
        let old = self.net.replace(net);
        *self.dns.borrow_mut() = dns;
        if old != net {
            let mut link = self.link.borrow_mut();
            link.reset_v4();
            if let Some(net) = net {
                link.announce(net.address, &core.counters);
            }
        }
        if let Some(gone) = old.filter(|old| net.is_none_or(|new| new.address != old.address))
            && let Some(tcp) = core.tcp.in_use()
        {
            tcp.address_lost(core, IpAddr::V4(gone.address));
        }
        match net {
            Some(Net { address, prefix_len, gateway: Some(gateway) }) => {
                log::info!("{}: {address}/{prefix_len}, gateway {gateway}", self.name);
            }
            Some(Net { address, prefix_len, .. }) => log::info!("{}: {address}/{prefix_len}", self.name),
            None if old.is_some() => log::warn!("{}: no address any more", self.name),
            None => {}
        }
        self.has_changed();
    }
}

/// Drives an interface for ever.
pub(crate) async fn drive(core: Rc<Core>, iface: Rc<Iface>, config: Config) {
    match config.ipv4 {
        Ipv4Config::Static { address, prefix_len, gateway } => {
            iface.configure(&core, Some(Net { address, prefix_len, gateway }), config.dns.clone());
        }
        Ipv4Config::Dhcp => {
            iface.dns.borrow_mut().clone_from(&config.dns);
            spawn_detached(dhcp::run(core.clone(), iface.clone(), config));
        }
        Ipv4Config::None => *iface.dns.borrow_mut() = config.dns,
    }
    let mut frame = vec![0; MAX_FRAME];
    let mut sleep = sleep_until(Instant::recent());
    loop {
        watch_link(&core, &iface);
        let burst = receive_burst(&core, &iface, &mut frame);
        if burst != Burst::Nothing {
            // Who reads answers first: one segment then carries data and acknowledgement, and no timer is set for the latter.
            yield_now().await;
        }
        send_all(&core, &iface);
        let deadline = iface.work.deadline().into_iter().chain(iface.link.borrow().deadline());
        let deadline = deadline.chain(iface.inet6().and_then(|inet6| inet6.deadline())).min();
        if burst == Burst::More {
            yield_now().await;
            continue;
        }
        let mut timer = deadline.map(|at| {
            // One that is early only stays: most are moved many times before they come.
            if at < sleep.deadline() || sleep.deadline() <= Instant::recent() {
                sleep.reset(at);
            }
            Pin::new(&mut sleep)
        });
        poll_fn(|cx| wait(&iface, timer.as_mut(), cx)).await;
    }
}

/// Ready when there is something to do.
fn wait(iface: &Iface, timer: Option<&mut Pin<&mut Sleep>>, cx: &mut Context<'_>) -> Poll<()> {
    let kicked = iface.work.listen(cx.waker());
    let device = iface.link.borrow_mut().device().poll(cx);
    let due = timer.map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx));
    if kicked || device.is_ready() || due.is_ready() { Poll::Ready(()) } else { Poll::Pending }
}

/// Notes that the device went up or down.
fn watch_link(core: &Rc<Core>, iface: &Rc<Iface>) {
    let up = iface.link.borrow_mut().device().is_up();
    if iface.up.replace(up) == up {
        return;
    }
    if !up {
        iface.losses.set(iface.losses.get() + 1);
    }
    let mut link = iface.link.borrow_mut();
    link.reset();
    if up && let Some(net) = iface.net.get() {
        link.announce(net.address, &core.counters);
    }
    drop(link);
    if let Some(inet6) = iface.inet6() {
        inet6.link_changed(core, iface, up);
    }
    if up && let Some(tcp) = core.tcp.in_use() {
        tcp.link_up(iface);
    }
    log::info!("{}: link {}", iface.name, if up { "up" } else { "down" });
    iface.changed.wake_all();
}

/// What a look at the device brought.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Burst {
    Nothing,
    All,
    /// There may be more.
    More,
}

/// Takes a burst of frames.
fn receive_burst(core: &Rc<Core>, iface: &Rc<Iface>, frame: &mut [u8]) -> Burst {
    let now = Instant::recent();
    let mac = iface.link.borrow().mac();
    for n in 0..BURST {
        let mut take =
            |received, octets: &dyn Octets| ip::take_frame(core, iface, now, mac, received, octets);
        let arrived = iface.link.borrow_mut().receive(frame, &mut take);
        match arrived {
            None => return if n == 0 { Burst::Nothing } else { Burst::All },
            Some(Arrived::Taken) => {}
            Some(Arrived::Whole(received)) => {
                let len = received.len.min(frame.len());
                ip::receive_frame(core, iface, now, &mut frame[..len], received.checksum);
            }
        }
        if iface.work.take_hasty()
            && let Some(tcp) = core.tcp.in_use()
        {
            tcp.acknowledge(core, now);
            iface.link.borrow_mut().device().flush();
        }
    }
    Burst::More
}

/// Sends what connections have to send and what timers ask for, and tells the device to send it on its way.
fn send_all(core: &Rc<Core>, iface: &Rc<Iface>) {
    let now = Instant::recent();
    while let Some(due) = iface.work.pop_due(now) {
        match due {
            Due::Conn(conn) => conn.timer_fired(),
            Due::HalfOpen(flow) => {
                if let Some(tcp) = core.tcp.in_use() {
                    tcp.half_open_due(core, now, &flow);
                }
            }
        }
    }
    if let Some(inet6) = iface.inet6() {
        inet6.poll(core, iface, now);
    }
    if iface.link.borrow().is_due(now) {
        let own = |hop| iface.way(hop, None).map(|way| way.own);
        let announced = iface.net.get().map(|net| net.address);
        let lost = iface.link.borrow_mut().poll(now, announced, &own, &core.counters);
        if !lost.is_empty() {
            if let Some(inet6) = iface.inet6() {
                inet6.neighbours_lost(&lost);
            }
            if let Some(tcp) = core.tcp.in_use() {
                tcp.neighbours_lost(core, iface, &lost);
            }
        }
    }
    take_turns(core, iface, now);
    let mut link = iface.link.borrow_mut();
    if !iface.room.is_empty() && link.has_queue_room() {
        iface.room.wake_all();
    }
    link.device().flush();
}

/// As far as there is room, lets send in turn: frames that wait for the device, and connections, each its share.
fn take_turns(core: &Core, iface: &Iface, now: Instant) {
    loop {
        let mut link = iface.link.borrow_mut();
        let up = iface.is_up();
        if up && link.is_full() {
            return;
        }
        if up && link.begins_turn(iface.work.is_waiting()) {
            if !link.send_waiting(&core.counters) {
                return;
            }
            continue;
        }
        drop(link);
        let Some(conn) = iface.work.pop() else { return };
        conn.send(core, now);
    }
}
