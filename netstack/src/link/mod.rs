//! The link layer of one interface: an Ethernet device, its neighbours, and the frames that wait for room.
//!
//! A packet is written straight into the device's own buffer. One whose next hop is unknown waits in
//! [`arp::Neighbours`]; one that finds the device full waits in a short queue, except TCP's, which keeps its own data and
//! asks [`Link::has_room`] first.

mod arp;
mod asking;
#[cfg(test)]
mod tests;

pub(crate) use arp::{Neighbours, News};

use crate::capture::Tap;
use crate::checksum::Sum;
use crate::memory::{Memory, Use};
use crate::stats::Counters;
use crate::traffic::{Direction, Lost, Protocol, Traffic};
use crate::version::{self, header_len, in_use, of6};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use arp::{Answer, Waiting};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use fata_libos::net::{
    Arrived, Checksum, ETHERNET_HEADER, MacAddress, NetDevice, Take, TransmitError, TransmitMeta,
};
use fata_libos::time::Instant;
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol};

/// Frames that wait for room in the device, and those of them that go in one turn where connections wait too.
const QUEUE: usize = 256;
const TURN: usize = 12;
/// Datagrams leave so many places to what does not wait for room: the answers of this host to SYNs, to ARP, to ICMP.
const KEPT: usize = QUEUE / 4;
/// The largest packet, and TCP header, octets.
const MAX_PACKET: usize = 65_535;
const TCP_MOST: usize = 60;
const BROADCAST: MacAddress = MacAddress([0xff; 6]);

/// Where on the link a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    /// To the neighbour with this address.
    Neighbour(IpAddr),
    /// To all.
    Broadcast,
    /// To those who listen to this group.
    Group(IpAddr),
}

/// What a packet carries, and so where its second checksum stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// TCP: the checksum is filled in here.
    Tcp,
    /// UDP: likewise.
    Udp,
    /// Anything else: the packet is complete.
    Other,
}

/// What is said of a packet to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Send {
    pub(crate) now: Instant,
    /// This host's address.
    pub(crate) own: IpAddr,
    pub(crate) hop: Hop,
    /// Octets of the packet.
    pub(crate) len: usize,
    pub(crate) carries: Carries,
    /// TCP data in each of the packets into which the device is to cut it, octets; 0 for one that is whole.
    pub(crate) segment_size: usize,
}

/// See the module.
pub(crate) struct Link {
    device: Box<dyn NetDevice>,
    neighbours: Neighbours,
    queue: VecDeque<Waiting>,
    /// The first of them is a connection's, which sends nothing more before it.
    held: bool,
    /// The last turn was that of the queue.
    had_turn: bool,
    max_mtu: usize,
    memory: Rc<Memory>,
    traffic: Rc<Traffic>,
    tap: Option<Tap>,
    /// When the address is announced again.
    again: Option<Instant>,
    /// Asks for a neighbour of IPv6, if the interface has it.
    solicit: Option<Solicit>,
}

/// Asks with an address of ours for a neighbour, all of its group, or where it was.
pub(crate) type Solicit = fn(&mut Link, Ipv6Addr, Ipv6Addr, Option<MacAddress>, &Counters);

impl Link {
    pub(crate) fn new(
        device: Box<dyn NetDevice>,
        max_mtu: Option<u16>,
        memory: &Rc<Memory>,
        traffic: &Rc<Traffic>,
    ) -> Self {
        let max_mtu = max_mtu.map_or(usize::from(u16::MAX), usize::from);
        let (neighbours, memory) = (Neighbours::new(memory), memory.clone());
        Self {
            device,
            neighbours,
            queue: VecDeque::new(),
            held: false,
            had_turn: false,
            max_mtu,
            memory,
            traffic: traffic.clone(),
            tap: None,
            again: None,
            solicit: None,
        }
    }

    /// From now on it carries IPv6.
    pub(crate) fn set_solicit(&mut self, solicit: Solicit) {
        self.solicit = Some(solicit);
    }

    /// Shows all frames to a tap from now on.
    pub(crate) fn set_tap(&mut self, tap: Option<Tap>) {
        self.tap = tap;
    }

    /// Takes the next frame from the device. A tap wants all frames whole.
    pub(crate) fn receive(&mut self, buf: &mut [u8], take: &mut Take<'_>) -> Option<Arrived> {
        let Some(tap) = &self.tap else { return self.device.receive_into(buf, take) };
        let received = self.device.receive(buf)?;
        tap.frame(Direction::Rx, &buf[..received.len.min(buf.len())]);
        Some(Arrived::Whole(received))
    }

    /// Gives a frame to the device; a tap sees it as it is given.
    fn transmit(
        &mut self,
        len: usize,
        meta: TransmitMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), TransmitError> {
        let Some(tap) = &self.tap else { return self.device.transmit(len, meta, fill) };
        self.device.transmit(len, meta, &mut |frame| {
            fill(frame);
            tap.frame(Direction::Tx, frame);
        })
    }

    pub(crate) fn device(&mut self) -> &mut dyn NetDevice {
        &mut *self.device
    }

    /// The largest IP packet, octets; never less than every IPv4 host takes.
    pub(crate) fn mtu(&self) -> usize {
        self.device.mtu().min(self.max_mtu).max(576)
    }

    /// Limits the size of IP packets.
    pub(crate) fn limit_mtu(&mut self, octets: u16) {
        self.max_mtu = usize::from(octets);
    }

    pub(crate) fn mac(&self) -> MacAddress {
        self.device.mac()
    }

    /// Whether a packet of a connection would go out at once.
    pub(crate) fn has_room(&self) -> bool {
        !self.held && self.device.can_transmit()
    }

    /// Whether the device takes nothing now.
    pub(crate) fn is_full(&self) -> bool {
        !self.device.can_transmit()
    }

    /// Whether frames wait for the device.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether the next turn is that of the frames that wait, and not that of the `others` if there are any: then it begins.
    pub(crate) fn begins_turn(&mut self, others: bool) -> bool {
        self.had_turn = !self.queue.is_empty() && (!others || self.held || !self.had_turn);
        self.had_turn
    }

    /// Sends some of the frames that wait; false if the device has no room for the first.
    pub(crate) fn send_waiting(&mut self, counters: &Counters) -> bool {
        for _ in 0..TURN {
            if !self.device.can_transmit() {
                break;
            }
            let Some(waiting) = self.queue.pop_front() else { break };
            let Waiting { frame, meta, .. } = &waiting;
            match self.transmit(frame.len(), *meta, &mut |buf| buf.copy_from_slice(frame)) {
                Ok(()) => {}
                // Room for a usual frame is not room for a large one.
                Err(TransmitError::Full) => {
                    self.queue.push_front(waiting);
                    // What is freed little by little is kept for it.
                    self.held |= self.device.can_transmit();
                    return false;
                }
                Err(error) => self.traffic.lost(counters, refused(error)),
            }
            if core::mem::take(&mut self.held) {
                // It was as much as all the others.
                break;
            }
        }
        true
    }

    /// Whether the queue takes another datagram.
    pub(crate) fn has_queue_room(&self) -> bool {
        self.queue.len() < QUEUE - KEPT && self.memory.used(Use::Frames) < self.memory.limit(Use::Frames) / 2
    }

    /// Forgets neighbours and what waits: the link was down.
    pub(crate) fn reset(&mut self) {
        self.neighbours.clear();
        self.queue.clear();
        self.held = false;
        self.again = None;
    }

    /// Forgets neighbours of IPv4 and what waits for them: the interface has another address of it.
    pub(crate) fn reset_v4(&mut self) {
        self.neighbours.clear_v4();
        self.again = None;
    }

    /// When it has something to do that does not wait for room.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.neighbours.deadline().into_iter().chain(self.again).min()
    }

    /// Whether [`poll`](Self::poll) has something to do.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|at| at <= now)
    }

    /// Announces the address and asks for neighbours once more. Returns those given up.
    /// `announced` is the address that neighbours are told of, and `own` has that with which one of them is asked for.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        announced: Option<Ipv4Addr>,
        own: &dyn Fn(IpAddr) -> Option<IpAddr>,
        counters: &Counters,
    ) -> Vec<IpAddr> {
        let again = self.again.take_if(|at| *at <= now);
        if let Some(own) = announced.filter(|_| again.is_some()) {
            self.claim(own, counters);
        }
        let due = self.neighbours.poll(now);
        for (hop, mac) in due.ask {
            if let Some(own) = own(hop) {
                self.ask(own, hop, mac, counters);
            }
        }
        counters.arp_unanswered.add(due.lost.len() as u64);
        self.traffic.lost_many(counters, Lost::IpNoNeighbour, due.dropped as u64);
        due.lost
    }

    /// The largest TCP data to a host that the device cuts into segments, octets; 0 where it does not.
    pub(crate) fn largest_send(&self, to: IpAddr) -> usize {
        let (most, offloads) = (MAX_PACKET - header_len(to) - TCP_MOST, self.device.offloads());
        let cuts = match of6(to) {
            None => offloads.tx_segmentation_v4,
            Some(_) => offloads.tx_segmentation_v6,
        };
        cuts.min(most)
    }

    /// Sends an IP packet, written by `fill`, which is called once or never. The checksum inside what it carries is completed
    /// here or left to the device.
    pub(crate) fn send(&mut self, send: Send, counters: &Counters, fill: &mut dyn FnMut(&mut [u8])) {
        let Send { now, own, hop, len, carries, segment_size } = send;
        let offloads = self.device.offloads();
        let (completes, protocol) = match of6(own) {
            None => (offloads.tx_checksum_v4, EthernetProtocol::Ipv4),
            Some(_) => (offloads.tx_checksum_v6, EthernetProtocol::Ipv6),
        };
        let partial = carries != Carries::Other && completes || segment_size > 0;
        let meta = match (segment_size, partial) {
            (0, true) => TransmitMeta::new(Checksum::Partial),
            (0, false) => TransmitMeta::new(Checksum::Complete),
            (size, _) => TransmitMeta::segmented(size),
        };
        let mut build = |packet: &mut [u8]| {
            fill(packet);
            complete(packet, carries, partial);
        };
        counters.tx_packets.one();
        self.traffic.sent(Protocol::Ip);
        if carries == Carries::Tcp {
            self.traffic.sent(Protocol::Tcp);
        }
        let to = match hop {
            Hop::Broadcast => BROADCAST,
            Hop::Group(group) => group_mac(group),
            Hop::Neighbour(hop) => match self.neighbours.lookup(now, hop) {
                Answer::Known { mac, ask } => {
                    if ask {
                        self.ask(own, hop, Some(mac), counters);
                    }
                    mac
                }
                Answer::Unknown { ask } => {
                    if ask {
                        self.ask(own, hop, None, counters);
                    }
                    let header = self.header(BROADCAST, protocol);
                    let Some(frame) = self.neighbours.wait(hop, ETHERNET_HEADER + len, meta) else {
                        return self.traffic.lost(counters, Lost::IpNoNeighbour);
                    };
                    frame[..ETHERNET_HEADER].copy_from_slice(&header);
                    return build(&mut frame[ETHERNET_HEADER..]);
                }
            },
        };
        self.send_frame(self.header(to, protocol), len, (meta, carries), counters, &mut build);
    }

    /// Counts a packet of a protocol above IP.
    pub(crate) fn sends(&self, protocol: Protocol) {
        self.traffic.sent(protocol);
    }

    /// Sends a packet of IPv6 that is complete to a hardware address.
    pub(crate) fn send_to(
        &mut self,
        to: MacAddress,
        len: usize,
        counters: &Counters,
        fill: &mut dyn FnMut(&mut [u8]),
    ) {
        counters.tx_packets.one();
        self.traffic.sent(Protocol::Ip);
        let what = (TransmitMeta::default(), Carries::Other);
        self.send_frame(self.header(to, EthernetProtocol::Ipv6), len, what, counters, fill);
    }

    fn header(&self, to: MacAddress, protocol: EthernetProtocol) -> [u8; ETHERNET_HEADER] {
        let mut header = [0; ETHERNET_HEADER];
        let mut frame = EthernetFrame::new_unchecked(&mut header);
        frame.set_dst_addr(EthernetAddress(to.0));
        frame.set_src_addr(EthernetAddress(self.mac().0));
        frame.set_ethertype(protocol);
        header
    }

    /// Gives a frame to the device, or puts it into the queue: always one of TCP, which takes turns with the queue, to the device
    /// first.
    fn send_frame(
        &mut self,
        header: [u8; ETHERNET_HEADER],
        len: usize,
        (meta, carries): (TransmitMeta, Carries),
        counters: &Counters,
        fill: &mut dyn FnMut(&mut [u8]),
    ) {
        let total = ETHERNET_HEADER + len;
        let mut build = |frame: &mut [u8]| {
            let (head, packet) = frame.split_at_mut(ETHERNET_HEADER);
            head.copy_from_slice(&header);
            fill(packet);
        };
        if carries == Carries::Tcp || self.queue.is_empty() {
            match self.transmit(total, meta, &mut build) {
                Ok(()) => return,
                Err(TransmitError::Full) => {}
                Err(error) => return self.traffic.lost(counters, refused(error)),
            }
        }
        let waiting = Waiting::new(&self.memory, total, meta).is_some_and(|mut waiting| {
            build(&mut waiting.frame);
            if carries == Carries::Tcp && !self.held && self.device.can_transmit() {
                // It is too large for the room that there is, and what follows on it is not to overtake it.
                self.held = self.queue.try_reserve(1).is_ok();
                if self.held {
                    self.queue.push_front(waiting);
                }
                return self.held;
            }
            self.enqueue(waiting)
        });
        if !waiting {
            self.traffic.lost(counters, Lost::EthernetFull);
        }
    }

    /// Puts a frame into the queue; false if there is no room.
    fn enqueue(&mut self, waiting: Waiting) -> bool {
        let has_room = self.queue.len() < QUEUE && self.queue.try_reserve(1).is_ok();
        if has_room {
            self.queue.push_back(waiting);
        }
        has_room
    }
}

/// Why a frame is lost that the device did not take.
fn refused(error: TransmitError) -> Lost {
    match error {
        TransmitError::Full => Lost::EthernetFull,
        TransmitError::Down => Lost::EthernetDown,
        TransmitError::TooLong { .. } => Lost::EthernetTooLong,
    }
}

/// Fills in the checksum of what a packet without options or extension headers carries: all of it, or where the device does
/// the rest, the sum over the pseudo-header.
fn complete(packet: &mut [u8], carries: Carries, partial: bool) {
    let is_v4 = !in_use() || packet[0] >> 4 == 4;
    let (header, addresses) = if is_v4 { (version::HEADER, 12..20) } else { (version::HEADER6, 8..40) };
    let (field, protocol) = match carries {
        Carries::Tcp => (header + 16, version::TCP),
        Carries::Udp => (header + 6, version::UDP),
        Carries::Other => return,
    };
    let sum = Sum::default().data(&packet[addresses]).words(protocol, packet.len() - header);
    packet[field..field + 2].fill(0);
    let value = match (partial, carries) {
        (true, _) => sum.folded(),
        (false, Carries::Udp) => match sum.data(&packet[header..]).finish() {
            0 => 0xffff,
            sum => sum,
        },
        (false, _) => sum.data(&packet[header..]).finish(),
    };
    packet[field..field + 2].copy_from_slice(&value.to_be_bytes());
}

/// The hardware address of a group (RFC 1112, 6.4; RFC 2464, 7).
pub(crate) fn group_mac(group: IpAddr) -> MacAddress {
    match group {
        IpAddr::V4(group) => {
            let [_, b, c, d] = group.octets();
            MacAddress([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(group) => {
            let [.., a, b, c, d] = group.octets();
            MacAddress([0x33, 0x33, a, b, c, d])
        }
    }
}
