//! Memory as devices see it: the guest's own frames, of which each address has one.

use core::ptr::NonNull;
use fata_xen::machine;
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

/// The one of this guest.
pub(crate) struct GuestHal;

// SAFETY: pages come zeroed and page-aligned from the guest's allocator, which gives each out once; registers are mapped for
// ever.
unsafe impl Hal for GuestHal {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        match machine::alloc_pages(pages) {
            Some(start) => (machine::physical(start), start),
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_paddr: PhysAddr, vaddr: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: by the caller.
        unsafe { machine::free_pages(vaddr, pages) };
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, size: usize) -> NonNull<u8> {
        // Only the transports of virtio-drivers ask: this crate has its own.
        panic!("{size} octets of registers at {paddr:#x} are asked for")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        machine::physical(buffer.cast())
    }

    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
