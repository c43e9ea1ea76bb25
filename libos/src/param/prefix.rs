//! Addresses of interfaces with the lengths of their prefixes: `10.0.0.2/24`, `2001:db8::2/64`.

use super::kinds::number;
use crate::text::split_once;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// A text that is no address with a prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address with its prefix length")]
pub struct BadPrefix;

/// An interface's IPv4 address and the length of its network prefix, `10.0.0.2/24`: a host's address, not a network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Prefix {
    /// The address.
    pub address: Ipv4Addr,
    /// Bits of the network part, 1 to 32.
    pub prefix_len: u8,
}

impl Ipv4Prefix {
    /// Whether the address is a host's: neither the network's own nor the one that means all of its hosts.
    pub fn is_host(self) -> bool {
        let mask = self.host_mask();
        let host_part = self.address.to_bits() & mask;
        self.prefix_len >= 31 || (host_part != 0 && host_part != mask)
    }

    /// Whether another address is in the same network.
    pub fn contains(self, other: Ipv4Addr) -> bool {
        (other.to_bits() ^ self.address.to_bits()) & !self.host_mask() == 0
    }

    fn host_mask(self) -> u32 {
        u32::MAX.checked_shr(self.prefix_len.into()).unwrap_or(0)
    }
}

impl FromStr for Ipv4Prefix {
    type Err = BadPrefix;
    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let (address, prefix_len) = parse::<Ipv4Addr>(text, 32).ok_or(BadPrefix)?;
        let usable = !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
        if usable { Ok(Self { address, prefix_len }) } else { Err(BadPrefix) }
    }
}

/// An address and the length of its prefix, from 1 to `most`.
fn parse<A: FromStr>(text: &str, most: u64) -> Option<(A, u8)> {
    let (address, len) = split_once(text, b'/')?;
    let len = number(len).filter(|len| (1..=most).contains(len))?;
    Some((address.parse().ok()?, len as u8))
}

/// An IPv6 address and the length of its subnet's prefix, `2001:db8::2/64` (RFC 4291, 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Prefix {
    /// The address.
    pub address: Ipv6Addr,
    /// Bits of the prefix, 1 to 128.
    pub prefix_len: u8,
}

impl Ipv6Prefix {
    /// Whether another address has the same prefix.
    pub fn contains(self, other: Ipv6Addr) -> bool {
        (other.to_bits() ^ self.address.to_bits()) & !self.host_mask() == 0
    }

    /// Why the address is none to be given to an interface, as it ends the sentence "ADDRESS ..."; `None` if it can be.
    pub fn why_not_a_host(self) -> Option<&'static str> {
        let Self { address, prefix_len } = self;
        if address.is_loopback() {
            Some("is the loopback address, not an interface's")
        } else if address.is_unicast_link_local() {
            Some("is link-local: the interface makes that address of its own")
        } else if address.to_bits() >> 32 == 0xffff {
            Some("stands for an IPv4 address, and is no interface's")
        } else if prefix_len < 127 && address.to_bits() & self.host_mask() == 0 {
            // RFC 4291, 2.6.1. A link between two routers has no such address (RFC 6164).
            Some("is the anycast address of the subnet's routers, not a host's")
        } else {
            None
        }
    }

    /// Whether another address can be the router of an interface with this one: link-local, or another host's in the network.
    pub fn reaches_gateway(self, gateway: Ipv6Addr) -> bool {
        let is_of_a_host = !(gateway.is_unspecified() || gateway.is_multicast() || gateway.is_loopback());
        is_of_a_host && gateway != self.address && (gateway.is_unicast_link_local() || self.contains(gateway))
    }

    #[inline(never)]
    fn host_mask(self) -> u128 {
        u128::MAX.checked_shr(self.prefix_len.into()).unwrap_or(0)
    }
}

impl fmt::Display for Ipv6Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl FromStr for Ipv6Prefix {
    type Err = BadPrefix;
    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let (address, prefix_len) = parse::<Ipv6Addr>(text, 128).ok_or(BadPrefix)?;
        let usable = !address.is_unspecified() && !address.is_multicast();
        if usable { Ok(Self { address, prefix_len }) } else { Err(BadPrefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn prefix(text: &str) -> Ipv6Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn an_ipv6_address_has_the_length_of_its_prefix() {
        for good in ["2001:db8::2/64", "2001:db8::/32", "::1/128", "fe80::1/10", "2001:db8::a:0/127"] {
            assert_eq!(prefix(good).to_string(), good);
        }
        let bad = [
            "",
            "2001:db8::2",
            "2001:db8::2/",
            "2001:db8::2/0",
            "2001:db8::2/129",
            "2001:db8::2/x",
            "::/64",
            "ff02::1/64",
            "10.0.0.2/24",
            "fe80::1%1/64",
            "[2001:db8::2]/64",
        ];
        for bad in bad {
            assert_eq!(bad.parse::<Ipv6Prefix>(), Err(BadPrefix), "{bad}");
        }
    }

    #[test]
    fn a_network_is_the_bits_of_its_prefix() {
        for (of, address, is_in) in [
            ("2001:db8::2/64", "2001:db8::ffff:0:0:1", true),
            ("2001:db8::2/64", "2001:db8:0:1::1", false),
            ("2001:db8::2/127", "2001:db8::3", true),
            ("2001:db8::2/127", "2001:db8::4", false),
            ("2001:db8::2/128", "2001:db8::2", true),
            ("2001:db8::2/128", "2001:db8::3", false),
            ("8000::1/1", "ffff::", true),
            ("8000::1/1", "7fff::", false),
        ] {
            assert_eq!(prefix(of).contains(address.parse().unwrap()), is_in, "{of} {address}");
        }
    }

    #[test]
    fn what_is_no_hosts_is_told_why() {
        for (address, why) in [
            ("2001:db8::2/64", None),
            ("fd00::2/8", None),
            ("2001:db8::/127", None),
            ("2001:db8::/128", None),
            ("2001:db8::/126", Some("anycast")),
            ("2001:db8::/64", Some("anycast")),
            ("::1/128", Some("loopback")),
            ("fe80::2/64", Some("link-local")),
            ("::ffff:10.0.0.2/112", Some("IPv4")),
        ] {
            let said = prefix(address).why_not_a_host();
            assert_eq!(said.is_some(), why.is_some(), "{address}: {said:?}");
            assert!(said.unwrap_or_default().contains(why.unwrap_or_default()), "{address}: {said:?}");
        }
    }

    #[test]
    fn a_router_is_on_the_link() {
        let reaches = |of: &str, gateway: &str| prefix(of).reaches_gateway(gateway.parse().unwrap());
        for good in ["fe80::1", "2001:db8::1", "2001:db8::ffff:0:0:1", "2001:db8::"] {
            assert!(reaches("2001:db8::2/64", good), "{good}");
        }
        for bad in ["2001:db8::2", "2001:db8:0:1::1", "::", "::1", "ff02::2"] {
            assert!(!reaches("2001:db8::2/64", bad), "{bad}");
        }
        // In the network by its bits, a group by its kind.
        assert!(!reaches("8000::1/1", "ff02::2"));
    }
}
