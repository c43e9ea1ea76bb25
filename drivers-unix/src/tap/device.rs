//! The device: a system call for each frame.

use super::{TapError, header, ioctl};
use crate::reactor::{Direction, Reactor, Source};
use fata_libos::net::{
    ETHERNET_HEADER, MacAddress, NetCounters, NetDevice, Offloads, Received, TransmitError, TransmitMeta,
};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, IoSliceMut, Read, Write};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The MTU where the host does not say.
const MTU: usize = 1500;
/// The longest frame beside its IP packet: the Ethernet header with a VLAN tag.
const FRAME_OVERHEAD: usize = ETHERNET_HEADER + 4;

struct Tun(File);

impl mio::event::Source for Tun {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).register(registry, token, interests)
    }
    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).reregister(registry, token, interests)
    }
    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).deregister(registry)
    }
}

/// A tap device of the host.
pub struct TapDevice {
    name: String,
    tun: Source<Tun>,
    mac: MacAddress,
    mtu: usize,
    /// The frame being sent, its header before it.
    frame: Vec<u8>,
    /// Whether it still waits for room.
    is_full: bool,
    /// The host has taken the interface away.
    is_gone: bool,
    /// That this was told by [`poll`](NetDevice::poll).
    is_end_told: bool,
    counters: NetCounters,
}

impl TapDevice {
    /// Opens a tap device that was prepared for this user, or, as root, any.
    pub fn open(reactor: &Rc<Reactor>, name: &str) -> Result<Self, TapError> {
        let is_new = !ioctl::exists(name);
        let tun = ioctl::open(name).map_err(|error| TapError::of(name, error))?;
        let tun = Source::new(reactor, Tun(tun), Interest::READABLE | Interest::WRITABLE);
        let tun = tun.map_err(|error| TapError::of(name, error))?;
        if is_new {
            log::info!("{name} is new: it needs an address on this machine, and `ip link set {name} up`");
        }
        let mtu = ioctl::mtu(name).unwrap_or(MTU);
        let mut counters = NetCounters::default();
        counters.connects = 1;
        let frame = vec![0; header::LEN + FRAME_OVERHEAD + mtu];
        let (mac, name) = (address_for(name), name.to_owned());
        Ok(Self { name, tun, mac, mtu, frame, is_full: false, is_gone: false, is_end_told: false, counters })
    }

    /// Sends the frame that is ready.
    fn send(&mut self, len: usize) {
        let frame = &self.frame[..len];
        self.is_full = match self.tun.attempt(Direction::Write, |tun| (&tun.0).write(frame)) {
            None => true,
            Some(Ok(_)) => {
                self.counters.tx_frames += 1;
                self.counters.tx_octets += (len - header::LEN) as u64;
                false
            }
            // As on an unplugged cable: the host's end is down.
            Some(Err(_)) => {
                self.counters.tx_errors += 1;
                false
            }
        };
        self.frame.truncate(len);
    }

    /// Sends the frame that had no room.
    fn retry(&mut self) {
        if self.is_full {
            self.send(self.frame.len());
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> Option<Received> {
        let mut before = [0; header::LEN];
        let read = self.tun.attempt(Direction::Read, |tun| {
            (&tun.0).read_vectored(&mut [IoSliceMut::new(&mut before), IoSliceMut::new(buf)])
        });
        match read? {
            Ok(len) => {
                let len = len.saturating_sub(header::LEN).min(buf.len());
                Some(Received::new(len, header::checksum(&before)))
            }
            Err(error) => {
                log::error!("tap device {}: {error}", self.name);
                self.is_gone = true;
                self.counters.faults += 1;
                None
            }
        }
    }
}

/// An address of our own end, the same each time: locally administered (IEEE 802), not a group's.
fn address_for(name: &str) -> MacAddress {
    let mut hasher = DefaultHasher::new();
    fs::read_to_string("/etc/machine-id").unwrap_or_default().hash(&mut hasher);
    name.hash(&mut hasher);
    let [a, b, c, d, ..] = hasher.finish().to_ne_bytes();
    MacAddress([0x02, 0xfa, a, b, c, d])
}

impl NetDevice for TapDevice {
    fn mac(&self) -> MacAddress {
        self.mac
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn offloads(&self) -> Offloads {
        let mut offloads = Offloads::default();
        (offloads.tx_checksum_v4, offloads.tx_checksum_v6) = (true, true);
        offloads
    }

    fn is_up(&self) -> bool {
        !self.is_gone
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_gone {
            let was_told = std::mem::replace(&mut self.is_end_told, true);
            return if was_told { Poll::Pending } else { Poll::Ready(()) };
        }
        self.tun.register(Direction::Read, cx);
        self.tun.register(Direction::Write, cx);
        let has_room = self.is_full && self.tun.may_be_ready(Direction::Write);
        if has_room || self.tun.may_be_ready(Direction::Read) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn receive(&mut self, buf: &mut [u8]) -> Option<Received> {
        if self.is_gone {
            return None;
        }
        let received = self.read(buf)?;
        self.counters.rx_frames += 1;
        self.counters.rx_octets += received.len as u64;
        Some(received)
    }

    fn can_transmit(&self) -> bool {
        !self.is_full || self.tun.may_be_ready(Direction::Write)
    }

    fn transmit(
        &mut self,
        len: usize,
        meta: TransmitMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), TransmitError> {
        let max = FRAME_OVERHEAD + self.mtu;
        if self.is_gone {
            return Err(TransmitError::Down);
        }
        if len > max {
            return Err(TransmitError::TooLong { len, max });
        }
        self.retry();
        if self.is_full {
            return Err(TransmitError::Full);
        }
        self.frame.clear();
        self.frame.resize(header::LEN + len, 0);
        fill(&mut self.frame[header::LEN..]);
        let before = header::for_frame(&self.frame[header::LEN..], meta.checksum);
        self.frame[..header::LEN].copy_from_slice(&before);
        self.send(header::LEN + len);
        Ok(())
    }

    fn flush(&mut self) {
        self.retry();
    }

    fn counters(&self) -> NetCounters {
        self.counters
    }
}
