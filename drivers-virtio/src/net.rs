//! The network device (virtio 1.2, section 5.1): a receive queue and a send queue, checksums offloaded in both directions.
//!
//! Each buffer has its place in memory of the device's own, for as long as the device lives: nothing is mapped or allocated a
//! packet. Frames are copied once on their way.

use crate::VirtioError;
use crate::hal::GuestHal;
use core::fmt;
use core::ptr::NonNull;
use core::task::{Context, Poll};
use fata_libos::net::{
    Checksum, ETHERNET_HEADER, MacAddress, NetCounters, NetDevice, Offloads, Received, TransmitError,
    TransmitMeta,
};
use fata_xen::machine;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{SomeTransport, Transport};

const RECEIVE: u16 = 0;
const SEND: u16 = 1;
/// Buffers of a queue, each of so many octets.
const BUFFERS: usize = 64;
const BUFFER: usize = 2048;
const PAGES: usize = BUFFERS * BUFFER / 4096;
const MTU: usize = 1500;

bitflags::bitflags! {
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Features: u64 {
        const CSUM = 1 << 0;
        const GUEST_CSUM = 1 << 1;
        const MAC = 1 << 5;
        const VERSION_1 = 1 << 32;
    }
}

impl fmt::Debug for Features {
    /// virtio-drivers logs them at debug; the names of flags are of more code than that is worth.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.bits(), f)
    }
}

/// In a packet's header: only the pseudo-header is summed; the sum is known to be good.
const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;

/// A queue, its buffers, and which of them the device has: by token of `virtio-drivers`.
struct Queue {
    queue: VirtQueue<GuestHal, BUFFERS>,
    memory: NonNull<u8>,
    in_flight: [Option<u8>; BUFFERS],
    news: bool,
}

impl Queue {
    fn new(transport: &mut SomeTransport<'static>, index: u16) -> Result<Self, VirtioError> {
        let queue = VirtQueue::new(transport, index, false, false)?;
        let memory = machine::alloc_pages(PAGES).ok_or(VirtioError::Memory)?;
        Ok(Self { queue, memory, in_flight: [None; BUFFERS], news: false })
    }

    /// The first `len` octets of a buffer that the device does not have.
    fn buffer(&mut self, n: u8, len: usize) -> &'static mut [u8] {
        // SAFETY: n is below BUFFERS, as tokens are, and len at most BUFFER; the memory is never given back; callers hold one
        // slice at a time, and none while the device has the buffer.
        unsafe {
            core::slice::from_raw_parts_mut(
                self.memory.as_ptr().add(usize::from(n) * BUFFER),
                len.min(BUFFER),
            )
        }
    }

    fn give_for_receiving(&mut self, n: u8) {
        let buffer = self.buffer(n, BUFFER);
        // SAFETY: the buffer is not touched before `take`.
        if let Ok(token) = unsafe { self.queue.add(&[], &mut [buffer]) } {
            self.in_flight[usize::from(token) % BUFFERS] = Some(n);
            self.news = true;
        }
    }

    /// A buffer that the device has done with: its number, and how much it says to have written. An id that is not in flight
    /// is no buffer.
    fn take(&mut self, writes: Writes, len_of: &[u16; BUFFERS]) -> Option<(u8, usize)> {
        let token = self.queue.peek_used()?;
        let n = self.in_flight.get_mut(usize::from(token))?.take()?;
        let result = match writes {
            Writes::Device => {
                let buffer = self.buffer(n, BUFFER);
                // SAFETY: the same buffer as was added.
                unsafe { self.queue.pop_used(token, &[], &mut [buffer]) }
            }
            Writes::Guest => {
                let buffer = self.buffer(n, usize::from(len_of[usize::from(n)]));
                // SAFETY: as above.
                unsafe { self.queue.pop_used(token, &[buffer], &mut []) }
            }
        };
        Some((n, result.ok()? as usize))
    }
}

#[derive(Clone, Copy)]
enum Writes {
    Device,
    Guest,
}

/// A network device, over either transport.
pub struct VirtioNet {
    transport: SomeTransport<'static>,
    mac: MacAddress,
    features: Features,
    header: usize,
    rx: Queue,
    tx: Queue,
    /// Octets of each buffer that is being sent.
    tx_len: [u16; BUFFERS],
    /// Buffers that are free for sending.
    tx_free: u64,
    was_full: bool,
    counters: NetCounters,
}

impl VirtioNet {
    /// Starts the device; `wire` lets its interrupts through, once its queues are there.
    pub fn new(mut transport: SomeTransport<'static>, wire: impl FnOnce()) -> Result<Self, VirtioError> {
        let features = transport.begin_init(Features::all());
        let mut mac = [0; 6];
        for (offset, octet) in mac.iter_mut().enumerate() {
            *octet = transport.read_config_space(offset)?;
        }
        let mut rx = Queue::new(&mut transport, RECEIVE)?;
        let tx = Queue::new(&mut transport, SEND)?;
        wire();
        transport.finish_init();
        (0..BUFFERS as u8).for_each(|n| rx.give_for_receiving(n));
        transport.notify(RECEIVE);
        rx.news = false;
        let header = if features.contains(Features::VERSION_1) { 12 } else { 10 };
        let counters = NetCounters::default();
        log::info!("virtio-net: address {}, MTU {MTU}", MacAddress(mac));
        Ok(Self {
            transport,
            mac: MacAddress(mac),
            features,
            header,
            rx,
            tx,
            tx_len: [0; BUFFERS],
            tx_free: u64::MAX,
            was_full: false,
            counters,
        })
    }

    /// Takes back what was sent.
    fn reap(&mut self) {
        while let Some((n, _)) = self.tx.take(Writes::Guest, &self.tx_len) {
            self.tx_free |= 1 << n;
        }
    }
}

/// Where the sum over a TCP or UDP segment in IPv4 starts in a frame, and where it goes from there.
fn checksum_place(frame: &[u8]) -> Option<(u16, u16)> {
    let ip = frame.get(ETHERNET_HEADER..)?;
    let start = ETHERNET_HEADER as u16 + 4 * u16::from(ip.first()? & 15);
    match ip.get(9)? {
        6 => Some((start, 16)),
        17 => Some((start, 6)),
        _ => None,
    }
}

impl NetDevice for VirtioNet {
    fn mac(&self) -> MacAddress {
        self.mac
    }

    fn mtu(&self) -> usize {
        MTU
    }

    fn offloads(&self) -> Offloads {
        let mut offloads = Offloads::default();
        offloads.tx_checksum_v4 = self.features.contains(Features::CSUM);
        offloads
    }

    fn is_up(&self) -> bool {
        true
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // First, so that what comes after it raises a new interrupt.
        self.transport.ack_interrupt();
        self.reap();
        let has_room = self.was_full && self.tx_free != 0;
        if self.rx.queue.can_pop() || has_room {
            self.was_full &= !has_room;
            return Poll::Ready(());
        }
        machine::interrupted().register(cx);
        Poll::Pending
    }

    fn receive(&mut self, buf: &mut [u8]) -> Option<Received> {
        while let Some((n, len)) = self.rx.take(Writes::Device, &self.tx_len) {
            let header = self.header;
            let frame = self.rx.buffer(n, len);
            let flags = frame.first().copied().unwrap_or_default();
            let frame = frame.get(header..).unwrap_or_default();
            let taken = buf.get_mut(..frame.len()).filter(|to| !to.is_empty());
            let len = taken.map(|to| {
                to.copy_from_slice(frame);
                to.len()
            });
            self.rx.give_for_receiving(n);
            let Some(len) = len else {
                self.counters.rx_errors += 1;
                continue;
            };
            self.counters.rx_frames += 1;
            self.counters.rx_octets += len as u64;
            let checksum = match flags {
                f if f & NEEDS_CSUM != 0 => Checksum::Partial,
                f if f & DATA_VALID != 0 => Checksum::Verified,
                _ => Checksum::Complete,
            };
            return Some(Received::new(len, checksum));
        }
        None
    }

    fn can_transmit(&self) -> bool {
        self.tx_free != 0
    }

    fn transmit(
        &mut self,
        len: usize,
        meta: TransmitMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), TransmitError> {
        let max = MTU + ETHERNET_HEADER;
        if len > max {
            return Err(TransmitError::TooLong { len, max });
        }
        self.reap();
        if self.tx_free == 0 {
            self.was_full = true;
            return Err(TransmitError::Full);
        }
        let n = self.tx_free.trailing_zeros() as u8;
        let buffer = self.tx.buffer(n, self.header + len);
        let (header, frame) = buffer.split_at_mut(self.header);
        fill(frame);
        header.fill(0);
        if meta.checksum == Checksum::Partial
            && let Some((start, offset)) = checksum_place(frame)
        {
            header[0] = NEEDS_CSUM;
            header[6..8].copy_from_slice(&start.to_le_bytes());
            header[8..10].copy_from_slice(&offset.to_le_bytes());
        }
        // SAFETY: the buffer is not touched before it is taken back.
        let Ok(token) = (unsafe { self.tx.queue.add(&[buffer], &mut []) }) else {
            self.was_full = true;
            return Err(TransmitError::Full);
        };
        self.tx.in_flight[usize::from(token) % BUFFERS] = Some(n);
        self.tx_len[usize::from(n)] = (self.header + len) as u16;
        self.tx_free &= !(1 << n);
        self.tx.news = true;
        self.counters.tx_frames += 1;
        self.counters.tx_octets += len as u64;
        Ok(())
    }

    fn flush(&mut self) {
        for (index, queue) in [(RECEIVE, &mut self.rx), (SEND, &mut self.tx)] {
            if core::mem::take(&mut queue.news) && queue.queue.should_notify() {
                self.transport.notify(index);
            }
        }
    }

    fn counters(&self) -> NetCounters {
        self.counters
    }
}
