//! The entropy device (virtio 1.2, section 5.4): a seed for the generator of `fata_libos::entropy`, and no more.

use crate::VirtioError;
use crate::queue::{Buffer, Fault, Queue};
use core::mem::ManuallyDrop;
use virtio_drivers::transport::{DeviceStatus, Transport};
use virtio_drivers::{BufferDirection, Hal};

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Features: u64 {
        const VERSION_1 = 1 << 32;
    }
}

/// Octets that the device is asked for at a time.
const ASKED: usize = 64;

/// An entropy device. It is asked without interrupts: the guest has nothing else to do before it has a seed.
pub struct Rng<H: Hal, T: Transport> {
    /// Never dropped: `virtio-drivers` then waits for the device without end.
    transport: ManuallyDrop<T>,
    queue: Queue<H, 1>,
}

impl<H: Hal, T: Transport> Rng<H, T> {
    /// Starts the device.
    pub fn new(mut transport: T) -> Result<Self, VirtioError> {
        transport.begin_init(Features::all());
        let queue = Queue::new(&mut transport, 0, BufferDirection::DeviceToDriver, ASKED)?;
        transport.finish_init();
        Ok(Self { transport: ManuallyDrop::new(transport), queue })
    }

    /// Fills `seed` with the device's octets, as long as `may_wait` says so.
    pub(crate) fn fill(&mut self, seed: &mut [u8], may_wait: impl Fn() -> bool) -> Result<(), Fault> {
        let mut rest = seed;
        while !rest.is_empty() {
            let asked = Buffer { start: 0, len: ASKED.min(rest.len()) as u32 };
            self.queue.give(asked);
            self.queue.flush(&mut *self.transport);
            let (buffer, written) = loop {
                if let Some(returned) = self.queue.take()? {
                    break returned;
                }
                if !may_wait() {
                    return Err(Fault::Silent);
                }
            };
            let (filled, left) = rest.split_at_mut(written);
            self.queue.copy_out(buffer, 0, filled);
            rest = left;
            // It may give fewer octets than it was asked for, but not none for ever.
            if written == 0 && !may_wait() {
                return Err(Fault::Silent);
            }
        }
        Ok(())
    }
}

impl<H: Hal, T: Transport> Drop for Rng<H, T> {
    fn drop(&mut self) {
        // What it was given stays its own: the queue's memory is never given back.
        self.transport.set_status(DeviceStatus::empty());
    }
}
