//! The state machine of one connection: smoltcp's socket, alone in a set of its own, under an interface of its own.
//!
//! An interface for each connection costs some hundred octets and gives each its own initial sequence number from the
//! generator (smoltcp's own numbers follow from each other), its own MTU, and nothing to search. Packets go in and out
//! as IP packets; their checksums are somebody else's matter.

use super::segment::{Segment, before};
use crate::ip::HEADER;
use crate::memory::zeroed;
use alloc::vec;
use core::net::{Ipv4Addr, SocketAddrV4};
use fata_libos::time::Instant;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::Instant as Micros;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, TcpPacket, TcpSeqNumber};

/// The largest window without scaling, octets.
const UNSCALED: usize = 65_535;

/// Where a machine's packets go.
pub(crate) trait Wire {
    /// Whether a packet would be taken at once.
    fn has_room(&self) -> bool;
    /// Takes a packet of `len` octets, written by `fill`, or drops it without calling that.
    fn send(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8]));
}

/// A wire that leads nowhere.
pub(crate) struct Nowhere;

impl Wire for Nowhere {
    fn has_room(&self) -> bool {
        true
    }
    fn send(&mut self, _: usize, _: &mut dyn FnMut(&mut [u8])) {}
}

/// What the segments sent so far say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    /// The number after the last that was sent.
    pub(crate) next: u32,
    /// The window of the last one, as it stands in the header.
    pub(crate) window: u16,
    /// Segments sent again.
    pub(crate) again: u64,
    /// The peer's window is closed: what goes beyond it are probes, which do not count as sent until acknowledged.
    probing: bool,
    /// The number after the last, probes counted.
    top: u32,
    /// Our end has been sent.
    fin: bool,
    /// Whether the last one took up no sequence number.
    pub(crate) empty: bool,
    any: bool,
    /// How far the peer's window field is shifted (RFC 7323, 2).
    pub(crate) shift: u8,
    /// The number after the last that the peer takes, once it has said so.
    edge: Option<u32>,
    /// The largest window that it has had, octets.
    max_window: u32,
}

impl Sent {
    /// Notes what the peer says of what it got, in a segment that lies in our window; it has acknowledged all before `una`
    /// already.
    pub(crate) fn acknowledged(&mut self, segment: &Segment, una: u32) {
        if !segment.has_ack || before(segment.ack, una) {
            return;
        }
        let window = u32::from(segment.window) << self.shift;
        self.edge = Some(segment.ack.wrapping_add(window));
        self.max_window = self.max_window.max(window);
        if self.probing && before(self.next, segment.ack) && !before(self.top, segment.ack) {
            self.next = segment.ack;
        }
        self.probing = segment.window == 0;
    }

    /// Whether the peer acknowledges what was never sent.
    pub(crate) fn is_beyond(&self, segment: &Segment) -> bool {
        segment.has_ack && before(self.top, segment.ack)
    }

    /// Whether the peer has got all that there will ever be.
    pub(crate) fn all_got(&self, segment: &Segment) -> bool {
        self.fin && segment.has_ack && segment.ack == self.next
    }

    /// The window field that leaves the peer's window where it is, seen from `una`, for a segment that acknowledges less;
    /// `None` if it acknowledges less than a segment of this peer that was only overtaken can (RFC 5961, 5.2).
    pub(crate) fn window_at(&self, una: u32, ack: u32) -> Option<u16> {
        let room = self.edge?.wrapping_sub(una);
        let is_recent = una.wrapping_sub(ack) <= self.max_window;
        is_recent.then(|| u16::try_from(room >> self.shift).unwrap_or(0))
    }

    /// Notes a segment that is about to go out. One that only acknowledges gets the highest sequence number sent: smoltcp
    /// gives it the number that it has gone back to for sending again, which the peer has to drop as old, and the
    /// acknowledgement with it; two such peers answer each other for ever. A number beyond the peer's window would be dropped
    /// as well.
    fn note(&mut self, packet: &mut [u8]) {
        let Some(Ok(mut tcp)) = packet.get_mut(HEADER..).map(TcpPacket::new_checked) else { return };
        let segment = Segment::read(&TcpPacket::new_unchecked(tcp.as_ref()));
        let end = segment.seq.wrapping_add(segment.len());
        self.window = segment.window;
        self.fin |= segment.fin;
        self.empty = segment.len() == 0;
        if !self.any || before(self.top, end) {
            self.top = end;
        }
        if !self.any || (before(self.next, end) && !self.probing) {
            self.any = true;
            self.next = end;
        } else if segment.len() > 0 {
            self.again += u64::from(before(segment.seq, self.next));
        } else if !segment.rst {
            let seq = self.edge.filter(|edge| before(*edge, self.next)).unwrap_or(self.next);
            tcp.set_seq_number(TcpSeqNumber(seq as i32));
        }
    }
}

/// The room for a window of about `octets`. Above 64 KiB a power of two less one: the window of a SYN is not scaled, and
/// smoltcp takes it as if it were, so that any other size would accept more than there is room for, which panics.
pub(crate) fn window_room(octets: usize) -> usize {
    if octets <= UNSCALED { octets.max(1024) } else { (1 << (octets.min(1 << 24) + 1).ilog2()) - 1 }
}

/// The shift that a receive buffer of that size asks for.
pub(crate) fn window_shift(octets: usize) -> u8 {
    (usize::BITS - octets.leading_zeros()).saturating_sub(16) as u8
}

/// The initial sequence number of a machine with that seed, as smoltcp draws it: so that a handshake can be answered
/// before there is a machine. A test holds this to what the machine does.
pub(crate) fn initial_sequence(seed: u64) -> u32 {
    let mut state = seed;
    let mut draw = || {
        state = state.wrapping_mul(0xbb2e_fcec_3c39_611d).wrapping_add(0x7590_ef39);
        (state >> (29 - (state >> 61))) as u32
    };
    // The first that is not zero in sixteen bits numbers the interface's packets.
    while {
        let n = draw();
        (n ^ (n >> 16)) as u16 == 0
    } {}
    draw()
}

/// See the module.
pub(crate) struct Machine {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    mtu: usize,
    pub(crate) sent: Sent,
}

fn micros(now: Instant) -> Micros {
    Micros::from_micros((now.as_nanos() / 1000) as i64)
}

impl Machine {
    /// A closed machine at `local`, on a way of that MTU, with buffers of so many octets, if there is memory for them.
    pub(crate) fn new(
        local: Ipv4Addr,
        mtu: usize,
        (receive, send): (usize, usize),
        seed: u64,
        now: Instant,
    ) -> Option<Self> {
        let (receive, send) = (zeroed(receive)?, zeroed(send)?);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut sent = Sent::default();
        let mut port = Port { packet: None, wire: &mut Nowhere, sent: &mut sent, mtu };
        let mut interface = Interface::new(config, &mut port, micros(now));
        interface.update_ip_addrs(|addresses| {
            // There is room for one: the list is empty.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(local), 32));
        });
        let mut socket = Socket::new(SocketBuffer::new(receive), SocketBuffer::new(send));
        socket.set_congestion_control(CongestionControl::Reno);
        let mut sockets = SocketSet::new(vec![]);
        let handle = sockets.add(socket);
        Some(Self { interface, sockets, handle, mtu, sent })
    }

    pub(crate) fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    pub(crate) fn state(&self) -> State {
        self.sockets.get::<Socket<'static>>(self.handle).state()
    }

    /// Octets that can be read.
    pub(crate) fn readable(&self) -> usize {
        self.sockets.get::<Socket<'static>>(self.handle).recv_queue()
    }

    /// Whether a segment lies in the window, at least in part, and so may speak for the peer (RFC 9293, 3.10.7.4). `next` is
    /// the number expected of it.
    pub(crate) fn accepts(&self, next: u32, segment: &Segment) -> bool {
        let socket = self.sockets.get::<Socket<'static>>(self.handle);
        let room = (socket.recv_capacity() - socket.recv_queue()) as u32;
        let is_inside = |at: u32| at.wrapping_sub(next) <= room;
        is_inside(segment.seq) || (segment.len() > 0 && is_inside(segment.seq.wrapping_add(segment.len())))
    }

    /// Octets not yet acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.sockets.get::<Socket<'static>>(self.handle).send_queue()
    }

    /// Starts a handshake; false where an address makes no sense.
    pub(crate) fn connect(&mut self, local: SocketAddrV4, remote: SocketAddrV4) -> bool {
        let socket = self.sockets.get_mut::<Socket<'static>>(self.handle);
        socket.connect(self.interface.context(), remote, local).is_ok()
    }

    /// Takes an IP packet; at most one goes out in answer at once.
    pub(crate) fn receive(&mut self, now: Instant, packet: &[u8], wire: &mut dyn Wire) {
        let mut port = Port { packet: Some(packet), wire, sent: &mut self.sent, mtu: self.mtu };
        self.interface.poll_ingress_single(micros(now), &mut port, &mut self.sockets);
    }

    /// Sends one packet if there is something to send and room; true if it did.
    pub(crate) fn send(&mut self, now: Instant, wire: &mut dyn Wire) -> bool {
        let mut port = Port { packet: None, wire, sent: &mut self.sent, mtu: self.mtu };
        let result = self.interface.poll_egress(micros(now), &mut port, &mut self.sockets);
        result == PollResult::SocketStateChanged
    }

    /// When it wants to send; a moment in the past: now.
    pub(crate) fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let at = self.interface.poll_at(micros(now), &self.sockets)?;

        Some(Instant::from_nanos(at.total_micros().max(0) as u64 * 1000))
    }
}

/// The device that a machine sees: at most one packet in.
struct Port<'a> {
    packet: Option<&'a [u8]>,
    wire: &'a mut dyn Wire,
    sent: &'a mut Sent,
    mtu: usize,
}

impl Device for Port<'_> {
    type RxToken<'b>
        = Rx<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Tx<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: Micros) -> Option<(Rx<'_>, Tx<'_>)> {
        let packet = self.packet.take()?;
        Some((Rx(packet), Tx { wire: self.wire, sent: self.sent }))
    }

    fn transmit(&mut self, _: Micros) -> Option<Tx<'_>> {
        self.wire.has_room().then_some(Tx { wire: self.wire, sent: self.sent })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities
    }
}

struct Rx<'a>(&'a [u8]);

impl RxToken for Rx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

struct Tx<'a> {
    wire: &'a mut dyn Wire,
    sent: &'a mut Sent,
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut fill = Fill::Todo(f);
        self.wire.send(len, &mut |packet| {
            fill.run(packet);
            self.sent.note(packet);
        });
        match fill {
            Fill::Done(out) => out,
            // The wire dropped it: smoltcp counts on having written it all the same.
            Fill::Todo(f) => {
                let mut packet = vec![0; len];
                let out = f(&mut packet);
                self.sent.note(&mut packet);
                out
            }
            Fill::Running => unreachable!("a packet is written by code that does not come back"),
        }
    }
}

/// A function to be called once, behind one that may be called many times.
enum Fill<F, R> {
    Todo(F),
    Running,
    Done(R),
}

impl<R, F: FnOnce(&mut [u8]) -> R> Fill<F, R> {
    fn run(&mut self, packet: &mut [u8]) {
        if matches!(self, Fill::Todo(_))
            && let Fill::Todo(f) = core::mem::replace(self, Fill::Running)
        {
            *self = Fill::Done(f(packet));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_never_larger_than_their_room() {
        for octets in [0, 1024, 16_384, 65_535, 65_536, 65_537, 131_072, 262_144, 1 << 20, 1 << 30] {
            let room = window_room(octets);
            let shift = window_shift(room);
            assert!(room.min(UNSCALED) << shift <= room, "{octets}: {room} << {shift}");
        }
        assert_eq!(
            (window_room(65_536), window_room(131_071), window_room(262_144)),
            (65_535, 131_071, 262_143)
        );
    }

    #[test]
    fn the_initial_sequence_number_is_the_machine_s() {
        struct Catch(Option<u32>);
        impl Wire for Catch {
            fn has_room(&self) -> bool {
                true
            }
            fn send(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8])) {
                let mut packet = vec![0; len];
                fill(&mut packet);
                let tcp = TcpPacket::new_checked(&packet[HEADER..]).unwrap();
                self.0 = Some(tcp.seq_number().0 as u32);
            }
        }
        for seed in (0..2000).map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            let local = Ipv4Addr::new(10, 0, 0, 1);
            let mut machine = Machine::new(local, 1500, (2048, 2048), seed, Instant::default()).unwrap();
            assert!(
                machine
                    .connect(SocketAddrV4::new(local, 80), SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 80))
            );
            let mut catch = Catch(None);
            assert!(machine.send(Instant::default(), &mut catch));
            assert_eq!(catch.0, Some(initial_sequence(seed)));
        }
    }
}
