//! What both ends say of themselves in XenStore, and what follows for the connection.

use super::fault::NetFault;
use super::link::Terms;
use super::queue::{Channels, Queue};
use crate::abi::netif::MAX_TX_SIZE;
use crate::xenbus::{Backend, Device, XenbusState};
use crate::xenstore::{Changes, StoreError};
use alloc::format;
use alloc::string::{String, ToString};
use fata_libos::net::{ETHERNET_HEADER, MacAddress, Offloads};

/// The MTU where nothing says otherwise, octets.
const DEFAULT_MTU: usize = 1500;
/// The least that IPv4 asks of a link, octets.
const MIN_MTU: usize = 576;
/// The most that a transmit request can say.
const MAX_MTU: usize = MAX_TX_SIZE - ETHERNET_HEADER;

/// What the toolstack has written for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) mac: MacAddress,
    pub(super) mtu: usize,
}

impl Identity {
    pub(super) async fn read(device: &Device) -> Result<Self, StoreError> {
        let (mac, mtu) = (device.read::<String>("mac"), device.read_optional("mtu"));
        let (mac, mtu) = (mac.await?, mtu.await?.unwrap_or(DEFAULT_MTU));
        let bad = |key: &str, value: String, expected| StoreError::BadValue {
            key: format!("{}/{key}", device.path()),
            value,
            expected,
        };
        let Some(parsed) = parse_mac(&mac) else { return Err(bad("mac", mac, "address of one device")) };
        if !(MIN_MTU..=MAX_MTU).contains(&mtu) {
            return Err(bad("mtu", mtu.to_string(), "length of a packet, 68 to 65521"));
        }
        Ok(Self { mac: parsed, mtu })
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
    split_channels: bool,
    /// Queues possible; one is used.
    max_queues: u32,
}

impl Features {
    pub(super) async fn read(backend: &Backend) -> Result<Self, StoreError> {
        // All asked for before the first is awaited: one wait.
        let asked = [
            "feature-rx-copy",
            "feature-sg",
            "feature-no-csum-offload",
            "feature-ipv6-csum-offload",
            "feature-split-event-channels",
        ]
        .map(|key| backend.has_feature(key));
        let max_queues = backend.read_optional("multi-queue-max-queues");
        let mut said = [false; 5];
        for (said, asked) in said.iter_mut().zip(asked) {
            *said = asked.await?;
        }
        let [copies, several_slots, no_checksum_v4, checksum_v6, split_channels] = said;
        let max_queues = max_queues.await?.unwrap_or(1);
        let checksum_v4 = !no_checksum_v4;
        Ok(Self { copies, several_slots, checksum_v4, checksum_v6, split_channels, max_queues })
    }

    /// What follows for a device; a back end that cannot copy into granted pages is of no use.
    pub(super) fn terms(&self, identity: Identity, backend: &Backend) -> Result<Terms, NetFault> {
        if !self.copies {
            let key = format!("{}/feature-rx-copy", backend.path());
            return Err(NetFault::Key { key, seen: None, expected: "1" });
        }
        let mtu = if self.several_slots { identity.mtu } else { identity.mtu.min(DEFAULT_MTU) };
        let mut offloads = Offloads::default();
        offloads.tx_checksum_v4 = self.checksum_v4;
        offloads.tx_checksum_v6 = self.checksum_v6;
        Ok(Terms { mac: identity.mac, mtu, offloads })
    }

    pub(super) fn channels(&self) -> Channels {
        if self.split_channels { Channels::Split } else { Channels::One }
    }
}

/// Says to the back end where the queue is and what it may send, and that this end is connected.
pub(super) async fn publish(device: &Device, queue: &Queue) -> Result<(), StoreError> {
    let (tx_ring, rx_ring) = queue.ring_refs();
    let (tx_port, rx_port) = queue.ports();
    let keys = [
        ("tx-ring-ref", tx_ring.0),
        ("rx-ring-ref", rx_ring.0),
        ("request-rx-copy", 1),
        ("feature-rx-notify", 1),
        ("feature-sg", 1),
        ("feature-no-csum-offload", 0),
        ("feature-ipv6-csum-offload", 1),
    ];
    device
        .store()
        .transaction(async |store| {
            let mut changes = Changes::default();
            for (key, value) in keys {
                changes.add(device.write_in(store, key, value));
            }
            // What an earlier connection may have left goes.
            let remove = |key: &str| store.rm(&format!("{}/{key}", device.path()));
            if tx_port == rx_port {
                changes.add(remove("event-channel-tx"));
                changes.add(remove("event-channel-rx"));
                changes.add(device.write_in(store, "event-channel", tx_port));
            } else {
                changes.add(remove("event-channel"));
                changes.add(device.write_in(store, "event-channel-tx", tx_port));
                changes.add(device.write_in(store, "event-channel-rx", rx_port));
            }
            let shown = device.switch_state_in(store, XenbusState::Connected);
            changes.done().await?;
            shown.await
        })
        .await
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
