//! The stack: all interfaces and sockets of the guest.

use crate::capture::{Captor, Tap};
use crate::config::Config;
use crate::connections::ConnectionInfo;
use crate::error::Error;
use crate::icmp::Ration;
use crate::interface::{Iface, drive};
use crate::ip::Way;
use crate::memory::Memory;
use crate::stats::{Counters, Stats};
use crate::traffic::Packets;
use crate::transport::Slot;
use crate::udp;
use crate::version::{MAPPED, in_use, of6};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Poll;
use fata_libos::net::{MacAddress, NetCounters, NetDevice};
use fata_libos::spawn_detached;
use fata_libos::time::Instant;

/// What all parts of the stack share.
pub(crate) struct Core {
    pub(crate) interfaces: RefCell<Vec<Rc<Iface>>>,
    pub(crate) tcp: Slot,
    pub(crate) udp: udp::Slot,
    pub(crate) memory: Rc<Memory>,
    pub(crate) counters: Counters,
    pub(crate) icmp_ration: Ration,
    /// What sees all frames, if anything does.
    pub(crate) captor: RefCell<Option<Rc<dyn Captor>>>,
}

/// Where a packet leaves the host.
pub(crate) struct Route {
    pub(crate) iface: Rc<Iface>,
    pub(crate) way: Way,
}

impl Core {
    /// The way to `to`, from the interface with address `from` if one is given: the longest prefix, else the first
    /// interface with a gateway. A link-local address that names its interface leads there alone.
    pub(crate) fn route(&self, to: SocketAddr, from: Option<IpAddr>) -> Option<Route> {
        let interfaces = self.interfaces.borrow();
        let scope = scope(to);
        let mut best: Option<(u8, Route)> = None;
        for (n, iface) in interfaces.iter().enumerate() {
            if scope != 0 && scope as usize != n + 1 || from.is_some_and(|from| !iface.has(from)) {
                continue;
            }
            let Some(way) = iface.way(to.ip(), from) else { continue };
            let direct = iface.direct(to.ip());
            if best.as_ref().is_none_or(|(longest, _)| direct > *longest) {
                best = Some((direct, Route { iface: iface.clone(), way }));
            }
        }
        Some(best?.1)
    }

    /// The address of an interface as an argument: whether one has it, or it is left open.
    pub(crate) fn check_local(&self, address: IpAddr) -> Result<(), Error> {
        let has = |iface: &Rc<Iface>| iface.has(address);
        let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
        if address.is_unspecified() || is_broadcast || self.interfaces.borrow().iter().any(has) {
            Ok(())
        } else {
            Err(Error::AddrNotAvailable)
        }
    }
}

/// The interface that an address of a link, or of a group, names: its number from 1, or 0.
pub(crate) fn scope(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V6(v6) if in_use() && (v6.ip().is_unicast_link_local() || v6.ip().is_multicast()) => {
            v6.scope_id()
        }
        _ => 0,
    }
}

/// Whether a socket that is bound to an address hears what comes to another: `0.0.0.0` stands for all of IPv4, `::` for all.
pub(crate) fn covers(bound: IpAddr, address: IpAddr) -> bool {
    bound == address || bound.is_unspecified() && (bound.is_ipv6() || of6(address).is_none())
}

/// An address of IPv4 that is written as one of IPv6 is one of IPv4.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.ip().to_bits() >> 32 == MAPPED => {
            SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(v6.ip().to_bits() as u32)), v6.port())
        }
        _ => address,
    }
}

/// Whether two addresses are the same one: a link-local one may name its interface or not.
pub(crate) fn same(one: SocketAddr, other: SocketAddr) -> bool {
    let scopes = (scope(one), scope(other));
    one.ip() == other.ip()
        && one.port() == other.port()
        && (scopes.0 == scopes.1 || scopes.0 == 0 || scopes.1 == 0)
}

/// A TCP/IP stack. Cheap to clone: all clones are the same stack.
#[derive(Clone)]
pub struct Stack(pub(crate) Rc<Core>);

impl Stack {
    /// A stack without interfaces. What peers make it hold takes at most about two thirds of the memory that is free now, TCP
    /// connections half.
    pub fn new() -> Self {
        let memory = Memory::new();
        Self(Rc::new(Core {
            interfaces: RefCell::default(),
            tcp: Slot::new(memory.clone()),
            udp: udp::Slot::default(),
            memory,
            counters: Counters::default(),
            icmp_ration: Ration::default(),
            captor: RefCell::default(),
        }))
    }

    /// Adds an interface and starts the task that drives it.
    pub fn add_interface(&self, name: &str, device: Box<dyn NetDevice>, config: Config) -> Interface {
        let mut interfaces = self.0.interfaces.borrow_mut();
        let name = (String::from(name), interfaces.len() as u32 + 1);
        let iface = Rc::new(Iface::new(name, device, &config, &self.0.memory));
        let captor = self.0.captor.borrow();
        iface.link.borrow_mut().set_tap(captor.as_ref().map(|captor| Tap::new(captor, interfaces.len())));
        interfaces.push(iface.clone());
        drop((interfaces, captor));
        spawn_detached(drive(self.0.clone(), iface.clone(), config));
        Interface(iface)
    }

    /// The interfaces, in the order in which they were added.
    pub fn interfaces(&self) -> Vec<Interface> {
        self.0.interfaces.borrow().iter().cloned().map(Interface).collect()
    }

    /// The interface of that name.
    pub fn interface(&self, name: &str) -> Option<Interface> {
        self.0.interfaces.borrow().iter().find(|i| i.name == name).cloned().map(Interface)
    }

    /// The limit on the memory of TCP connections with their buffers, octets. Everything else that peers can fill has parts
    /// in proportion to it.
    pub fn set_memory_limit(&self, octets: usize) {
        self.0.memory.set_limit(octets);
    }

    /// Resets all TCP connections: for an end that does not wait for slow peers.
    pub fn abort_all(&self) {
        if let Some(tcp) = self.0.tcp.in_use() {
            tcp.abort_all();
        }
    }

    /// Calls `visit` with what is known of at most `most` TCP connections, those that carry data before those that do not yet or
    /// no longer, and returns how many there are. `visit` is to leave the stack's sockets alone.
    pub fn connections(&self, most: usize, visit: &mut dyn FnMut(&ConnectionInfo)) -> usize {
        self.0.tcp.in_use().map_or(0, |tcp| tcp.connections(Instant::recent(), most, visit))
    }

    /// The stack's figures.
    pub fn stats(&self) -> Stats {
        if let Some(tcp) = self.0.tcp.in_use() {
            tcp.count(&self.0.counters);
        }
        self.0.memory.count(&self.0.counters);
        let timers: usize = self.0.interfaces.borrow().iter().map(|iface| iface.work.timers()).sum();
        self.0.counters.tcp_timers.set(timers as u64);
        self.0.counters.snapshot()
    }
}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stack")
    }
}

/// What an interface has been told about its network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Addressing {
    /// Its address.
    pub address: IpAddr,
    /// Bits of the network part.
    pub prefix_len: u8,
    /// The router.
    pub gateway: Option<IpAddr>,
    /// The name servers.
    pub dns: Vec<IpAddr>,
}

impl Addressing {
    /// Whether the address is good on its link alone.
    fn is_link_local(&self) -> bool {
        of6(self.address).is_some_and(|address| address.is_unicast_link_local())
    }
}

/// A network interface of a [`Stack`].
#[derive(Clone)]
pub struct Interface(Rc<Iface>);

impl Interface {
    /// The name given to it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its hardware address.
    pub fn mac(&self) -> MacAddress {
        self.0.link.borrow().mac()
    }

    /// The largest IP packet it carries, octets.
    pub fn mtu(&self) -> usize {
        self.0.link.borrow().mtu()
    }

    /// Whether its device is connected.
    pub fn is_up(&self) -> bool {
        self.0.is_up()
    }

    /// The device's counters.
    pub fn device_counters(&self) -> NetCounters {
        self.0.link.borrow_mut().device().counters()
    }

    /// Calls `f` with the number of packets of each protocol that came and went.
    pub fn each_packets(&self, f: &mut dyn FnMut(Packets)) {
        self.0.traffic.each_packets(f);
    }

    /// Calls `f` with the number of packets dropped, of each protocol and for each reason. What is wrong with a packet that is
    /// to be sent before it has an interface is in [`Stats`] alone.
    pub fn each_dropped(&self, f: &mut dyn FnMut(Packets)) {
        self.0.traffic.each_lost(f);
    }

    /// Its address, if it has one: that of IPv4, else the first of IPv6 that is not link-local.
    pub fn addressing(&self) -> Option<Addressing> {
        let mut first = None;
        self.each_address(&mut |addressing| {
            if !addressing.is_link_local() && first.is_none() {
                first = Some(addressing);
            }
        });
        first
    }

    /// Calls `f` with each of its addresses, that of IPv4 first.
    pub fn each_address(&self, f: &mut dyn FnMut(Addressing)) {
        let mut dns = self.0.dns.borrow().clone();
        if let Some(inet6) = self.0.inet6() {
            inet6.each_dns(&mut |server| dns.push(server.into()));
        }
        if let Some(net) = self.0.net.get() {
            let (address, gateway) = (IpAddr::V4(net.address), net.gateway.map(IpAddr::V4));
            f(Addressing { address, prefix_len: net.prefix_len, gateway, dns: dns.clone() });
        }
        if let Some(inet6) = self.0.inet6() {
            inet6.each_address(&mut |address, prefix_len, gateway| {
                let gateway = gateway.map(IpAddr::V6);
                f(Addressing { address: address.into(), prefix_len, gateway, dns: dns.clone() });
            });
        }
    }

    /// Waits until it has an address that is good beyond its link: where it has both versions of IP, of the one that is there first.
    /// One of IPv6 is there after a second at the earliest, as others are asked whether they have it;
    /// [`each_address`](Self::each_address) and [`config_changed`](Self::config_changed) tell of the second.
    pub async fn configured(&self) -> Addressing {
        poll_fn(|cx| match self.addressing() {
            Some(addressing) => Poll::Ready(addressing),
            None => {
                self.0.changed.register(cx);
                Poll::Pending
            }
        })
        .await
    }

    /// Waits until its address, gateway or name servers change, and returns the new ones; `None`: it has no address.
    pub async fn config_changed(&self) -> Option<Addressing> {
        let before = self.0.changes.get();
        poll_fn(|cx| {
            if self.0.changes.get() != before {
                return Poll::Ready(self.addressing());
            }
            self.0.changed.register(cx);
            Poll::Pending
        })
        .await
    }
}

impl fmt::Debug for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interface({})", self.0.name)
    }
}
