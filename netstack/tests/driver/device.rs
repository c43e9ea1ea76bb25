//! The driver: rings, memory and bells as libos's `NetDevice`.

use crate::abi::{DIRECTION, Direction, FRAME, slot};
use crate::binding::Binding;
use crate::ring::{Consumer, Fault, Producer};
use core::mem::offset_of;
use core::task::{Context, Poll};
use fata_libos::net::{
    Checksum, ETHERNET_HEADER, MacAddress, NetCounters, NetDevice, Offloads, Received, TransmitError,
    TransmitMeta,
};

const PRODUCED: usize = offset_of!(Direction, produced);
const CONSUMED: usize = offset_of!(Direction, consumed);

// ANCHOR: device
/// A mailbox: one end of it.
pub struct Mailbox<B> {
    binding: B,
    mac: MacAddress,
    /// Where the directions are in the shared memory: what we send, what we receive.
    at: [usize; 2],
    tx: Producer,
    rx: Consumer,
    /// What the peer was told last of both.
    told: [u32; 2],
    /// Why the device is given up.
    fault: Option<Fault>,
    /// Whether the stack has not been told of that yet.
    is_news: bool,
    /// Whether a frame was refused for want of room.
    wants_room: bool,
    counters: NetCounters,
}

impl<B: Binding> Mailbox<B> {
    /// The end `side`, 0 or 1, of a mailbox that nobody has used yet.
    pub fn new(binding: B, side: u8) -> Self {
        let at = if side == 0 { [0, DIRECTION] } else { [DIRECTION, 0] };
        Self {
            binding,
            mac: MacAddress([2, 0, 0, 0, 0, side]),
            at,
            tx: Producer::default(),
            rx: Consumer::default(),
            told: [0; 2],
            fault: None,
            is_news: false,
            wants_room: false,
            counters: NetCounters::default(),
        }
    }

    /// Reads each of the peer's indices once.
    fn look(&mut self) {
        let [tx, rx] = self.at;
        let produced = self.binding.load(rx + PRODUCED);
        let consumed = self.binding.load(tx + CONSUMED);
        let looked = self.rx.learn(produced).and_then(|()| self.tx.learn(consumed));
        looked.unwrap_or_else(|fault| self.give_up(fault));
    }

    /// The peer has broken the rules: it loses its device, and nothing else happens.
    fn give_up(&mut self, fault: Fault) {
        if self.fault.is_none() {
            log::warn!("mailbox: {fault}: device given up");
            self.counters.faults += 1;
            (self.fault, self.is_news) = (Some(fault), true);
        }
    }

    /// Copies a frame out: its length is read once, checked, and used.
    fn copy_out(&mut self, index: u32, buf: &mut [u8]) -> Result<Option<usize>, Fault> {
        let place = self.at[1] + slot(index);
        let len = self.binding.load(place);
        if len as usize > FRAME || (len as usize) < ETHERNET_HEADER {
            return Err(Fault::Length { len });
        }
        let Some(buf) = buf.get_mut(..len as usize) else { return Ok(None) };
        self.binding.read(place + 4, buf);
        Ok(Some(buf.len()))
    }
}
// ANCHOR_END: device

// ANCHOR: net_device
impl<B: Binding> NetDevice for Mailbox<B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Before looking: what comes between is not missed.
        self.binding.register(cx);
        if self.is_up() {
            self.look();
        }
        let has_room = self.wants_room && self.tx.free() > 0;
        let is_ready = (self.is_up() && self.rx.waiting() > 0) || has_room || self.is_news;
        self.is_news = false;
        if is_ready { Poll::Ready(()) } else { Poll::Pending }
    }

    fn receive(&mut self, buf: &mut [u8]) -> Option<Received> {
        while self.is_up() {
            let index = self.rx.take()?;
            match self.copy_out(index, buf) {
                Ok(Some(len)) => {
                    self.counters.rx_frames += 1;
                    self.counters.rx_octets += len as u64;
                    return Some(Received::new(len, Checksum::Complete));
                }
                Ok(None) => self.counters.rx_errors += 1,
                Err(fault) => self.give_up(fault),
            }
        }
        None
    }

    fn transmit(
        &mut self,
        len: usize,
        _meta: TransmitMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), TransmitError> {
        if !self.is_up() {
            return Err(TransmitError::Down);
        }
        let mut buffer = [0; FRAME];
        let frame = buffer.get_mut(..len).ok_or(TransmitError::TooLong { len, max: FRAME })?;
        let Some(index) = self.tx.take() else {
            self.wants_room = true;
            return Err(TransmitError::Full);
        };
        self.wants_room = false;
        fill(frame);
        let place = self.at[0] + slot(index);
        self.binding.store(place, len as u32);
        self.binding.write(place + 4, frame);
        self.counters.tx_frames += 1;
        self.counters.tx_octets += len as u64;
        Ok(())
    }

    fn flush(&mut self) {
        let now = [self.tx.produced(), self.rx.consumed()];
        if now == self.told || !self.is_up() {
            return;
        }
        self.told = now;
        let [tx, rx] = self.at;
        self.binding.store(tx + PRODUCED, now[0]);
        self.binding.store(rx + CONSUMED, now[1]);
        // One notification for a burst.
        self.binding.notify();
    }

    fn mac(&self) -> MacAddress {
        self.mac
    }

    fn mtu(&self) -> usize {
        FRAME - ETHERNET_HEADER
    }

    fn offloads(&self) -> Offloads {
        Offloads::default()
    }

    fn is_up(&self) -> bool {
        self.fault.is_none()
    }

    fn can_transmit(&self) -> bool {
        self.is_up() && self.tx.free() > 0
    }

    fn counters(&self) -> NetCounters {
        self.counters
    }
}
// ANCHOR_END: net_device
