//! IPv6 (RFC 8200) of an interface: neighbours (RFC 4861), addresses (RFC 4862), groups (RFC 3810), ICMPv6 (RFC 4443).
//!
//! The rest of the stack reaches it by way of [`Inet6`] alone, and only an [`Ipv6Config`] brings it in: an image without one
//! has nothing of this code.

pub(crate) mod headers;

use crate::config::Ipv6Config;
use crate::interface::Iface;
use crate::ip::{Datagram, Header};
use crate::stack::Core;
use crate::stats::Counters;
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use fata_libos::net::{Checksum, MacAddress};
use fata_libos::time::Instant;

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

    /// The header of a packet of at most `len` octets for this host that is a segment of TCP and nothing else, and its octets.
    fn segment(&self, head: &[u8], len: usize) -> Option<(Header, usize)>;

    /// The address with which this host sends to another.
    fn source(&self, to: Ipv6Addr) -> Option<Ipv6Addr>;

    /// Where a packet goes on the link.
    fn hop(&self, to: Ipv6Addr) -> Option<crate::link::Hop>;

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

/// Makes the IPv6 of an interface.
#[derive(Clone, Copy)]
pub(crate) struct Start(pub(crate) fn(&Ipv6Config, MacAddress) -> Box<dyn Inet6>);

/// There is one way.
pub(crate) const START: Start = Start(|_, _| todo!());

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
