//! Who is where on the link: ARP (RFC 826, 5227), and what is learned of neighbours in either version's way. Neighbour discovery
//! itself is IPv6's.

use super::{BROADCAST, Carries, Link, News};
use crate::stats::Counters;
use crate::traffic::{Lost, Protocol};
use crate::version::in_use;
use core::net::{IpAddr, Ipv4Addr};
use fata_libos::net::{MacAddress, TransmitMeta};
use fata_libos::time::{Duration, Instant};
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetProtocol};

/// RFC 5227, 1.1: ANNOUNCE_INTERVAL. An announcement is made twice: whoever misses one keeps the hardware address that had
/// this one's before.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);

impl Link {
    /// Answers an ARP packet and learns from it. `true` if it claims the address `own` for somebody else.
    pub(crate) fn receive_arp(
        &mut self,
        now: Instant,
        own: Ipv4Addr,
        packet: &[u8],
        counters: &Counters,
    ) -> bool {
        self.traffic.received(Protocol::Arp);
        let Ok(arp) = ArpPacket::new_checked(packet).and_then(|p| ArpRepr::parse(&p)) else {
            self.traffic.lost(counters, Lost::ArpMalformed);
            return false;
        };
        let ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: EthernetAddress(mac),
            source_protocol_addr: source,
            target_protocol_addr: target,
            ..
        } = arp
        else {
            return false;
        };
        let mac = MacAddress(mac);
        if mac.is_multicast() || mac == self.mac() || mac.0 == [0; 6] {
            return false;
        }
        if source == own {
            counters.arp_conflicts.one();
            return true;
        }
        let for_us = target == own;
        if !source.is_unspecified() && !source.is_broadcast() && !source.is_multicast() {
            let create = for_us && operation == ArpOperation::Request;
            self.learn(now, source.into(), mac, News { create, answers: true, replace: true }, counters);
        }
        if for_us && operation == ArpOperation::Request {
            self.send_arp(mac, ArpOperation::Reply, own, mac, source, counters);
        }
        false
    }

    /// Tells all neighbours that `own` is here, now and once more (RFC 5227, 2.3).
    pub(crate) fn announce(&mut self, own: Ipv4Addr, counters: &Counters) {
        self.again = Some(Instant::recent() + ANNOUNCE_INTERVAL);
        self.claim(own, counters);
    }

    /// Tells them once (RFC 5227, 2.4).
    pub(crate) fn claim(&mut self, own: Ipv4Addr, counters: &Counters) {
        self.send_arp(BROADCAST, ArpOperation::Request, own, MacAddress([0; 6]), own, counters);
    }

    /// Where a neighbour is, if that is known.
    pub(crate) fn neighbour(&self, address: IpAddr) -> Option<MacAddress> {
        self.neighbours.mac_of(address)
    }

    /// Learns where a neighbour is, and sends what waited for that.
    pub(crate) fn learn(
        &mut self,
        now: Instant,
        neighbour: IpAddr,
        mac: MacAddress,
        news: News,
        counters: &Counters,
    ) {
        for mut waiting in self.neighbours.learn(now, neighbour, mac, news) {
            waiting.frame[..6].copy_from_slice(&mac.0);
            if !self.enqueue(waiting) {
                self.traffic.lost(counters, Lost::EthernetFull);
            }
        }
    }

    pub(super) fn ask(&mut self, own: IpAddr, hop: IpAddr, mac: Option<MacAddress>, counters: &Counters) {
        match (own, hop) {
            (IpAddr::V4(own), IpAddr::V4(hop)) => {
                self.send_arp(BROADCAST, ArpOperation::Request, own, MacAddress([0; 6]), hop, counters);
            }
            (IpAddr::V6(own), IpAddr::V6(hop)) => {
                if let Some(solicit) = self.solicit.filter(|_| in_use()) {
                    solicit(self, own, hop, mac, counters);
                }
            }
            _ => {}
        }
    }

    fn send_arp(
        &mut self,
        to: MacAddress,
        operation: ArpOperation,
        source: Ipv4Addr,
        target_mac: MacAddress,
        target: Ipv4Addr,
        counters: &Counters,
    ) {
        let arp = ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: EthernetAddress(self.mac().0),
            source_protocol_addr: source,
            target_hardware_addr: EthernetAddress(target_mac.0),
            target_protocol_addr: target,
        };
        self.traffic.sent(Protocol::Arp);
        let fill = &mut |buf: &mut [u8]| arp.emit(&mut ArpPacket::new_unchecked(buf));
        let (header, what) =
            (self.header(to, EthernetProtocol::Arp), (TransmitMeta::default(), Carries::Other));
        self.send_frame(header, arp.buffer_len(), what, counters, fill);
    }
}
