//! How an interface is configured.

use crate::ip6;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The configuration of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where the IPv4 address comes from.
    pub ipv4: Ipv4Config,
    /// Where IPv6 addresses come from; `None`: the interface has no IPv6.
    pub ipv6: Option<Ipv6Config>,
    /// Name servers; with DHCP these come before those that the server names, and before those of router advertisements.
    pub dns: Vec<IpAddr>,
    /// The name that DHCP servers are told.
    pub hostname: Option<alloc::string::String>,
    /// The largest IP packet, where less than the device's.
    pub mtu: Option<u16>,
    /// Whether connections that are opened here offer explicit congestion notification (RFC 3168). What peers offer is taken in any
    /// case.
    pub ecn: bool,
}

/// Where an interface's IPv4 address comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ipv4Config {
    /// A DHCP server.
    #[default]
    Dhcp,
    /// Here.
    Static {
        /// The address.
        address: Ipv4Addr,
        /// Bits of its network part.
        prefix_len: u8,
        /// The router to everywhere else.
        gateway: Option<Ipv4Addr>,
    },
    /// Nowhere: the interface has no IPv4.
    None,
}

/// Where an interface's IPv6 addresses come from, beside its link-local one. Only what makes one links IPv6: an image that
/// makes none has no code of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipv6Config {
    pub(crate) fixed: Option<Fixed6>,
    pub(crate) start: ip6::Start,
}

/// An address that is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fixed6 {
    pub(crate) address: Ipv6Addr,
    pub(crate) prefix_len: u8,
    pub(crate) gateway: Option<Ipv6Addr>,
}

impl Ipv6Config {
    /// From the prefixes that routers advertise (RFC 4862), as are the routers and name servers (RFC 8106).
    pub fn auto() -> Self {
        Self { fixed: None, start: ip6::START }
    }

    /// One address. Without a gateway the routers are those that advertise themselves; what they say of prefixes makes no
    /// further address.
    pub fn fixed(address: Ipv6Addr, prefix_len: u8, gateway: Option<Ipv6Addr>) -> Self {
        Self { fixed: Some(Fixed6 { address, prefix_len, gateway }), start: ip6::START }
    }
}
