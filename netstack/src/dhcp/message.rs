//! DHCP messages (RFC 2131, 2132).

use core::net::{IpAddr, Ipv4Addr};
use fata_libos::net::MacAddress;
use fata_libos::time::{Duration, Instant};
use smoltcp::wire::{DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress, Ipv4Address};

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

const SUBNET_MASK: u8 = 1;
const ROUTER: u8 = 3;
const DNS: u8 = 6;
const HOST_NAME: u8 = 12;
const MTU: u8 = 26;
const LEASE_TIME: u8 = 51;
const MESSAGE_TYPE: u8 = 53;
const SERVER: u8 = 54;
const RENEWAL_TIME: u8 = 58;
const REBINDING_TIME: u8 = 59;
/// What we ask to be told.
const WANTED: [u8; 7] = [SUBNET_MASK, ROUTER, DNS, MTU, LEASE_TIME, RENEWAL_TIME, REBINDING_TIME];
/// The largest message that we take, octets.
const MAX_SIZE: u16 = 1500;
/// The shortest lease that makes sense; a server that gives less is taken to mean this.
const LEAST_LEASE: u32 = 10;
/// The least time until a lease is asked for again, seconds.
const LEAST_RENEWAL: u32 = 2;
const FOREVER: u32 = u32::MAX;

/// What a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) kind: DhcpMessageType,
    /// The address that the client has and uses.
    pub(super) current: Ipv4Addr,
    pub(super) requested: Option<Ipv4Addr>,
    pub(super) server: Option<Ipv4Addr>,
}

/// An address for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) address: Ipv4Addr,
    pub(super) prefix_len: u8,
    pub(super) gateway: Option<Ipv4Addr>,
    pub(super) dns: Vec<IpAddr>,
    pub(super) mtu: Option<u16>,
    pub(super) server: Ipv4Addr,
    /// When to ask the server to prolong it.
    pub(super) renew: Option<Instant>,
    /// When to ask any server.
    pub(super) rebind: Option<Instant>,
    /// When it ends; `None`: never.
    pub(super) end: Option<Instant>,
}

/// What a server says. Leases are in boxes as they are handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Offer(Box<Lease>),
    Ack(Box<Lease>),
    /// From the server named, where it says so.
    Nak(Option<Ipv4Addr>),
}

/// The message, without a UDP header.
pub(super) fn write(ask: Ask, xid: u32, seconds: u16, mac: MacAddress, hostname: Option<&str>) -> Vec<u8> {
    let name =
        hostname.map(|name| DhcpOption { kind: HOST_NAME, data: &name.as_bytes()[..name.len().min(63)] });
    let repr = DhcpRepr {
        message_type: ask.kind,
        transaction_id: xid,
        secs: seconds,
        client_hardware_address: EthernetAddress(mac.0),
        client_ip: ask.current,
        your_ip: Ipv4Address::UNSPECIFIED,
        server_ip: Ipv4Address::UNSPECIFIED,
        router: None,
        subnet_mask: None,
        relay_agent_ip: Ipv4Address::UNSPECIFIED,
        broadcast: false,
        requested_ip: ask.requested,
        client_identifier: Some(EthernetAddress(mac.0)),
        server_identifier: ask.server,
        parameter_request_list: Some(&WANTED),
        dns_servers: None,
        max_size: Some(MAX_SIZE),
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: name.as_slice(),
    };
    // BOOTP's relays want 300 octets.
    let mut message = vec![0; repr.buffer_len().max(300)];
    let written = repr.emit(&mut DhcpPacket::new_unchecked(&mut message[..]));
    debug_assert!(written.is_ok(), "there is room for all options");
    message
}

/// Reads an answer to `xid`. Lease times count from `asked`.
pub(super) fn read(message: &[u8], xid: u32, mac: MacAddress, asked: Instant) -> Option<Reply> {
    let packet = DhcpPacket::new_checked(message).ok()?;
    if packet.transaction_id() != xid || packet.client_hardware_address().0 != mac.0 {
        return None;
    }
    // The magic number that says that options follow.
    if packet.magic_number() != 0x6382_5363 {
        return None;
    }
    let mut lease = Box::new(Lease {
        address: packet.your_ip(),
        prefix_len: 0,
        gateway: None,
        dns: Vec::new(),
        mtu: None,
        server: Ipv4Addr::UNSPECIFIED,
        renew: None,
        rebind: None,
        end: None,
    });
    let (mut kind, mut mask) = (None, None);
    let (mut time, mut renew, mut rebind) = (None, None, None);
    for option in packet.options() {
        match (option.kind, option.data) {
            (MESSAGE_TYPE, &[value]) => kind = Some(DhcpMessageType::from(value)),
            (SUBNET_MASK, data) => mask = address(data),
            (ROUTER, data) => lease.gateway = data.get(..4).and_then(address),
            (DNS, data) => {
                lease.dns = data.chunks_exact(4).filter_map(address).map(IpAddr::V4).take(8).collect();
            }
            (MTU, &[a, b]) => lease.mtu = Some(u16::from_be_bytes([a, b])),
            (SERVER, data) => lease.server = address(data)?,
            (LEASE_TIME, data) => time = number(data),
            (RENEWAL_TIME, data) => renew = number(data),
            (REBINDING_TIME, data) => rebind = number(data),
            _ => {}
        }
    }
    if kind? == DhcpMessageType::Nak {
        return Some(Reply::Nak((!lease.server.is_unspecified()).then_some(lease.server)));
    }
    lease.prefix_len = prefix_len(mask, lease.address)?;
    lease.times(asked, time?, renew, rebind);
    let usable =
        |a: Ipv4Addr| !(a.is_unspecified() || a.is_multicast() || a.is_broadcast() || a.is_loopback());
    lease.gateway = lease.gateway.filter(|a| usable(*a));
    if !usable(lease.address) || lease.server.is_unspecified() {
        return None;
    }
    match kind? {
        DhcpMessageType::Offer => Some(Reply::Offer(lease)),
        DhcpMessageType::Ack => Some(Reply::Ack(lease)),
        _ => None,
    }
}

impl Lease {
    /// Sets the times, those that make no sense as RFC 2131, 4.4.5 has them.
    fn times(&mut self, asked: Instant, lease: u32, renew: Option<u32>, rebind: Option<u32>) {
        if lease == FOREVER {
            return;
        }
        let lease = lease.max(LEAST_LEASE);
        // Times of nothing would have the client ask without pause.
        let rebind = rebind.filter(|t| (LEAST_RENEWAL..lease).contains(t)).unwrap_or(lease / 8 * 7);
        let renew = renew.filter(|t| (LEAST_RENEWAL..rebind).contains(t)).unwrap_or(lease / 2).min(rebind);
        let after = |seconds: u32| Some(asked + Duration::from_secs(u64::from(seconds)));
        (self.renew, self.rebind, self.end) = (after(renew), after(rebind), after(lease));
    }
}

fn address(data: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(data).ok().map(Ipv4Addr::from)
}

fn number(data: &[u8]) -> Option<u32> {
    <[u8; 4]>::try_from(data).ok().map(u32::from_be_bytes)
}

/// The length of a mask; without one, that of the address's class (RFC 2131 has no other default).
fn prefix_len(mask: Option<Ipv4Addr>, address: Ipv4Addr) -> Option<u8> {
    let Some(mask) = mask else {
        return Some(match address.octets()[0] {
            0..=127 => 8,
            128..=191 => 16,
            _ => 24,
        });
    };
    let bits = mask.to_bits();
    let len = bits.leading_ones();
    (len > 0 && bits.trailing_zeros() == 32 - len).then_some(len as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        let host = Ipv4Addr::new(10, 0, 0, 1);
        let len = |mask: [u8; 4]| prefix_len(Some(mask.into()), host);
        assert_eq!(len([255, 255, 255, 0]), Some(24));
        assert_eq!(len([255, 255, 255, 255]), Some(32));
        assert_eq!(len([128, 0, 0, 0]), Some(1));
        assert_eq!(len([0, 0, 0, 0]), None);
        assert_eq!(len([255, 0, 255, 0]), None);
        assert_eq!(prefix_len(None, host), Some(8));
    }

    /// Seconds to renewing, rebinding and the end, for what a server says of them.
    fn times(lease: u32, renew: Option<u32>, rebind: Option<u32>) -> [u64; 3] {
        let nobody = Ipv4Addr::UNSPECIFIED;
        let mut l = Lease {
            address: nobody,
            prefix_len: 24,
            gateway: None,
            dns: Vec::new(),
            mtu: None,
            server: nobody,
            renew: None,
            rebind: None,
            end: None,
        };
        l.times(Instant::from_nanos(0), lease, renew, rebind);
        [l.renew, l.rebind, l.end].map(|t| t.map_or(0, |t| t.as_nanos() / 1_000_000_000))
    }

    #[test]
    fn times_that_make_no_sense_are_not_a_servers_to_choose() {
        assert_eq!(times(120, None, None), [60, 105, 120]);
        assert_eq!(times(120, Some(30), Some(90)), [30, 90, 120]);
        assert_eq!(times(120, Some(0), Some(0)), [60, 105, 120]);
        assert_eq!(times(120, Some(110), Some(100)), [60, 100, 120]);
        assert_eq!(times(120, Some(500), Some(500)), [60, 105, 120]);
        assert_eq!(times(0, Some(0), Some(1)), [5, 7, 10]);
    }
}
