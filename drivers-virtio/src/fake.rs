//! A device for host tests, driven step by step, which a test can let do what devices must not.

use core::ptr::NonNull;
use std::alloc::{Layout, alloc_zeroed};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{BufferDirection, Error, Hal, PAGE_SIZE, PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Memory of the host: a device sees each address as it is. What is given back is counted, and stays: a device may still write there.
pub(crate) struct FakeHal;

std::thread_local!(static PAGES: Cell<usize> = const { Cell::new(0) });

impl FakeHal {
    /// Pages of this thread's drivers that are not given back.
    pub(crate) fn pages() -> usize {
        PAGES.get()
    }
}

// SAFETY: pages come zeroed and aligned from the host's allocator, which gives each out once.
unsafe impl Hal for FakeHal {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let layout = Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).unwrap();
        // SAFETY: not of size zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap();
        PAGES.set(PAGES.get() + pages);
        (start.addr().get() as u64, start)
    }

    unsafe fn dma_dealloc(_paddr: PhysAddr, _vaddr: NonNull<u8>, pages: usize) -> i32 {
        PAGES.set(PAGES.get() - pages);
        0
    }

    unsafe fn mmio_phys_to_virt(_paddr: PhysAddr, _size: usize) -> NonNull<u8> {
        unreachable!("there are no registers")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        buffer.addr().get() as u64
    }

    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}

/// A queue as the driver has set it up, and how far the device is in it.
#[derive(Clone, Copy, Default)]
struct Rings {
    size: u16,
    descriptors: u64,
    driver: u64,
    device: u64,
    seen: u16,
    returned: u16,
}

/// A chain of buffers that the driver has given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) id: u16,
    /// Address, octets, whether the device may write.
    pub(crate) parts: Vec<(u64, u32, bool)>,
}

impl Given {
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.1 as usize).sum()
    }

    pub(crate) fn read(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for &(address, len, _) in &self.parts {
            // SAFETY: the driver has given this memory, which is never freed, and the test is of one thread.
            let part = unsafe { std::slice::from_raw_parts(address as *const u8, len as usize) };
            all.extend_from_slice(part);
        }
        all
    }

    /// Writes into the first buffer.
    pub(crate) fn write(&self, data: &[u8]) {
        self.write_part(0, data);
    }

    /// Writes into the last buffer.
    pub(crate) fn write_last(&self, data: &[u8]) {
        self.write_part(self.parts.len() - 1, data);
    }

    fn write_part(&self, part: usize, data: &[u8]) {
        let (address, len, may_write) = self.parts[part];
        assert!(may_write && data.len() <= len as usize);
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), address as *mut u8, data.len()) };
    }
}

pub(crate) struct State {
    pub(crate) kind: DeviceType,
    pub(crate) features: u64,
    pub(crate) accepted: u64,
    pub(crate) config: Vec<u8>,
    pub(crate) status: DeviceStatus,
    pub(crate) interrupt: u32,
    pub(crate) notified: Vec<u16>,
    pub(crate) queue_max: u32,
    /// Refuses the features.
    pub(crate) refuses: bool,
    /// Is never reset.
    pub(crate) goes_on: bool,
    /// What the device does when it is told of news in a queue.
    pub(crate) on_notify: Option<OnNotify>,
    queues: [Rings; 4],
}

pub(crate) type OnNotify = Rc<dyn Fn(&FakeDevice, u16)>;

/// The device, and the driver's way to it: clones are the same device.
#[derive(Clone)]
pub(crate) struct FakeDevice(pub(crate) Rc<RefCell<State>>);

fn peek<T: Copy>(address: u64) -> T {
    // SAFETY: the driver has named this memory, which is never freed, and the test is of one thread.
    unsafe { (address as *const T).read_volatile() }
}

fn poke<T>(address: u64, value: T) {
    // SAFETY: as above.
    unsafe { (address as *mut T).write_volatile(value) };
}

impl FakeDevice {
    pub(crate) fn new(kind: DeviceType, features: u64, config: &[u8]) -> Self {
        Self(Rc::new(RefCell::new(State {
            kind,
            features,
            accepted: 0,
            config: config.to_vec(),
            status: DeviceStatus::empty(),
            interrupt: 0,
            notified: Vec::new(),
            queue_max: 256,
            refuses: false,
            goes_on: false,
            on_notify: None,
            queues: [Rings::default(); 4],
        })))
    }

    /// What the driver has given to a queue next.
    pub(crate) fn next(&self, queue: usize) -> Option<Given> {
        let rings = &mut self.0.borrow_mut().queues[queue];
        let count: u16 = peek(rings.driver + 2);
        if count == rings.seen {
            return None;
        }
        let id: u16 = peek(rings.driver + 4 + 2 * u64::from(rings.seen % rings.size));
        rings.seen = rings.seen.wrapping_add(1);
        let mut parts = Vec::new();
        let mut next = Some(id);
        while let Some(n) = next {
            let at = rings.descriptors + 16 * u64::from(n);
            let flags: u16 = peek(at + 12);
            parts.push((peek(at), peek(at + 8), flags & 2 != 0));
            next = (flags & 1 != 0).then(|| peek(at + 14));
            assert!(parts.len() <= usize::from(rings.size));
        }
        Some(Given { id, parts })
    }

    /// Returns a buffer, or what is none.
    pub(crate) fn give_back(&self, queue: usize, id: u32, written: u32) {
        let rings = &mut self.0.borrow_mut().queues[queue];
        let at = rings.device + 4 + 8 * u64::from(rings.returned % rings.size);
        poke(at, id);
        poke(at + 4, written);
        rings.returned = rings.returned.wrapping_add(1);
        poke(rings.device + 2, rings.returned);
    }

    /// Says to have returned up to number `count`.
    pub(crate) fn claim(&self, queue: usize, count: u16) {
        poke(self.0.borrow().queues[queue].device + 2, count);
    }

    /// Writes into the next buffer that it was given and returns it; false if there is none.
    pub(crate) fn answer(&self, queue: usize, data: &[u8]) -> bool {
        let Some(given) = self.next(queue) else { return false };
        given.write(data);
        self.give_back(queue, given.id.into(), data.len() as u32);
        true
    }
}

impl Transport for FakeDevice {
    fn device_type(&self) -> DeviceType {
        self.0.borrow().kind
    }

    fn read_device_features(&mut self) -> u64 {
        self.0.borrow().features
    }

    fn write_driver_features(&mut self, driver_features: u64) {
        self.0.borrow_mut().accepted = driver_features;
    }

    fn max_queue_size(&mut self, _queue: u16) -> u32 {
        self.0.borrow().queue_max
    }

    fn notify(&mut self, queue: u16) {
        self.0.borrow_mut().notified.push(queue);
        let on_notify = self.0.borrow().on_notify.clone();
        if let Some(on_notify) = on_notify {
            on_notify(self, queue);
        }
    }

    fn get_status(&self) -> DeviceStatus {
        self.0.borrow().status
    }

    fn set_status(&mut self, status: DeviceStatus) {
        let mut state = self.0.borrow_mut();
        if state.goes_on && status.is_empty() {
            return;
        }
        let refused = if state.refuses { DeviceStatus::FEATURES_OK } else { DeviceStatus::empty() };
        state.status = DeviceStatus::from_bits_truncate(status.bits() & !refused.bits());
    }

    fn set_guest_page_size(&mut self, _guest_page_size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver: PhysAddr,
        device: PhysAddr,
    ) {
        let rings = Rings { size: size as u16, descriptors, driver, device, ..Rings::default() };
        self.0.borrow_mut().queues[usize::from(queue)] = rings;
    }

    fn queue_unset(&mut self, _queue: u16) {}

    fn queue_used(&mut self, queue: u16) -> bool {
        self.0.borrow().queues[usize::from(queue)].size != 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::from_bits_retain(core::mem::take(&mut self.0.borrow_mut().interrupt))
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let state = self.0.borrow();
        let bytes = state.config.get(offset..offset + size_of::<T>()).ok_or(Error::ConfigSpaceTooSmall)?;
        Ok(T::read_from_bytes(bytes).unwrap())
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _offset: usize, _value: T) -> Result<()> {
        Err(Error::Unsupported)
    }
}
