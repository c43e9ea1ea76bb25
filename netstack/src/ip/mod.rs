//! IP: what both versions have in common, and IPv4: the address and routes of an interface, packets in and out.

mod input;
mod output;
mod reassembly;

pub(crate) use input::{deliver, receive_frame, take_frame, unreachable_port};
pub(crate) use output::{Datagram, send_datagram, write_header};
pub(crate) use reassembly::{Fragment, Outcome, PacketId, Reassembly};

pub(crate) use crate::version::{HEADER, HEADER6, ICMP, TCP, UDP, header_len};

use crate::link::Hop;
use core::net::{IpAddr, Ipv4Addr};

/// The largest IPv4 packet, and what an IPv6 packet carries at most, octets.
pub(crate) const MAX_PACKET: usize = 65_535;

/// An interface's address and the networks it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Net {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix_len: u8,
    pub(crate) gateway: Option<Ipv4Addr>,
}

impl Net {
    pub(crate) fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix_len)).unwrap_or(0)
    }

    /// Whether `host` is on the link.
    pub(crate) fn contains(&self, host: Ipv4Addr) -> bool {
        (host.to_bits() ^ self.address.to_bits()) & self.mask() == 0
    }

    /// Whether `host` means all hosts of the link.
    pub(crate) fn is_broadcast(&self, host: Ipv4Addr) -> bool {
        host.is_broadcast()
            || (self.prefix_len < 31 && self.contains(host) && host.to_bits() | self.mask() == u32::MAX)
    }

    /// Whether `host` can be the source of a packet that is answered.
    pub(crate) fn is_unicast(&self, host: Ipv4Addr) -> bool {
        !(host.is_multicast() || host.is_unspecified() || host.is_loopback() || self.is_broadcast(host))
    }

    /// Where a packet for `to` goes on this link, if it leads there.
    pub(crate) fn hop(&self, to: Ipv4Addr) -> Option<Hop> {
        if self.is_broadcast(to) {
            Some(Hop::Broadcast)
        } else if to.is_multicast() {
            Some(Hop::Group(to.into()))
        } else if to.is_unspecified() || to.is_loopback() || to == self.address {
            None
        } else if self.contains(to) {
            Some(Hop::Neighbour(to.into()))
        } else {
            self.gateway.map(|gateway| Hop::Neighbour(gateway.into()))
        }
    }
}

/// How a packet goes: from which address of this host, to which, by which neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) own: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) hop: Hop,
}

/// What the layers above are told of a received packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// The destination is this host's own address, not all or many hosts.
    pub(crate) is_unicast: bool,
    /// The checksum of what it carries is known to be good.
    pub(crate) verified: bool,
    /// A router marked it for congestion (RFC 3168, 5).
    pub(crate) marked: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    #[test]
    fn hops() {
        let gateway = Ipv4Addr::new(10, 0, 0, 1);
        let net = Net { address: A, prefix_len: 24, gateway: Some(gateway) };
        assert_eq!(net.hop(Ipv4Addr::new(10, 0, 0, 9)), Some(Hop::Neighbour([10, 0, 0, 9].into())));
        assert_eq!(net.hop(Ipv4Addr::new(10, 0, 1, 9)), Some(Hop::Neighbour(gateway.into())));
        assert_eq!(net.hop(Ipv4Addr::new(10, 0, 0, 255)), Some(Hop::Broadcast));
        assert_eq!(net.hop(Ipv4Addr::BROADCAST), Some(Hop::Broadcast));
        assert_eq!(net.hop(Ipv4Addr::LOCALHOST), None);
        assert_eq!(net.hop(A), None);
        assert_eq!(Net { gateway: None, ..net }.hop(Ipv4Addr::new(10, 0, 1, 9)), None);
    }

    #[test]
    fn the_longest_and_shortest_prefixes() {
        let net = |prefix_len| Net { address: A, prefix_len, gateway: None };
        assert!(net(32).contains(A) && !net(32).contains(Ipv4Addr::new(10, 0, 0, 3)));
        assert!(net(1).contains(Ipv4Addr::new(100, 0, 0, 3)));
        assert!(!net(31).is_broadcast(Ipv4Addr::new(10, 0, 0, 3)));
        assert!(net(30).is_broadcast(Ipv4Addr::new(10, 0, 0, 3)));
        assert!(!net(32).is_broadcast(A));
    }
}
