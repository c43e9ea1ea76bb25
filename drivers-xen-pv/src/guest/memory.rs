//! Memory of a guest: who owns which page. How pages are mapped is the door's ([`Frames`]).

use super::image;
use crate::abi::hypercall::{ENOMEM, ENOSPC};
use crate::abi::shared_info::SharedInfo;
use crate::hypervisor::HvError;
use crate::page_runs::PageRuns;
use crate::types::{Mfn, PAGE_SIZE};
use core::cell::UnsafeCell;
use core::ops::Range;
use core::ptr::NonNull;
use fata_libos::platform::MemoryStats;

/// Pages that the heap asks for at a time where there are as many.
const HEAP_STEP: usize = 64;
/// `grant_table.h`: the frame numbers of version 1 entries have 32 bits; Xen's default limit is 64 frames, and more than
/// this many are never asked for.
pub(crate) const GRANT_FRAMES_MAX: usize = 256;

/// What is done with a physical address that is not the guest's memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Registers of a device: read and written, and nowhere near memory.
    Registers,
    /// Tables of the firmware: read, wherever they are.
    Tables,
}

/// Memory that nobody was given yet, and mappings: what the doors do each in their own way.
pub(crate) trait Frames {
    /// Pages that [`take`](Self::take) has not given out yet.
    fn left(&self) -> usize;

    /// At least `min` and at most `wanted` pages in a row that nobody has, mapped for reading and writing.
    fn take(&mut self, min: usize, wanted: usize) -> Option<(NonNull<u8>, usize)>;

    /// The frame, as a grant entry names it, behind an address of the guest's memory.
    fn frame_of(&self, va: usize) -> Mfn;

    /// Lets page `index` of the grant table appear at `page`, whose frame is given up for good. An errno where it cannot.
    ///
    /// # Safety
    /// The page is nobody's.
    unsafe fn map_grant_frame(&mut self, index: u32, page: usize) -> Result<(), i32>;

    /// See [`map_device`].
    fn map_device(&mut self, _physical: u64, _purpose: Purpose) -> Option<NonNull<u8>> {
        None
    }
}

struct Memory {
    free: PageRuns,
    frames: &'static mut dyn Frames,
    total: usize,
}

/// A value in a static, for the guest's one thread.
pub(crate) struct Place<T>(UnsafeCell<T>);

// SAFETY: a guest has one thread and no interrupts, and `with` is never entered twice: nothing inside it calls out.
unsafe impl<T> Sync for Place<T> {}

impl<T> Place<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: see above: no second thread, no reentry.
        f(unsafe { &mut *self.0.get() })
    }

    /// The value's address.
    pub(crate) const fn get(&self) -> *mut T {
        self.0.get()
    }
}

static MEMORY: Place<Option<Memory>> = Place::new(None);
/// The pages of the grant table that are mapped. Beside `MEMORY`, so that it is all zero and takes no room in the image.
static GRANT_FRAMES: Place<[Option<NonNull<u8>>; GRANT_FRAMES_MAX]> = Place::new([None; GRANT_FRAMES_MAX]);

/// A page of the image whose address is used for another frame.
#[repr(C, align(4096))]
pub(crate) struct PageOfAddresses(Place<[u8; PAGE_SIZE]>);

impl PageOfAddresses {
    pub(crate) const fn new() -> Self {
        Self(Place::new([0; PAGE_SIZE]))
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        pointer(self.0.get().addr())
    }
}

#[unsafe(link_section = ".pages")]
static SHARED_INFO: PageOfAddresses = PageOfAddresses::new();

/// The page shared with the hypervisor: a door maps it here as one of the first acts of a boot.
pub(crate) fn shared_info() -> *const SharedInfo {
    SHARED_INFO.start().as_ptr().cast_const().cast()
}

/// An address that is not null.
pub(crate) fn pointer(address: usize) -> NonNull<u8> {
    NonNull::new(address as *mut u8).expect("page zero is nobody's")
}

fn with<R>(f: impl FnOnce(&mut Memory) -> R) -> R {
    MEMORY.with(|memory| f(memory.as_mut().expect("memory is set up before it is used")))
}

/// Takes stock of the memory: `total` pages the guest has.
pub(crate) fn init(frames: &'static mut dyn Frames, total: usize) {
    MEMORY.with(|place| *place = Some(Memory { free: PageRuns::new(), frames, total }));
}

/// Adds addresses to those that may be given out.
///
/// # Safety
/// They are whole pages, mapped for reading and writing, and nobody uses them.
pub(crate) unsafe fn add(free: Range<usize>) {
    if !free.is_empty() {
        // SAFETY: by the caller.
        unsafe { free_pages(pointer(free.start), free.len() / PAGE_SIZE) };
    }
}

/// Where a physical address is on a machine without Xen; mapped, with the 2 MiB around it, where it is not yet, and for ever.
/// `None` when there is no room for more, the processor has no such address, or there is memory where registers shall be.
pub(crate) fn map_device(physical: u64, purpose: Purpose) -> Option<NonNull<u8>> {
    MEMORY.with(|memory| memory.as_mut()?.frames.map_device(physical, purpose))
}

/// The address of physical page 0, if it were there, to the image's start: free where there is memory.
pub(crate) fn below_image() -> Range<usize> {
    image::VIRT_BASE..image::text().start
}

impl Memory {
    fn take(&mut self, pages: usize) -> Option<NonNull<u8>> {
        self.free.take(pages).or_else(|| self.frames.take(pages, pages).map(|(start, _)| start))
    }

    /// At least `min` pages: what the boot left first, then what nobody had, in steps that spare hypercalls.
    fn take_for_heap(&mut self, min: usize) -> Option<(NonNull<u8>, usize)> {
        let wanted = min.max(HEAP_STEP);
        self.free.take_longest(min, wanted).or_else(|| self.frames.take(min, wanted))
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
        stats.free = ((m.free.pages() + m.frames.left()) * PAGE_SIZE) as u64;
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
pub(crate) unsafe fn free_pages(start: NonNull<u8>, count: usize) {
    // SAFETY: by the caller.
    with(|m| unsafe { m.free.add(start, count) });
}

pub(super) fn frame_of(page: NonNull<u8>) -> Mfn {
    with(|m| m.frames.frame_of(page.addr().get()))
}

/// Maps page `index` of the grant table: its frame takes the address of a page of ours.
pub(super) fn grant_table_frame(index: u32) -> Result<NonNull<u8>, HvError> {
    let error = |errno| HvError { call: "grant table", errno };
    let place = index as usize;
    match GRANT_FRAMES.with(|frames| frames.get(place).copied()) {
        None => return Err(error(ENOSPC)),
        Some(Some(page)) => return Ok(page),
        Some(None) => {}
    }
    let page = alloc_pages(1).ok_or(error(ENOMEM))?;
    // SAFETY: the page was just allocated, so that nobody uses it.
    if let Err(errno) = with(|m| unsafe { m.frames.map_grant_frame(index, page.addr().get()) }) {
        // SAFETY: as above; it was not mapped anew.
        unsafe { free_pages(page, 1) };
        return Err(error(errno));
    }
    GRANT_FRAMES.with(|frames| frames[place] = Some(page));
    Ok(page)
}
