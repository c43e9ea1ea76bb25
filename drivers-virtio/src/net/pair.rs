//! A pair of queues: what comes in, what goes out. A device has one; with several, each processor would have its own.

use super::header::{self, Features, LEN_MAX};
use crate::VirtioError;
use crate::queue::{Buffer, Fault, Queue};
use alloc::vec::Vec;
use fata_libos::net::{Arrived, Checksum, Octets, Received, Take, TransmitError, TransmitMeta, pieces};
use virtio_drivers::transport::Transport;
use virtio_drivers::{BufferDirection, Hal};

/// Buffers of a queue, each of so many octets: twice what the largest frame takes.
pub(super) const BUFFERS: usize = 128;
pub(super) const BUFFER: usize = 2048;

/// What a look at the receive queue brought.
pub(super) enum Taken {
    Nothing,
    /// A frame of so many octets.
    Frame(Arrived, usize),
    /// A frame that does not fit, or is empty.
    Dropped,
}

pub(super) struct Pair<H: Hal> {
    rx: Queue<H, BUFFERS>,
    tx: Queue<H, BUFFERS>,
    /// Buffers that are free for sending, a bit each.
    tx_free: u128,
    features: Features,
    /// The parts of the frame that is looked at.
    parts: Vec<Part>,
}

/// What a frame has in a buffer.
#[derive(Clone, Copy)]
struct Part {
    buffer: Buffer,
    offset: usize,
    len: usize,
}

/// A frame in the buffers that the device wrote.
struct Frame<'a, H: Hal> {
    rx: &'a Queue<H, BUFFERS>,
    parts: &'a [Part],
}

impl<H: Hal> Octets for Frame<'_, H> {
    fn read(&self, at: usize, into: &mut [u8]) {
        let mut done = 0;
        pieces(&mut self.parts.iter().map(|part| part.len), at, into.len(), &mut |n, at, len| {
            let Part { buffer, offset, .. } = self.parts[n];
            self.rx.copy_out(buffer, offset + at, &mut into[done..done + len]);
            done += len;
        });
    }
}

impl<H: Hal> Pair<H> {
    /// Pair `n` of a device.
    pub(super) fn new(
        transport: &mut impl Transport,
        n: u16,
        features: Features,
    ) -> Result<Self, VirtioError> {
        let size = BUFFERS * BUFFER;
        let rx = Queue::new(transport, 2 * n, BufferDirection::DeviceToDriver, size)?;
        let tx = Queue::new(transport, 2 * n + 1, BufferDirection::DriverToDevice, size)?;
        Ok(Self { rx, tx, tx_free: u128::MAX, features, parts: Vec::with_capacity(BUFFERS) })
    }

    /// Gives the device all buffers to receive into; it must have been started.
    pub(super) fn start(&mut self, transport: &mut impl Transport) {
        for n in 0..BUFFERS {
            self.rx.give(Buffer { start: (n * BUFFER) as u32, len: BUFFER as u32 });
        }
        self.rx.flush(transport);
    }

    pub(super) fn has_received(&self) -> bool {
        self.rx.has_returned()
    }

    /// Shows the next frame to `take`, and copies it into `buf` where that does not take it, from as many buffers as it has.
    pub(super) fn receive(&mut self, buf: &mut [u8], take: &mut Take<'_>) -> Result<Taken, Fault> {
        let Some((buffer, written)) = self.rx.take()? else { return Ok(Taken::Nothing) };
        let header_len = self.features.header_len();
        if written < header_len {
            return Err(Fault::Length { written: written as u32, room: header_len as u32 });
        }
        let mut header = [0; LEN_MAX];
        self.rx.copy_out(buffer, 0, &mut header[..header_len]);
        let parts = if self.features.contains(Features::MRG_RXBUF) { header::buffers(&header) } else { 1 };
        if !(1..=BUFFERS as u16).contains(&parts) {
            return Err(Fault::Parts(parts));
        }
        self.parts.clear();
        self.parts.push(Part { buffer, offset: header_len, len: written - header_len });
        for _ in 1..parts {
            let (buffer, len) = self.rx.take()?.ok_or(Fault::Parts(parts))?;
            self.parts.push(Part { buffer, offset: 0, len });
        }
        let len = self.parts.iter().map(|part| part.len).sum();
        let frame = Frame { rx: &self.rx, parts: &self.parts };
        let received = Received::new(len, header::checksum(&header));
        let taken = if len == 0 || len > buf.len() {
            Taken::Dropped
        } else if take(received, &frame) {
            Taken::Frame(Arrived::Taken, len)
        } else {
            frame.read(0, &mut buf[..len]);
            Taken::Frame(Arrived::Whole(received), len)
        };
        for part in &self.parts {
            self.rx.give(part.buffer);
        }
        Ok(taken)
    }

    /// Takes back what was sent.
    pub(super) fn reap(&mut self) -> Result<(), Fault> {
        while let Some((buffer, _)) = self.tx.take()? {
            self.tx_free |= run(buffer.len as usize) << (buffer.start as usize / BUFFER);
        }
        Ok(())
    }

    /// Whether a frame of so many octets has room.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.place(self.features.header_len() + len).is_some()
    }

    /// The first of as many free buffers in a row as so many octets take.
    fn place(&self, octets: usize) -> Option<u32> {
        let mut starts = self.tx_free;
        for _ in 1..octets.div_ceil(BUFFER) {
            starts &= starts >> 1;
        }
        (starts != 0).then(|| starts.trailing_zeros())
    }

    /// Queues a frame, which the caller has found to be no longer than is allowed.
    pub(super) fn transmit(
        &mut self,
        len: usize,
        meta: TransmitMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), TransmitError> {
        let header_len = self.features.header_len();
        let octets = header_len + len;
        let place = self.place(octets).ok_or(TransmitError::Full)?;
        let buffer = Buffer { start: place * BUFFER as u32, len: octets as u32 };
        let (header, frame) = self.tx.fill(buffer).split_at_mut(header_len);
        fill(frame);
        header.fill(0);
        if meta.checksum == Checksum::Partial {
            header::offload(header, frame, meta.segment_size as u16);
        }
        self.tx_free &= !(run(octets) << place);
        // There are as many places in the queue as buffers.
        self.tx.give(buffer);
        Ok(())
    }

    pub(super) fn flush(&mut self, transport: &mut impl Transport) {
        self.rx.flush(transport);
        self.tx.flush(transport);
    }
}

/// A bit for each buffer that so many octets take, at most all.
fn run(octets: usize) -> u128 {
    u128::MAX >> (BUFFERS - octets.div_ceil(BUFFER).clamp(1, BUFFERS))
}
