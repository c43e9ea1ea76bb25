//! The network device (virtio 1.2, section 5.1): checksums and segmentation offloaded in both directions.
//!
//! `header` is what stands before each frame, `pair` the two queues. Each buffer has its place in memory of the device's
//! own, for as long as the device lives: nothing is mapped or allocated a packet. Frames are copied once on their way. A device
//! that breaks the protocol is given up; the guest lives on without it.

mod header;
mod pair;
#[cfg(test)]
mod tests;

use crate::VirtioError;
use crate::queue::Fault;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use core::task::{Context, Poll};
use fata_libos::entropy;
use fata_libos::net::{
    Arrived, ETHERNET_HEADER, MacAddress, NetCounters, NetDevice, Offloads, Received, Take, TransmitError,
    TransmitMeta,
};
use fata_libos::task::WakerSet;
pub(crate) use header::Features;
use pair::{BUFFER, Pair, Taken};
use virtio_drivers::Hal;
use virtio_drivers::transport::{DeviceStatus, InterruptStatus, Transport};

const MTU: usize = 1500;
/// What a device may ask for as MTU: every host takes the least in IPv4 (RFC 791), no larger frame is on a usual wire.
const MTU_LEAST: u16 = 576;
const MTU_MOST: u16 = 9000;
/// The payload of the largest segment, with room for all headers and their options.
const SEGMENTATION: usize = LARGEST - 60 - 60;
/// The largest IP packet.
const LARGEST: usize = 65_535;
/// VLAN tags, which the MTU does not count.
const TAGS: usize = 8;

/// Places in the device's configuration (section 5.1.4).
const MAC_AT: usize = 0;
const STATUS_AT: usize = 6;
const MTU_AT: usize = 10;
const LINK_UP: u16 = 1;

/// A network device, over either transport.
pub struct VirtioNet<H: Hal, T: Transport> {
    /// Never dropped: `virtio-drivers` then waits for the device without end.
    transport: ManuallyDrop<T>,
    mac: MacAddress,
    mtu: usize,
    features: Features,
    /// The first only: several are not negotiated (VIRTIO_NET_F_MQ), as there is one processor to serve them.
    pairs: Vec<Pair<H>>,
    interrupted: &'static WakerSet,
    /// The link is up.
    link: bool,
    /// The device has broken the protocol.
    dead: bool,
    /// Up or down since the last poll.
    changed: bool,
    was_full: bool,
    counters: NetCounters,
}

impl<H: Hal, T: Transport> VirtioNet<H, T> {
    /// Starts the device; `wire` lets its interrupts through, once its queues are there, after which `interrupted` is woken.
    pub fn new(
        mut transport: T,
        interrupted: &'static WakerSet,
        wire: impl FnOnce(),
    ) -> Result<Self, VirtioError> {
        let wanted = Features::wanted(transport.read_device_features());
        let features = transport.begin_init(wanted);
        crate::agreed(&transport, features.bits())?;
        let mac = address(&transport, features)?;
        let mtu = mtu(&transport, features)?;
        let pairs = vec![Pair::new(&mut transport, 0, features)?];
        wire();
        transport.finish_init();
        let mut net = Self {
            link: link(&transport, features),
            transport: ManuallyDrop::new(transport),
            mac,
            mtu,
            features,
            pairs,
            interrupted,
            dead: false,
            changed: false,
            was_full: false,
            counters: NetCounters::default(),
        };
        net.pairs.iter_mut().for_each(|pair| pair.start(&mut *net.transport));
        net.counters.connects = 1;
        let (mac, mtu) = (net.mac, net.mtu);
        log::info!("virtio-net: address {mac}, MTU {mtu}, features {:#x}", features.bits());
        Ok(net)
    }

    /// A device that breaks the protocol is stopped, and stays down.
    #[cold]
    fn give_up(&mut self, fault: Fault) {
        self.transport.set_status(DeviceStatus::empty());
        self.dead = true;
        self.changed = true;
        self.counters.faults += 1;
        log::error!("virtio-net: the device is given up: {fault}");
    }

    fn checked<R>(&mut self, work: impl FnOnce(&mut Pair<H>) -> Result<R, Fault>) -> Option<R> {
        if self.dead {
            return None;
        }
        let result = work(self.pairs.first_mut()?);
        result.map_err(|fault| self.give_up(fault)).ok()
    }

    /// Looks whether the link went up or down, when the device says that something of the kind has changed.
    fn look_at_link(&mut self) {
        // First, so that what comes after it raises a new interrupt.
        let why = self.transport.ack_interrupt();
        if why.contains(InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT) {
            let link = link(&*self.transport, self.features);
            self.changed |= link != self.link;
            self.link = link;
        }
    }
}

/// The device's address; where it has none that one could have, one of our own making.
fn address(transport: &impl Transport, features: Features) -> Result<MacAddress, VirtioError> {
    let mut mac = [0; 6];
    if features.contains(Features::MAC) {
        for (n, octet) in mac.iter_mut().enumerate() {
            *octet = transport.read_config_space(MAC_AT + n)?;
        }
    }
    if mac == [0; 6] || mac[0] & 1 != 0 {
        entropy::fill(&mut mac);
        // One station's, given locally.
        mac[0] = mac[0] & 0xfc | 2;
    }
    Ok(MacAddress(mac))
}

/// The MTU, bounded by what a buffer takes where frames cannot be spread over several.
fn mtu(transport: &impl Transport, features: Features) -> Result<usize, VirtioError> {
    if !features.contains(Features::MTU) {
        return Ok(MTU);
    }
    let told: u16 = transport.read_config_space(MTU_AT)?;
    let told = usize::from(told.clamp(MTU_LEAST, MTU_MOST));
    let most = BUFFER - header::LEN_MAX - ETHERNET_HEADER - TAGS;
    Ok(if features.contains(Features::MRG_RXBUF) { told } else { told.min(most) })
}

fn link(transport: &impl Transport, features: Features) -> bool {
    let status = || transport.read_config_space::<u16>(STATUS_AT);
    !features.contains(Features::STATUS) || status().is_ok_and(|status| status & LINK_UP != 0)
}

impl<H: Hal, T: Transport> NetDevice for VirtioNet<H, T> {
    fn mac(&self) -> MacAddress {
        self.mac
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn offloads(&self) -> Offloads {
        let has = |feature, value| if self.features.contains(feature) { value } else { 0 };
        let mut offloads = Offloads::default();
        offloads.tx_checksum_v4 = self.features.contains(Features::CSUM);
        offloads.tx_checksum_v6 = offloads.tx_checksum_v4;
        offloads.tx_segmentation_v4 = has(Features::HOST_TSO4, SEGMENTATION);
        offloads.tx_segmentation_v6 = has(Features::HOST_TSO6, SEGMENTATION);
        offloads
    }

    fn is_up(&self) -> bool {
        self.link && !self.dead
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.dead {
            self.look_at_link();
        }
        let _ = self.checked(Pair::reap);
        let has_room = self.was_full && self.can_transmit();
        self.was_full &= !has_room;
        let has_received = !self.dead && self.pairs.iter().any(Pair::has_received);
        if core::mem::take(&mut self.changed) || has_received || has_room {
            return Poll::Ready(());
        }
        self.interrupted.register(cx);
        Poll::Pending
    }

    fn receive(&mut self, buf: &mut [u8]) -> Option<Received> {
        self.receive_into(buf, &mut |_, _| false)?.whole()
    }

    fn receive_into(&mut self, buf: &mut [u8], take: &mut Take<'_>) -> Option<Arrived> {
        // A device may have so much to drop that it would never end.
        for _ in 0..pair::BUFFERS {
            match self.checked(|pair| pair.receive(buf, take))? {
                Taken::Nothing => return None,
                Taken::Dropped => self.counters.rx_errors += 1,
                Taken::Frame(arrived, len) => {
                    self.counters.rx_frames += 1;
                    self.counters.rx_octets += len as u64;
                    return Some(arrived);
                }
            }
        }
        None
    }

    fn can_transmit(&self) -> bool {
        let len = self.mtu + ETHERNET_HEADER;
        self.is_up() && self.pairs.first().is_some_and(|pair| pair.has_room(len))
    }

    fn transmit(
        &mut self,
        len: usize,
        meta: TransmitMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), TransmitError> {
        let _ = self.checked(Pair::reap);
        if !self.is_up() {
            self.counters.tx_errors += 1;
            return Err(TransmitError::Down);
        }
        let offloads = self.offloads();
        let segmentation = offloads.tx_segmentation_v4.max(offloads.tx_segmentation_v6);
        let is_cut = meta.segment_size > 0 && segmentation > 0;
        let max = if is_cut { LARGEST } else { self.mtu } + ETHERNET_HEADER;
        // Segments that the device is to make are no longer than what the wire takes.
        if len > max || meta.segment_size > self.mtu {
            self.counters.tx_errors += 1;
            return Err(TransmitError::TooLong { len, max });
        }
        let Some(pair) = self.pairs.first_mut() else { return Err(TransmitError::Down) };
        let result = pair.transmit(len, meta, fill);
        if result.is_ok() {
            self.counters.tx_frames += 1;
            self.counters.tx_octets += len as u64;
        } else {
            self.was_full = true;
        }
        result
    }

    fn flush(&mut self) {
        if !self.dead {
            self.pairs.iter_mut().for_each(|pair| pair.flush(&mut *self.transport));
        }
    }

    fn counters(&self) -> NetCounters {
        self.counters
    }
}

impl<H: Hal, T: Transport> Drop for VirtioNet<H, T> {
    fn drop(&mut self) {
        self.transport.set_status(DeviceStatus::empty());
    }
}
