//! How an interface is configured.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

/// The configuration of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where the IPv4 address comes from.
    pub ipv4: Ipv4Config,
    /// Name servers; with DHCP these come before those that the server names.
    pub dns: Vec<IpAddr>,
    /// The name that DHCP servers are told.
    pub hostname: Option<alloc::string::String>,
    /// The largest IP packet, where less than the device's.
    pub mtu: Option<u16>,
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
}
