//! Frames in: what is for us, whole and sound goes to the protocol it names.

use super::reassembly::{Fragment, Outcome, PacketId};
use super::{HEADER, HEADER6, Header, ICMP, TCP, UDP, write_header};
use crate::checksum::Sum;
use crate::data::Data;
use crate::interface::Iface;
use crate::stack::Core;
use crate::traffic::{Lost, Protocol};
use crate::version::of6;
use crate::{icmp, udp};
use alloc::rc::Rc;
use core::net::{IpAddr, Ipv4Addr};
use fata_libos::net::{Checksum, ETHERNET_HEADER, MacAddress, Octets, Received};
use fata_libos::time::Instant;
use smoltcp::wire::{EthernetFrame, EthernetProtocol};

/// Frames shorter than that are copied whole: there is little to be saved.
const LEAST_TAKEN: usize = 512;
/// What is looked at of a frame, octets: all headers of a segment of TCP, if its packet has no options.
const HEADERS: usize = ETHERNET_HEADER + HEADER6 + 60;

/// What an IPv4 header says.
struct Packet {
    header: Header,
    protocol: u8,
    header_len: usize,
    /// Octets of the packet.
    total: usize,
    ident: u16,
    /// Where its data belongs in that of a larger packet, octets, and whether there is more behind it.
    fragment: (usize, bool),
}

impl Packet {
    /// Reads the header of a packet of at most `len` octets, of which the first are in `data`: what is for us, and sound.
    fn parse(iface: &Iface, data: &[u8], len: usize) -> Result<Self, Lost> {
        let fixed: &[u8; HEADER] = data.first_chunk().ok_or(Lost::IpMalformed)?;
        let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let address = |at: usize| Ipv4Addr::from([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        let (header_len, total) = (usize::from(fixed[0] & 15) * 4, usize::from(word(2)));
        if fixed[0] >> 4 != 4 || header_len < HEADER || !(header_len..=len).contains(&total) {
            return Err(Lost::IpMalformed);
        }
        let whole = data.get(..header_len).ok_or(Lost::IpMalformed)?;
        if !Sum::default().data(whole).is_valid() {
            return Err(Lost::IpChecksum);
        }
        let protocol = fixed[9];
        let header = iface.accepts(address(12), address(16), protocol).ok_or(Lost::IpNotOurs)?;
        let (ident, offset) = (word(4), word(6));
        let fragment = (usize::from(offset & 0x1fff) * 8, offset & 0x2000 != 0);
        let header = Header { marked: fixed[1] & 3 == 3, ..header };
        Ok(Self { header, protocol, header_len, total, ident, fragment })
    }

    fn is_whole(&self) -> bool {
        self.fragment == (0, false)
    }
}

/// Takes a long segment of TCP, or a long datagram of UDP, out of a frame that the device still has, so that its data is copied to
/// its place and nowhere else; false if the frame is anything else, of which [`receive_frame`] thinks what it has to. The link is
/// in use.
pub(crate) fn take_frame(
    core: &Rc<Core>,
    iface: &Rc<Iface>,
    now: Instant,
    mac: MacAddress,
    received: Received,
    frame: &dyn Octets,
) -> bool {
    if received.len < LEAST_TAKEN || received.checksum == Checksum::Complete {
        return false;
    }
    // Read once: the sender may still be able to write there.
    let mut head = [0; HEADERS];
    frame.read(0, &mut head);
    let (ethernet, packet) = head.split_at(ETHERNET_HEADER);
    if ethernet[..6] != mac.0 {
        return false;
    }
    let len = received.len - ETHERNET_HEADER;
    let (header, protocol, header_len, total) = match ethernet[12..] {
        [8, 0] => match Packet::parse(iface, packet, len) {
            Ok(ip) if ip.is_whole() => (ip.header, ip.protocol, ip.header_len, ip.total),
            _ => return false,
        },
        [0x86, 0xdd] => match iface.inet6().and_then(|inet6| inet6.segment(packet, len)) {
            Some((header, protocol, total)) => (header, protocol, HEADER6, total),
            None => return false,
        },
        _ => return false,
    };
    let header = Header { verified: true, ..header };
    let segment = &packet[header_len..total.min(packet.len())];
    let data = Data::new(frame, ETHERNET_HEADER + header_len, total - header_len);
    let taken = match protocol {
        TCP => {
            let tcp = core.tcp.in_use();
            tcp.is_some_and(|tcp| tcp.receive(core, iface, now, header, segment, Some(data)))
        }
        UDP => core.udp.in_use().is_some_and(|udp| udp.take(core, iface, header, segment, data)),
        _ => false,
    };
    if taken {
        iface.traffic.received(Protocol::Ip);
        core.counters.rx_packets.one();
        iface.traffic.received(if protocol == TCP { Protocol::Tcp } else { Protocol::Udp });
    }
    taken
}

/// Takes one frame from the device.
pub(crate) fn receive_frame(
    core: &Rc<Core>,
    iface: &Rc<Iface>,
    now: Instant,
    frame: &mut [u8],
    checksum: Checksum,
) {
    let lost = |what| iface.traffic.lost(&core.counters, what);
    let Ok(ethernet) = EthernetFrame::new_checked(&*frame) else { return lost(Lost::EthernetMalformed) };
    let to = ethernet.dst_addr();
    if to.0 != iface.link.borrow().mac().0 && !to.is_multicast() && !to.is_broadcast() {
        return lost(Lost::EthernetNotOurs);
    }
    let protocol = ethernet.ethertype();
    let payload = &mut frame[ETHERNET_HEADER..];
    match protocol {
        EthernetProtocol::Ipv4 => receive_packet(core, iface, now, payload, checksum),
        EthernetProtocol::Arp => iface.receive_arp(core, now, payload),
        EthernetProtocol::Ipv6 => match iface.inet6() {
            Some(inet6) => inet6.receive(core, iface, now, payload, checksum),
            None => lost(Lost::EthernetUnknown),
        },
        _ => lost(Lost::EthernetUnknown),
    }
}

fn receive_packet(core: &Rc<Core>, iface: &Rc<Iface>, now: Instant, data: &mut [u8], checksum: Checksum) {
    let counters = &core.counters;
    iface.traffic.received(Protocol::Ip);
    let ip = match Packet::parse(iface, data, data.len()) {
        Ok(ip) => ip,
        Err(what) => return iface.traffic.lost(counters, what),
    };
    counters.rx_packets.one();
    let Packet { header, protocol, header_len, total, ident, fragment: (offset, more) } = ip;
    if ip.is_whole() {
        let header = Header { verified: checksum != Checksum::Complete, ..header };
        return deliver(core, iface, now, header, protocol, &mut data[..total], header_len);
    }
    counters.fragments_received.one();
    let (source, destination) = (header.source, header.destination);
    let id = PacketId { source, destination, protocol, ident: ident.into() };
    let fragment = Fragment { id, offset, more, data: &data[header_len..total] };
    let outcome = iface.fragments.borrow_mut().add(now, fragment);
    match outcome {
        Outcome::Waiting => {}
        Outcome::Dropped => iface.traffic.lost(counters, Lost::IpFragment),
        Outcome::Complete(mut whole) => {
            counters.fragments_reassembled.one();
            let packet = &mut whole[HEADER6 - HEADER..];
            write_header(packet, source, destination, protocol, false);
            // Each fragment may have been marked, or none.
            let header = Header { marked: false, ..header };
            deliver(core, iface, now, header, protocol, packet, HEADER);
        }
    }
}

/// Hands what a packet carries to its protocol; `packet` begins with the IP header.
pub(crate) fn deliver(
    core: &Rc<Core>,
    iface: &Rc<Iface>,
    now: Instant,
    header: Header,
    protocol: u8,
    packet: &mut [u8],
    header_len: usize,
) {
    match protocol {
        TCP => match core.tcp.in_use() {
            Some(tcp) => {
                iface.traffic.received(Protocol::Tcp);
                tcp.receive(core, iface, now, header, &packet[header_len..], None);
            }
            None => unreachable_port(core, iface, now, header, packet),
        },
        UDP => udp::receive(core, iface, now, header, packet, header_len),
        ICMP if of6(header.source).is_none() => {
            icmp::receive(core, iface, now, header, &packet[header_len..])
        }
        _ => iface.traffic.lost(&core.counters, Lost::IpUnknown),
    }
}

/// Tells the sender of `packet` that nothing listens on its port.
pub(crate) fn unreachable_port(
    core: &Rc<Core>,
    iface: &Rc<Iface>,
    now: Instant,
    header: Header,
    packet: &[u8],
) {
    if !header.is_unicast || !core.icmp_ration.take(now) {
        return iface.traffic.lost(&core.counters, Lost::IcmpRationed);
    }
    match (header.destination, iface.inet6()) {
        (IpAddr::V4(_), _) => icmp::send_port_unreachable(core, iface, now, header, packet),
        (_, Some(inet6)) => inet6.send_port_unreachable(core, iface, now, header, packet),
        _ => {}
    }
}
