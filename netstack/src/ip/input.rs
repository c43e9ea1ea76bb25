//! Frames in: what is for us, whole and sound goes to the protocol it names.

use super::reassembly::{Fragment, Outcome, PacketId};
use super::{HEADER, Header, ICMP, TCP, UDP, write_header};
use crate::checksum::Sum;
use crate::interface::Iface;
use crate::stack::Core;
use crate::traffic::{Lost, Protocol};
use crate::{icmp, udp};
use alloc::rc::Rc;
use fata_libos::net::{Checksum, ETHERNET_HEADER};
use fata_libos::time::Instant;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, Ipv4Packet};

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
        _ => lost(Lost::EthernetUnknown),
    }
}

fn receive_packet(core: &Rc<Core>, iface: &Rc<Iface>, now: Instant, data: &mut [u8], checksum: Checksum) {
    let counters = &core.counters;
    let lost = |what| iface.traffic.lost(counters, what);
    iface.traffic.received(Protocol::Ip);
    let Ok(ip) = Ipv4Packet::new_checked(&*data) else { return lost(Lost::IpMalformed) };
    let header_len = usize::from(ip.header_len());
    let total = usize::from(ip.total_len());
    if ip.version() != 4 {
        return lost(Lost::IpMalformed);
    }
    if !Sum::default().data(&data[..header_len]).is_valid() {
        return lost(Lost::IpChecksum);
    }
    let protocol: u8 = ip.next_header().into();
    let (source, destination) = (ip.src_addr(), ip.dst_addr());
    let Some(header) = iface.accepts(source, destination, protocol) else {
        return lost(Lost::IpNotOurs);
    };
    counters.rx_packets.one();
    if !ip.more_frags() && ip.frag_offset() == 0 {
        let verified = checksum != Checksum::Complete;
        let marked = data[1] & 3 == 3;
        return deliver(
            core,
            iface,
            now,
            Header { verified, marked, ..header },
            protocol,
            &mut data[..total],
            header_len,
        );
    }
    counters.fragments_received.one();
    let id = PacketId { source, destination, protocol, ident: ip.ident() };
    let (offset, more) = (usize::from(ip.frag_offset()), ip.more_frags());
    let fragment = Fragment { id, offset, more, data: &data[header_len..total] };
    let outcome = iface.fragments.borrow_mut().add(now, fragment);
    match outcome {
        Outcome::Waiting => {}
        Outcome::Dropped => lost(Lost::IpFragment),
        Outcome::Complete(mut whole) => {
            counters.fragments_reassembled.one();
            write_header(&mut whole, source, destination, protocol, false);
            deliver(core, iface, now, header, protocol, &mut whole, HEADER);
        }
    }
}

fn deliver(
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
                tcp.receive(core, iface, now, header, packet, header_len);
            }
            None => icmp::send_port_unreachable(core, iface, now, header, packet),
        },
        UDP => udp::receive(core, iface, now, header, packet, header_len),
        ICMP => icmp::receive(core, iface, now, header, &packet[header_len..]),
        _ => iface.traffic.lost(&core.counters, Lost::IpUnknown),
    }
}
