//! Memory of a PV guest: rights, frames, mappings.

mod boot_map;
mod pte;
mod window;

use crate::abi::start_info::StartInfo;
use crate::guest::image::VIRT_BASE;
use crate::guest::memory::{self, PageOfAddresses, Place};
use crate::types::{Mfn, PAGE_SIZE, Pfn};
use boot_map::BootMap;
use pte::Pte;
use window::Window;

pub(super) use boot_map::boot_address;

#[unsafe(link_section = ".pages")]
static SCRATCH: PageOfAddresses = PageOfAddresses::new();
static WINDOW: Place<Option<Window>> = Place::new(None);

/// Maps the shared info page at its address.
pub(super) fn map_shared_info(start_info: &StartInfo) {
    let frame = Mfn(start_info.shared_info >> 12);
    // SAFETY: the page of the image that lay here is used for nothing but its address.
    unsafe { pte::set(memory::shared_info().addr(), Pte::data(frame)) };
}

/// Gives the sections their rights and takes stock of the memory.
pub(super) fn init(start_info: &StartInfo) {
    let map = BootMap::of(start_info);
    let total = start_info.nr_pages as usize;
    // Before anything is unmapped: the guard page is a hole that would look like the end.
    let mapped = map.mapped_frames().min(total);
    map.protect();
    // The page tables, the boot stack's page behind them, then pages that the builder mapped and left free.
    let boot_end = start_info.pt_base as usize + (start_info.nr_pt_frames as usize + 1) * PAGE_SIZE;
    let scratch = SCRATCH.start().addr().get();
    // SAFETY: the page of the image that lies here is used for nothing but its address.
    unsafe { pte::set(scratch, Pte::NONE) };
    let list = start_info.mfn_list as usize as *const u64;
    let l4_pfn = Pfn(((map.l4() - VIRT_BASE) / PAGE_SIZE) as u64);
    // SAFETY: the list holds every frame of the guest, the top page table's among them.
    let l4_frame = Mfn(unsafe { list.add(l4_pfn.0 as usize).read_volatile() });
    let window = Window::new(list, l4_frame, scratch, mapped, total);
    // SAFETY: a boot comes here once, so that this is the only reference.
    let window = unsafe { &mut *WINDOW.get() }.insert(window);
    let behind_image = boot_end..VIRT_BASE + mapped * PAGE_SIZE;
    memory::init(window, total);
    // SAFETY: between the builder's last page and the end of what it mapped, and below the image, nothing lies.
    unsafe {
        memory::add(memory::below_image());
        memory::add(behind_image);
    }
}
