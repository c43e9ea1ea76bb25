//! IPv6 (RFC 8200) of an interface: neighbours (RFC 4861), addresses (RFC 4862), groups (RFC 3810), ICMPv6 (RFC 4443).
//!
//! The rest of the stack reaches it by way of [`Inet6`] alone, and only an [`Ipv6Config`] brings it in: an image without one
//! has nothing of this code. What the rest does otherwise for IPv6 asks [`version::in_use`] first, or an address by [`version::of6`], and is not in
//! such an image either.

mod chain;
mod choose;
mod discovery;
pub(crate) mod headers;
mod host;
mod icmp;
mod input;
mod learned;
mod message;
mod mld;
mod own;
mod paths;
mod text;
mod times;

use crate::config::Ipv6Config;
use crate::interface::{Forever, Iface};
use crate::ip::{self, Datagram, Header, Way};
use crate::link::{Carries, Hop, Link, Send};
use crate::stack::Core;
use crate::stats::Counters;
use crate::version::{self, LEAST_MTU, MAPPED};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::{Cell, Ref, RefCell, RefMut};
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use fata_libos::entropy;
use fata_libos::net::{Checksum, MacAddress};
use fata_libos::time::{Duration, Instant};
use headers::{HEADER, Packet};
use host::{Host, Own};
use input::At;
use mld::Listener;
use paths::Paths;

/// IPv6 of one interface, as the rest of the stack sees it.
pub(crate) trait Inet6 {
    /// Takes a packet.
    fn receive(
        &self,
        core: &Rc<Core>,
        iface: &Rc<Iface>,
        now: Instant,
        packet: &mut [u8],
        checksum: Checksum,
    );

    /// The header of a packet of at most `len` octets for this host, what it carries right behind that, and its octets.
    fn segment(&self, head: &[u8], len: usize) -> Option<(Header, u8, usize)>;

    /// The address with which this host sends to another.
    fn source(&self, to: Ipv6Addr) -> Option<Ipv6Addr>;

    /// Where a packet goes on the link.
    fn hop(&self, to: Ipv6Addr) -> Option<Hop>;

    /// How many bits an address has in common with the network of this link that it lies in; 0 if it lies in none.
    fn direct(&self, to: Ipv6Addr) -> u8;

    /// Whether that is an address of this host.
    fn has(&self, address: Ipv6Addr) -> bool;

    /// The largest packet that goes to a host, octets, as far as routers have said.
    fn mtu(&self, to: Ipv6Addr) -> usize;

    /// Calls `f` with each address of this host, the length of its prefix, and the router.
    fn each_address(&self, f: &mut dyn FnMut(Ipv6Addr, u8, Option<Ipv6Addr>));

    /// Calls `f` with each name server that routers have named.
    fn each_dns(&self, f: &mut dyn FnMut(Ipv6Addr));

    /// The device went up or down.
    fn link_changed(&self, core: &Rc<Core>, iface: &Rc<Iface>, up: bool);

    /// When [`poll`](Self::poll) has something to do.
    fn deadline(&self) -> Option<Instant>;

    /// Does what is due.
    fn poll(&self, core: &Rc<Core>, iface: &Rc<Iface>, now: Instant);

    /// These do not answer.
    fn neighbours_lost(&self, lost: &[IpAddr]);

    /// Sends a datagram that is longer than `mtu` octets with its header.
    fn send_fragments(
        &self,
        iface: &Iface,
        counters: &Counters,
        datagram: Datagram,
        whole: &[u8],
        mtu: usize,
    );

    /// Tells the sender of `packet` that nothing listens on its port.
    fn send_port_unreachable(
        &self,
        core: &Rc<Core>,
        iface: &Rc<Iface>,
        now: Instant,
        header: Header,
        packet: &[u8],
    );
}

/// Whether no packet on a link comes from there: such addresses are for programs.
#[inline(never)]
fn is_strange(source: Ipv6Addr) -> bool {
    source.is_loopback() || source.to_bits() >> 32 == MAPPED
}

/// Makes the IPv6 of an interface.
#[derive(Clone, Copy)]
pub(crate) struct Start(pub(crate) fn(&Ipv6Config, &mut Link, MacAddress) -> Box<dyn Inet6>);

/// There is one way.
pub(crate) const START: Start = Start(|config, link, mac| {
    version::begin_ipv6();
    link.set_solicit(discovery::solicit);
    let largest = link.mtu().min(usize::from(u16::MAX)) as u16;
    Box::new(Ip6 {
        host: Forever::new(RefCell::new(Host::new(mac, largest, config.fixed, entropy::u32))),
        groups: RefCell::new(Listener::new()),
        paths: Forever::new(RefCell::default()),
        lines: Cell::new((LINES, Instant::default())),
        due: Cell::new(None),
    })
});

/// See the module.
struct Ip6 {
    host: Forever<RefCell<Host>>,
    groups: RefCell<Listener>,
    paths: Forever<RefCell<Paths>>,
    /// What may still be said, and since when.
    lines: Cell<(u8, Instant)>,
    /// When something is due: it is asked for with each packet, and changes with few.
    due: Cell<Option<Instant>>,
}

/// So many lines at once that a router can cause, and one more after so long.
const LINES: u8 = 16;
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Ip6 {
    /// Whether there may be one more line about what a router has done.
    fn says(&self, now: Instant) -> bool {
        let (left, since) = self.lines.get();
        let more = (now.duration_since(since).as_nanos() / LINE_EVERY.as_nanos()).min(LINES.into()) as u8;
        let since = if more > 0 { now } else { since };
        let left = left.saturating_add(more).min(LINES);
        self.lines.set((left.saturating_sub(1), since));
        left > 0
    }

    // Out of line: there are many places.
    #[inline(never)]
    fn host(&self) -> Ref<'_, Host> {
        self.host.borrow()
    }

    #[inline(never)]
    fn host_mut(&self) -> RefMut<'_, Host> {
        self.host.borrow_mut()
    }

    /// Finds out anew when something is due.
    fn renew(&self) {
        let groups = self.groups.borrow().deadline();
        self.due.set(self.host().deadline().into_iter().chain(groups).min());
    }

    fn is_tentative(&self, address: Ipv6Addr) -> bool {
        self.host().state_of(address) == Own::Tentative
    }

    /// Whether messages to a group are for this host.
    fn listens(&self, group: Ipv6Addr) -> bool {
        self.host().is_member(group)
    }
}

impl Inet6 for Ip6 {
    fn receive(
        &self,
        core: &Rc<Core>,
        iface: &Rc<Iface>,
        now: Instant,
        packet: &mut [u8],
        checksum: Checksum,
    ) {
        input::receive(self, &At { core, iface, now }, packet, checksum);
    }

    fn segment(&self, head: &[u8], len: usize) -> Option<(Header, u8, usize)> {
        let packet = Packet::parse(head, len).ok()?;
        let Packet { source, destination, marked, .. } = packet;
        let protocol = packet.carries_only()?;
        let fits = self.has(destination) && !self.has(source);
        let header = Header {
            source: source.into(),
            destination: destination.into(),
            is_unicast: true,
            verified: false,
            marked,
        };
        (fits && !source.is_unspecified() && !is_strange(source)).then_some((header, protocol, packet.end))
    }

    fn source(&self, to: Ipv6Addr) -> Option<Ipv6Addr> {
        self.host().source_for(to)
    }

    fn hop(&self, to: Ipv6Addr) -> Option<Hop> {
        if to.is_multicast() {
            return Some(Hop::Group(to.into()));
        }
        if to.is_unspecified() || to.is_loopback() || self.has(to) {
            return None;
        }
        self.host().next_hop(to).map(|hop| Hop::Neighbour(hop.into()))
    }

    fn direct(&self, to: Ipv6Addr) -> u8 {
        self.host().direct(to)
    }

    fn has(&self, address: Ipv6Addr) -> bool {
        self.host().state_of(address) == Own::Assigned
    }

    fn mtu(&self, to: Ipv6Addr) -> usize {
        let path = self.paths.borrow().mtu(to, Instant::recent());
        let link = self.host().mtu().map(usize::from);
        path.into_iter().chain(link).min().unwrap_or(usize::MAX)
    }

    fn each_address(&self, f: &mut dyn FnMut(Ipv6Addr, u8, Option<Ipv6Addr>)) {
        let host = self.host();
        let router = host.router();
        // Those that are used beyond the link first.
        for is_local in [false, true] {
            for (address, prefix_len, _, is_tentative) in host.addresses() {
                if address.is_unicast_link_local() == is_local && !is_tentative {
                    f(address, prefix_len, router);
                }
            }
        }
    }

    fn each_dns(&self, f: &mut dyn FnMut(Ipv6Addr)) {
        self.host().dns().for_each(f);
    }

    fn link_changed(&self, core: &Rc<Core>, iface: &Rc<Iface>, up: bool) {
        self.paths.borrow_mut().clear();
        if !up {
            self.host_mut().link_down();
            return self.renew();
        }
        let now = Instant::recent();
        self.host_mut().link_up(now);
        let at = &At { core, iface, now };
        discovery::join(self, at);
        discovery::poll(self, at);
        self.renew();
    }

    fn deadline(&self) -> Option<Instant> {
        self.due.get()
    }

    fn poll(&self, core: &Rc<Core>, iface: &Rc<Iface>, now: Instant) {
        if self.due.get().is_some_and(|at| at <= now) {
            discovery::poll(self, &At { core, iface, now });
            self.renew();
        }
    }

    fn neighbours_lost(&self, lost: &[IpAddr]) {
        for neighbour in lost {
            if let IpAddr::V6(neighbour) = neighbour {
                self.host_mut().router_lost(*neighbour);
            }
        }
    }

    fn send_fragments(
        &self,
        iface: &Iface,
        counters: &Counters,
        datagram: Datagram,
        whole: &[u8],
        mtu: usize,
    ) {
        let Datagram { now, way: Way { own, to, hop }, protocol, len } = datagram;
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (own, to) else { return };
        // RFC 7739: nobody is to guess the next one.
        let ident = entropy::u32();
        let before = HEADER + headers::FRAGMENT_HEADER;
        let step = (mtu - before) & !7;
        let mut link = iface.link.borrow_mut();
        for (n, part) in whole.chunks(step).enumerate() {
            let more = (n + 1) * step < len;
            let fragment = headers::write_fragment(protocol, (n * step) as u16, more, ident);
            let send =
                Send { now, own, hop, len: before + part.len(), carries: Carries::Other, segment_size: 0 };
            link.send(send, counters, &mut |packet| {
                ip::write_header(packet, source.into(), destination.into(), chain::FRAGMENT, false);
                packet[HEADER..before].copy_from_slice(&fragment);
                packet[before..].copy_from_slice(part);
            });
        }
    }

    fn send_port_unreachable(
        &self,
        core: &Rc<Core>,
        iface: &Rc<Iface>,
        now: Instant,
        header: Header,
        packet: &[u8],
    ) {
        if let (IpAddr::V6(source), IpAddr::V6(destination)) = (header.source, header.destination) {
            icmp::send(self, &At { core, iface, now }, (source, destination), packet, icmp::NO_PORT);
        }
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Start")
    }
}

impl PartialEq for Start {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Start {}
