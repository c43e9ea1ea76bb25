//! A queue of one buffer (virtio 1.2, section 2.7), for devices that are asked one thing at a time: a tenth of the code of a
//! real queue. Its device is not trusted either.

use crate::VirtioError;
use crate::queue::Fault;
use core::ptr::{self, NonNull};
use core::sync::atomic::{Ordering, fence};
use virtio_drivers::transport::Transport;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Pages of the memory.
const PAGES: usize = 2;
/// Octets of the buffer.
pub(crate) const BUFFER: usize = 2048;

/// Places in the memory: the descriptor; what is given; what is returned, where section 2.7.2 wants it; the buffer.
const LEN: usize = 8;
const FLAGS: usize = 12;
const GIVEN: usize = 16;
const RETURNED: usize = PAGE_SIZE;
const DATA: usize = PAGE_SIZE + 64;
/// In what is given and returned: the count, and the first entry.
const COUNT: usize = 2;
const ENTRY: usize = 4;
/// Of the descriptor's flags: the device writes.
const WRITE: u16 = 2;

/// See the module.
pub(crate) struct Single {
    memory: NonNull<u8>,
    address: PhysAddr,
    index: u16,
    /// Times that the buffer was given and returned.
    given: u16,
    returned: u16,
    len: u32,
}

impl Single {
    /// Queue `index` of a device.
    pub(crate) fn new<H: Hal>(transport: &mut impl Transport, index: u16) -> Result<Self, VirtioError> {
        if transport.queue_used(index) || transport.max_queue_size(index) == 0 {
            return Err(VirtioError::Device);
        }
        let (address, memory) = H::dma_alloc(PAGES, BufferDirection::Both);
        if address == 0 {
            return Err(VirtioError::Memory);
        }
        transport.queue_set(index, 1, address, address + GIVEN as u64, address + RETURNED as u64);
        let queue = Self { memory, address, index, given: 0, returned: 0, len: 0 };
        queue.write(0, address + DATA as u64);
        Ok(queue)
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// `H` is that of [`new`](Self::new), and the device is reset: it writes there no more.
    pub(crate) unsafe fn free<H: Hal>(self) {
        // SAFETY: from `dma_alloc`; used by nobody, by the caller and as this is gone.
        unsafe { H::dma_dealloc(self.address, self.memory, PAGES) };
    }

    fn at<T>(&self, offset: usize) -> *mut T {
        debug_assert!(offset + size_of::<T>() <= PAGES * PAGE_SIZE && offset.is_multiple_of(size_of::<T>()));
        // SAFETY: the offsets of this module are within the two pages.
        unsafe { self.memory.add(offset) }.cast().as_ptr()
    }

    fn read<T>(&self, offset: usize) -> T {
        // SAFETY: aligned, in memory that is this queue's as long as it is there; `T` is a plain number.
        unsafe { self.at::<T>(offset).read_volatile() }
    }

    fn write<T>(&self, offset: usize, value: T) {
        // SAFETY: as above.
        unsafe { self.at::<T>(offset).write_volatile(value) };
    }

    /// Whether the device has the buffer.
    pub(crate) fn is_given(&self) -> bool {
        self.given != self.returned
    }

    fn give(&mut self, transport: &mut impl Transport, len: usize, flags: u16) {
        self.len = len as u32;
        self.write(LEN, self.len);
        self.write(FLAGS, flags);
        self.given = self.given.wrapping_add(1);
        fence(Ordering::SeqCst);
        self.write(GIVEN + COUNT, self.given);
        fence(Ordering::SeqCst);
        transport.notify(self.index);
    }

    /// Lets the device, which does not have the buffer, write as many octets into it as it takes, at most `len`.
    pub(crate) fn ask(&mut self, transport: &mut impl Transport, len: usize) {
        self.give(transport, len.min(BUFFER), WRITE);
    }

    /// Sends the device, which does not have the buffer, as much of `data` as goes into it; how much.
    pub(crate) fn send(&mut self, transport: &mut impl Transport, data: &[u8]) -> usize {
        let len = data.len().min(BUFFER);
        // SAFETY: the buffer has so many octets.
        unsafe { ptr::copy_nonoverlapping(data.as_ptr(), self.at(DATA), len) };
        self.give(transport, len, 0);
        len
    }

    /// How many octets the device says to have written, once it has returned the buffer.
    pub(crate) fn take(&mut self) -> Result<Option<usize>, Fault> {
        let returned: u16 = self.read(RETURNED + COUNT);
        if returned == self.returned {
            return Ok(None);
        }
        fence(Ordering::SeqCst);
        let (id, written): (u32, u32) = (self.read(RETURNED + ENTRY), self.read(RETURNED + ENTRY + 4));
        if returned != self.given || id != 0 {
            return Err(Fault::Buffer(id as u16));
        }
        if written > self.len {
            return Err(Fault::Length { written, room: self.len });
        }
        self.returned = returned;
        Ok(Some(written as usize))
    }

    /// Copies the beginning of the buffer, which the device has returned.
    pub(crate) fn copy_out(&self, to: &mut [u8]) {
        let len = to.len().min(BUFFER);
        // SAFETY: the buffer has so many octets; it is no Rust object, whatever a device does with it meanwhile.
        unsafe { ptr::copy_nonoverlapping(self.at(DATA), to.as_mut_ptr(), len) };
    }
}
