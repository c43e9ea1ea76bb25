//! Two hosts on a hub.
#![allow(dead_code)]

pub mod ipv6;

use fata_netstack::testing::{Faults, Hub};
use fata_netstack::{Config, Interface, Ipv4Config, Stack};
use std::net::{Ipv4Addr, SocketAddr};

pub const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// A static configuration in 10.0.0.0/24.
pub fn fixed(address: Ipv4Addr) -> Config {
    let ipv4 = Ipv4Config::Static { address, prefix_len: 24, gateway: None };
    Config { ipv4, ..Config::default() }
}

/// A stack with one interface at `address`, on port `n`.
pub fn host(hub: &Hub, n: u8, address: Ipv4Addr, offload: bool) -> (Stack, Interface) {
    let stack = Stack::new();
    let interface = stack.add_interface("main", Box::new(hub.device(n, offload)), fixed(address));
    (stack, interface)
}

/// Two configured hosts, A and B, on a hub with those faults.
pub async fn pair(faults: Faults) -> (Hub, Stack, Stack) {
    pair_with(faults, false).await
}

/// The same; with `offload` their devices say that what they bring is good.
pub async fn pair_with(faults: Faults, offload: bool) -> (Hub, Stack, Stack) {
    let hub = Hub::new(faults);
    let (a, ia) = host(&hub, 1, A, offload);
    let (b, ib) = host(&hub, 2, B, offload);
    ia.configured().await;
    ib.configured().await;
    (hub, a, b)
}

pub fn at(host: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(host.into(), port)
}

/// The sum of 16-bit words, as IP's checksums want it.
pub fn checksum(octets: &[u8]) -> [u8; 2] {
    let words = octets.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// Octets that tell their place.
pub fn pattern(start: usize, len: usize) -> Vec<u8> {
    (start..start + len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

/// How many packets an interface has dropped for a reason.
pub fn dropped(interface: &Interface, protocol: &str, reason: &str) -> u64 {
    let mut count = None;
    interface.each_dropped(&mut |packets| {
        if (packets.protocol, packets.reason) == (protocol, Some(reason)) {
            count = Some(packets.count);
        }
    });
    count.unwrap_or_else(|| panic!("{protocol} has no {reason}"))
}
