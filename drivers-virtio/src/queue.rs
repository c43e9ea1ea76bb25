//! A queue whose device is not trusted: what it returns was given to it, and is no longer than it was.
//!
//! Buffers have their places in memory that is the queue's for ever, so that a device which goes on writing after it has
//! been given up writes nowhere else. What a device can write is never borrowed, only copied.

use crate::VirtioError;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE};

/// Why a device is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// It returned what it was not given, or returned it twice.
    #[error("it returned buffer {0}, which it did not have")]
    Buffer(u16),
    /// It says to have written more than it was given room for, or less than every answer has.
    #[error("it says to have written {written} octets into a buffer of {room}")]
    Length {
        /// What it says.
        written: u32,
        /// What there is.
        room: u32,
    },
    /// A frame of several buffers, some of which were missing.
    #[error("a frame of {0} buffers does not have as many")]
    Parts(u16),
    /// It does not answer.
    #[error("it does not answer")]
    Silent,
}

/// A part of a queue's memory, octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// A queue of up to `N` buffers, all of one direction.
pub(crate) struct Queue<H: Hal, const N: usize> {
    /// Never dropped, like `memory`.
    queue: ManuallyDrop<VirtQueue<H, N>>,
    index: u16,
    direction: BufferDirection,
    memory: NonNull<u8>,
    size: usize,
    /// By token of `virtio-drivers`.
    in_flight: [Option<Buffer>; N],
    news: bool,
}

impl<H: Hal, const N: usize> Queue<H, N> {
    /// Queue `index` of a device, with memory for buffers.
    pub(crate) fn new(
        transport: &mut impl Transport,
        index: u16,
        direction: BufferDirection,
        size: usize,
    ) -> Result<Self, VirtioError> {
        let queue = ManuallyDrop::new(VirtQueue::new(transport, index, false, false)?);
        let (address, memory) = H::dma_alloc(size.div_ceil(PAGE_SIZE), direction);
        if address == 0 {
            return Err(VirtioError::Memory);
        }
        Ok(Self { queue, index, direction, memory, size, in_flight: [None; N], news: false })
    }

    fn slice(&self, buffer: Buffer) -> NonNull<[u8]> {
        let (start, len) = (buffer.start as usize, buffer.len as usize);
        assert!(len > 0 && start.checked_add(len).is_some_and(|end| end <= self.size));
        // SAFETY: within the queue's memory.
        NonNull::slice_from_raw_parts(unsafe { self.memory.add(start) }, len)
    }

    /// What is to be sent: a buffer that the device does not have, and which it does not write.
    pub(crate) fn fill(&mut self, buffer: Buffer) -> &mut [u8] {
        assert!(self.direction == BufferDirection::DriverToDevice);
        // SAFETY: nobody writes there but the driver, which holds one slice at a time as long as it borrows the queue.
        unsafe { self.slice(buffer).as_mut() }
    }

    /// Copies what the device wrote, from `offset` in a buffer on, as far as `to` goes.
    pub(crate) fn copy_out(&self, buffer: Buffer, offset: usize, to: &mut [u8]) {
        let from = self.slice(buffer);
        assert!(offset.checked_add(to.len()).is_some_and(|end| end <= from.len()));
        // SAFETY: within the buffer; the memory is no Rust object, whatever a device does with it meanwhile.
        unsafe {
            ptr::copy_nonoverlapping(from.cast::<u8>().as_ptr().add(offset), to.as_mut_ptr(), to.len())
        };
    }

    /// Gives the device a buffer; false if the queue is full.
    pub(crate) fn give(&mut self, buffer: Buffer) -> bool {
        let mut slice = self.slice(buffer);
        // SAFETY: the buffer is not touched before `take`; the slice is for its address only.
        let token = unsafe {
            match self.direction {
                BufferDirection::DriverToDevice => self.queue.add(&[slice.as_ref()], &mut []),
                _ => self.queue.add(&[], &mut [slice.as_mut()]),
            }
        };
        let place = token.ok().and_then(|token| self.in_flight.get_mut(usize::from(token)));
        self.news |= place.is_some();
        place.map(|place| *place = Some(buffer)).is_some()
    }

    /// Whether the device has returned something.
    pub(crate) fn has_returned(&self) -> bool {
        self.queue.can_pop()
    }

    /// What the device has done with, and how much it says to have written: not more than there was room for.
    pub(crate) fn take(&mut self) -> Result<Option<(Buffer, usize)>, Fault> {
        let Some(token) = self.queue.peek_used() else { return Ok(None) };
        let fault = Fault::Buffer(token);
        let buffer = self.in_flight.get_mut(usize::from(token)).and_then(Option::take).ok_or(fault)?;
        let mut slice = self.slice(buffer);
        // SAFETY: the same buffer as was added.
        let written = unsafe {
            match self.direction {
                BufferDirection::DriverToDevice => {
                    self.queue.pop_used(token, &[slice.as_ref()], &mut []).map(|_| 0)
                }
                _ => self.queue.pop_used(token, &[], &mut [slice.as_mut()]),
            }
        };
        // The device has put another in its place meanwhile.
        let written = written.map_err(|_| fault)?;
        if written > buffer.len {
            return Err(Fault::Length { written, room: buffer.len });
        }
        Ok(Some((buffer, written as usize)))
    }

    /// Tells the device of what it was given, if it was and wants to know.
    pub(crate) fn flush(&mut self, transport: &mut impl Transport) {
        if core::mem::take(&mut self.news) && self.queue.should_notify() {
            transport.notify(self.index);
        }
    }
}
