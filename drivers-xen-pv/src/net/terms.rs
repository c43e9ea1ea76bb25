//! What both ends say of themselves in XenStore, and what follows for the connection.

use super::cut::Segmentation;
use super::fault::NetFault;
use super::link::Terms;
use super::queue::{Channels, Queue};
use crate::abi::netif::MAX_TX_SIZE;
use crate::xenbus::{Backend, Device, Keys, Numbers, XenbusState};
use crate::xenstore::{Later, StoreError};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use fata_libos::net::{ETHERNET_HEADER, MacAddress, Offloads};

/// The MTU where nothing says otherwise, octets.
const DEFAULT_MTU: usize = 1500;
/// The least that the stack works with, octets: what every host of IPv4 takes (RFC 791, 3.1).
const MIN_MTU: usize = 576;
/// The most that a transmit request can say.
const MAX_MTU: usize = MAX_TX_SIZE - ETHERNET_HEADER;
/// The most octets of headers in a frame to be cut up: IPv4 and TCP with all options.
const MAX_HEADERS: usize = ETHERNET_HEADER + 60 + 60;

/// What the toolstack has written for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) mac: MacAddress,
    pub(super) mtu: usize,
}

impl Identity {
    pub(super) fn read(device: &Device) -> Later<'_, Self> {
        let (mac, mtu) = (device.read::<String>("mac"), device.read_optional("mtu"));
        Box::pin(async move {
            let (mac, mtu) = (mac.await?, mtu.await?.map_or(DEFAULT_MTU, |mtu: u32| mtu as usize));
            let bad = |key: &str, value: String, expected| {
                StoreError::bad_value(format!("{}/{key}", device.path()), value, expected)
            };
            let Some(parsed) = parse_mac(&mac) else { return Err(bad("mac", mac, "address of one device")) };
            if !(MIN_MTU..=MAX_MTU).contains(&mtu) {
                return Err(bad("mtu", mtu.to_string(), "length of a packet, 576 to 65521"));
            }
            Ok(Self { mac: parsed, mtu })
        })
    }

    /// The terms before a back end has said anything.
    pub(super) fn terms(self) -> Terms {
        Terms { mac: self.mac, mtu: self.mtu.min(DEFAULT_MTU), offloads: Offloads::default() }
    }
}

/// Six pairs of hexadecimal digits of a single device's address: not a group's, not all zeroes.
fn parse_mac(text: &str) -> Option<MacAddress> {
    let mut octets = [0; 6];
    let mut parts = text.split(':');
    for octet in &mut octets {
        let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *octet = u8::from_str_radix(part, 16).ok()?;
    }
    let mac = MacAddress(octets);
    let single = parts.next().is_none() && !mac.is_multicast() && octets != [0; 6];
    single.then_some(mac)
}

/// What a back end offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    copies: bool,
    several_slots: bool,
    checksum_v4: bool,
    checksum_v6: bool,
    segments_v4: bool,
    segments_v6: bool,
    split_channels: bool,
    /// Queues possible; one that knows nothing of several does not say.
    max_queues: Option<u32>,
}

/// What a back end may say of itself, in the order of the fields of [`Features`].
const KEYS: [&str; 8] = [
    "feature-rx-copy",
    "feature-sg",
    "feature-no-csum-offload",
    "feature-ipv6-csum-offload",
    "feature-gso-tcpv4",
    "feature-gso-tcpv6",
    "feature-split-event-channels",
    "multi-queue-max-queues",
];

/// For the log: what it has, each with a space before it.
impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (has, name) in [
            (self.copies, "copies"),
            (self.several_slots, "several slots"),
            (self.checksum_v4, "checksum v4"),
            (self.checksum_v6, "checksum v6"),
            (self.segments_v4, "segments v4"),
            (self.segments_v6, "segments v6"),
            (self.split_channels, "split channels"),
        ] {
            if has {
                write!(f, " {name},")?;
            }
        }
        write!(f, " queues: {}", self.max_queues())
    }
}

impl Features {
    /// Asks for all that a back end says of itself.
    pub(super) fn ask(backend: &Backend) -> Numbers {
        backend.numbers(&KEYS)
    }

    /// What it said.
    pub(super) fn of(numbers: &[Option<u32>]) -> Self {
        let number = |at: usize| numbers.get(at).copied().flatten();
        let has = |at| number(at).is_some_and(|number| number != 0);
        Self {
            copies: has(0),
            several_slots: has(1),
            checksum_v4: !has(2),
            checksum_v6: has(3),
            segments_v4: has(4),
            segments_v6: has(5),
            split_channels: has(6),
            max_queues: number(7),
        }
    }

    /// What follows for a device; a back end that cannot copy into granted pages is of no use.
    pub(super) fn terms(&self, identity: Identity, backend: &Backend) -> Result<Terms, NetFault> {
        if !self.copies {
            let key = format!("{}/feature-rx-copy", backend.path());
            return Err(NetFault::key(key, None, "1"));
        }
        let mtu = if self.several_slots { identity.mtu } else { identity.mtu.min(DEFAULT_MTU) };
        let mut offloads = Offloads::default();
        offloads.tx_checksum_v4 = self.checksum_v4;
        offloads.tx_checksum_v6 = self.checksum_v6;
        Ok(Terms { mac: identity.mac, mtu, offloads })
    }

    /// What it cuts up: only packets of several slots that it completes checksums of.
    pub(super) fn segmentation(&self) -> Segmentation {
        Segmentation {
            v4: self.segments_v4 && self.several_slots && self.checksum_v4,
            v6: self.segments_v6 && self.several_slots && self.checksum_v6,
        }
    }

    /// Queues possible.
    pub(super) fn max_queues(&self) -> u32 {
        self.max_queues.unwrap_or(1)
    }

    pub(super) fn channels(&self) -> Channels {
        if self.split_channels { Channels::Split } else { Channels::One }
    }
}

/// What a queue that takes frames of `longest` octets to be cut up adds to the terms.
pub(super) fn add_segmentation(offloads: &mut Offloads, agreed: Segmentation, longest: usize) {
    let payload = longest.saturating_sub(MAX_HEADERS);
    offloads.tx_segmentation_v4 = if agreed.v4 { payload } else { 0 };
    offloads.tx_segmentation_v6 = if agreed.v6 { payload } else { 0 };
}

/// Says to the back end where the queues are, and what it may send, and that this end is connected.
pub(super) async fn publish(
    device: &Device,
    features: &Features,
    queues: &[Queue],
) -> Result<(), StoreError> {
    device.publish(&keys(features, queues), Some(XenbusState::Connected)).await
}

/// The keys to be written with their values, and those to be removed, which an earlier connection may have left.
fn keys(features: &Features, queues: &[Queue]) -> Keys {
    let mut keys = Keys::default();
    for (key, value) in [
        ("request-rx-copy", 1),
        ("feature-rx-notify", 1),
        ("feature-sg", 1),
        ("feature-no-csum-offload", 0),
        ("feature-ipv6-csum-offload", 1),
        ("feature-gso-tcpv4", 1),
        ("feature-gso-tcpv6", 1),
    ] {
        keys.add("", key, Some(value));
    }
    if features.max_queues.is_some() {
        keys.add("", "multi-queue-num-queues", Some(queues.len() as u32));
    }
    for (number, queue) in queues.iter().enumerate() {
        // One has its keys in the device's own directory, as there always were.
        let place = if queues.len() > 1 { format!("queue-{number}/") } else { String::new() };
        let ((tx_ring, rx_ring), (tx_port, rx_port)) = (queue.ring_refs(), queue.ports());
        let is_split = tx_port != rx_port;
        for (key, value) in [
            ("tx-ring-ref", Some(tx_ring.0)),
            ("rx-ring-ref", Some(rx_ring.0)),
            ("event-channel", (!is_split).then_some(tx_port.0)),
            ("event-channel-tx", is_split.then_some(tx_port.0)),
            ("event-channel-rx", is_split.then_some(rx_port.0)),
        ] {
            keys.add(&place, key, value);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::parse_mac;

    #[test]
    fn addresses_are_six_pairs_of_one_device() {
        assert_eq!(parse_mac("00:16:3e:0A:ff:01").unwrap().0, [0, 0x16, 0x3e, 0x0a, 0xff, 1]);
        for bad in [
            "",
            "00:16:3e:0a:ff",
            "00:16:3e:0a:ff:01:02",
            "00:16:3e:0a:ff:1",
            "00:16:3e:0a:ff:+1",
            "01:16:3e:0a:ff:01",
            "00:00:00:00:00:00",
            "0016.3e0a.ff01",
        ] {
            assert_eq!(parse_mac(bad), None, "{bad}");
        }
    }
}
