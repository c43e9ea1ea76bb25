//! smoltcp's socket as an [`Endpoint`]: the TCP that this stack's own is compared with.

use crate::sim::{Endpoint, HOSTS};
use fata_libos::time::Instant;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::Instant as Micros;
use smoltcp::wire::{HardwareAddress, IpCidr};
use std::collections::VecDeque;

/// See the module.
pub struct Smol {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    port: Port,
    established: bool,
}

#[derive(Default)]
struct Port {
    incoming: Option<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

fn micros(now: Instant) -> Micros {
    Micros::from_micros((now.as_nanos() / 1000) as i64)
}

impl Smol {
    /// End number `n`, with buffers of so many octets: number 0 connects, number 1 listens. Sizes of buffers above 64 KiB are
    /// one less than a power of two: smoltcp's window comes out larger than its buffer otherwise.
    pub fn new(n: usize, buffer: usize) -> Self {
        let mut port = Port::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = 7 + n as u64;
        let mut interface = Interface::new(config, &mut port, micros(Instant::default()));
        let (here, there) = (HOSTS[n], HOSTS[1 - n]);
        interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(here.0.into(), 24)).unwrap());
        let mut socket = Socket::new(SocketBuffer::new(vec![0; buffer]), SocketBuffer::new(vec![0; buffer]));
        socket.set_congestion_control(CongestionControl::Reno);
        let mut sockets = SocketSet::new(vec![]);
        let handle = sockets.add(socket);
        let socket = sockets.get_mut::<Socket>(handle);
        if n == 0 {
            socket.connect(interface.context(), there, here.1).unwrap();
        } else {
            socket.listen(here.1).unwrap();
        }
        Self { interface, sockets, handle, port, established: false }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }
}

impl Endpoint for Smol {
    fn receive(&mut self, now: Instant, packet: &[u8]) {
        self.port.incoming = Some(packet.to_vec());
        self.interface.poll_ingress_single(micros(now), &mut self.port, &mut self.sockets);
        // The end may come with what opens it.
        self.established |= matches!(self.socket().state(), State::Established | State::CloseWait);
    }

    fn transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.port.outgoing.is_empty() {
            self.interface.poll_egress(micros(now), &mut self.port, &mut self.sockets);
        }
        self.port.outgoing.pop_front()
    }

    fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let at = self.interface.poll_at(micros(now), &self.sockets)?;
        Some(Instant::from_nanos(at.total_micros().max(0) as u64 * 1000))
    }

    fn write(&mut self, octets: &[u8]) -> usize {
        let socket = self.socket();
        if socket.can_send() { socket.send_slice(octets).unwrap_or(0) } else { 0 }
    }

    fn read(&mut self, _: Instant, buf: &mut [u8]) -> usize {
        let socket = self.socket();
        if socket.can_recv() { socket.recv_slice(buf).unwrap_or(0) } else { 0 }
    }

    fn is_open(&mut self) -> bool {
        self.established
    }

    fn close(&mut self) {
        self.socket().close();
    }

    fn is_at_end(&mut self) -> bool {
        let established = self.established;
        established && !self.socket().may_recv()
    }

    fn is_over(&mut self) -> bool {
        let established = self.established;
        established && matches!(self.socket().state(), State::Closed | State::TimeWait)
    }

    fn is_cut(&mut self) -> bool {
        false
    }

    fn describe(&mut self) -> String {
        let socket = self.socket();
        format!("{}, {} to send, {} to read", socket.state(), socket.send_queue(), socket.recv_queue())
    }
}

impl Device for Port {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Micros) -> Option<(Rx, Tx<'_>)> {
        let packet = self.incoming.take()?;
        Some((Rx(packet), Tx(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Micros) -> Option<Tx<'_>> {
        Some(Tx(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
    }
}

/// A packet that came.
pub struct Rx(Vec<u8>);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// Room for one to go.
pub struct Tx<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let out = f(&mut packet);
        self.0.push_back(packet);
        out
    }
}
