//! Memory of a PV guest: rights, frames, mappings.

mod boot_map;
mod pte;
mod window;

use crate::abi::grant_table::{GNTTABOP_SETUP_TABLE, GnttabSetupTable};
use crate::abi::shared_info::SharedInfo;
use crate::abi::start_info::StartInfo;
use crate::hypervisor::HvError;
use crate::page_runs::PageRuns;
use crate::pv::{hypercall, image};
use crate::types::{Mfn, PAGE_SIZE, Pfn};
use boot_map::BootMap;
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use fata_libos::platform::MemoryStats;
use image::VIRT_BASE;
use pte::Pte;
use window::Window;

pub(super) use boot_map::boot_address;

/// Pages that the heap asks for at a time where there are as many.
const HEAP_STEP: usize = 64;
/// `grant_table.h`: the frame numbers of version 1 entries have 32 bits; Xen's default limit is 64 frames, and more than
/// this many are never asked for.
const GRANT_FRAMES_MAX: usize = 256;

/// Who owns which frame. One value, in a static.
struct Memory {
    free: PageRuns,
    window: Window,
    /// First frame of the window that was never given out.
    next: usize,
    total: usize,
}

struct Place<T>(UnsafeCell<T>);

// SAFETY: a guest has one thread and no interrupts, and `with` is never entered twice: nothing inside it calls out.
unsafe impl<T> Sync for Place<T> {}

impl<T> Place<T> {
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: see above: no second thread, no reentry.
        f(unsafe { &mut *self.0.get() })
    }
}

static MEMORY: Place<Option<Memory>> = Place(UnsafeCell::new(None));
/// The pages of the grant table that are mapped. Beside `MEMORY`, so that it is all zero and takes no room in the image.
static GRANT_FRAMES: Place<[Option<NonNull<u8>>; GRANT_FRAMES_MAX]> =
    Place(UnsafeCell::new([None; GRANT_FRAMES_MAX]));

/// A page of addresses for the shared info page: it replaces the page of the image that lies here.
#[repr(C, align(4096))]
struct PageOfAddresses(UnsafeCell<[u8; PAGE_SIZE]>);

// SAFETY: only its address is used.
unsafe impl Sync for PageOfAddresses {}

#[unsafe(link_section = ".pages")]
static SHARED_INFO: PageOfAddresses = PageOfAddresses(UnsafeCell::new([0; PAGE_SIZE]));
#[unsafe(link_section = ".pages")]
static SCRATCH: PageOfAddresses = PageOfAddresses(UnsafeCell::new([0; PAGE_SIZE]));

fn with<R>(f: impl FnOnce(&mut Memory) -> R) -> R {
    MEMORY.with(|memory| f(memory.as_mut().expect("memory is set up before it is used")))
}

/// The page shared with the hypervisor; mapped by [`map_shared_info`] as the first act of a boot.
pub(super) fn shared_info() -> *const SharedInfo {
    SHARED_INFO.0.get().cast_const().cast()
}

/// Maps the shared info page at its address.
pub(super) fn map_shared_info(start_info: &StartInfo) {
    let frame = Mfn(start_info.shared_info >> 12);
    // SAFETY: the page of the image that lay here is used for nothing but its address.
    unsafe { pte::set(shared_info().addr(), Pte::data(frame)) };
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
    let scratch = SCRATCH.0.get().addr();
    // SAFETY: the page of the image that lies here is used for nothing but its address.
    unsafe { pte::set(scratch, Pte::NONE) };
    let list = start_info.mfn_list as usize as *const u64;
    let l4_pfn = Pfn(((map.l4() - VIRT_BASE) / PAGE_SIZE) as u64);
    // SAFETY: the list holds every frame of the guest, the top page table's among them.
    let l4_frame = Mfn(unsafe { list.add(l4_pfn.0 as usize).read_volatile() });
    let window = Window::new(list, l4_frame, scratch, mapped, total);
    let mut free = PageRuns::new();
    // SAFETY: between the builder's last page and the end of what it mapped, and below the image, nothing lies.
    unsafe {
        free.add(pointer(VIRT_BASE), (image::text().start - VIRT_BASE) / PAGE_SIZE);
        let boot_free = (VIRT_BASE + mapped * PAGE_SIZE).saturating_sub(boot_end) / PAGE_SIZE;
        free.add(pointer(boot_end), boot_free);
    }
    let memory = Memory { free, window, next: mapped, total };
    MEMORY.with(|place| *place = Some(memory));
}

fn pointer(address: usize) -> NonNull<u8> {
    NonNull::new(address as *mut u8).expect("page zero is nobody's")
}

impl Memory {
    fn take(&mut self, pages: usize) -> Option<NonNull<u8>> {
        self.free.take(pages).or_else(|| self.take_from_window(pages))
    }

    fn take_from_window(&mut self, pages: usize) -> Option<NonNull<u8>> {
        let end = self.next.checked_add(pages).filter(|&end| end <= self.window.end())?;
        self.window.map_up_to(end);
        let start = window::address(Pfn(self.next as u64));
        self.next = end;
        Some(pointer(start))
    }

    /// At least `min` pages: what the boot left first, then from the window, in steps that spare hypercalls.
    fn take_for_heap(&mut self, min: usize) -> Option<(NonNull<u8>, usize)> {
        let wanted = min.max(HEAP_STEP);
        if let Some(run) = self.free.take_longest(min, wanted) {
            return Some(run);
        }
        let left = self.window.end() - self.next;
        let pages = wanted.min(left);
        if pages < min {
            return None;
        }
        self.take_from_window(pages).map(|start| (start, pages))
    }

    fn pfn_at(&self, va: usize) -> Pfn {
        match va.checked_sub(VIRT_BASE) {
            Some(offset) => Pfn((offset / PAGE_SIZE) as u64),
            None => window::pfn_at(va).expect("an address of the guest's memory"),
        }
    }
}

/// More memory for the heap: see [`fata_libos::memory::Grow`].
pub fn grow_heap(min: usize) -> Option<NonNull<[u8]>> {
    let (start, pages) = with(|m| m.take_for_heap(min.div_ceil(PAGE_SIZE)))?;
    Some(NonNull::slice_from_raw_parts(start, pages * PAGE_SIZE))
}

/// What the guest has, octets; the heap's figures are the heap's to tell.
pub fn memory() -> MemoryStats {
    with(|m| {
        let mut stats = MemoryStats::default();
        stats.total = (m.total * PAGE_SIZE) as u64;
        stats.free = ((m.free.pages() + m.window.end() - m.next) * PAGE_SIZE) as u64;
        stats
    })
}

pub(super) fn alloc_pages(count: usize) -> Option<NonNull<u8>> {
    let start = with(|m| m.take(count))?;
    // SAFETY: mapped, and nobody's until now.
    unsafe { start.write_bytes(0, count * PAGE_SIZE) };
    Some(start)
}

/// # Safety
/// From [`alloc_pages`], used by nobody any more, in this domain or another.
pub(super) unsafe fn free_pages(start: NonNull<u8>, count: usize) {
    // SAFETY: by the caller.
    with(|m| unsafe { m.free.add(start, count) });
}

pub(super) fn frame_of(page: NonNull<u8>) -> Mfn {
    with(|m| m.window.frame(m.pfn_at(page.addr().get())))
}

/// Maps page `index` of the grant table: its frame takes the address of a page of ours.
pub(super) fn grant_table_frame(index: u32) -> Result<NonNull<u8>, HvError> {
    let place = index as usize;
    let too_many = HvError { call: "GNTTABOP_setup_table", errno: crate::abi::hypercall::ENOSPC };
    match GRANT_FRAMES.with(|frames| frames.get(place).copied()) {
        None => return Err(too_many),
        Some(Some(page)) => return Ok(page),
        Some(None) => {}
    }
    let mut frames = [0u64; GRANT_FRAMES_MAX];
    let mut argument = GnttabSetupTable::new(frames.as_mut_ptr(), index + 1);
    // SAFETY: the hypervisor reads and writes one `GnttabSetupTable`, and writes `index + 1` frame numbers.
    let result =
        unsafe { hypercall::grant_table_op(GNTTABOP_SETUP_TABLE as usize, (&raw mut argument).cast(), 1) };
    if result < 0 || argument.status != 0 {
        let errno = if result < 0 { -result as i32 } else { i32::from(argument.status).abs() };
        return Err(HvError { errno, ..too_many });
    }
    let page = alloc_pages(1).ok_or(HvError { errno: crate::abi::hypercall::ENOMEM, ..too_many })?;
    // SAFETY: the page was just allocated, so that nobody uses it; the frame behind it is given up for good.
    unsafe { pte::set(page.addr().get(), Pte::data(Mfn(frames[place]))) };
    GRANT_FRAMES.with(|frames| frames[place] = Some(page));
    Ok(page)
}
