//! Page tables of a PVH guest: for the image, with the rights of each section; the rest is [`Window`]'s.
//!
//! Physical memory from 0 to the first multiple of 2 MiB behind the image and its tables lies at `VIRT_BASE`, page by page.
//! Nothing is mapped at low addresses: page zero is absent.

use super::window::Window;
use crate::guest::crash;
use crate::guest::image::{self, Part, VIRT_BASE};
use crate::guest::memory::{self, PageOfAddresses, Place};
use crate::memory_map::MemoryMap;
use crate::types::PAGE_SIZE;
use core::arch::asm;
use core::ops::Range;

pub(super) const ENTRIES: usize = 512;
/// Frames that a table of the lowest level maps: a large page.
pub(super) const CHUNK: usize = ENTRIES;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const UNCACHED: u64 = 3 << 3;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// Data: written, never executed.
pub(super) const fn data(frame: usize) -> u64 {
    ((frame * PAGE_SIZE) as u64) | PRESENT | WRITABLE | NO_EXECUTE
}

/// 2 MiB of it.
pub(super) const fn large_data(frame: usize) -> u64 {
    data(frame) | LARGE
}

/// 2 MiB of a device's registers: uncached.
pub(super) const fn device(frame: usize) -> u64 {
    large_data(frame) | UNCACHED
}

/// 2 MiB that hold memory beside what is looked for: uncached, never written.
pub(super) const fn tables(frame: usize) -> u64 {
    device(frame) & !WRITABLE
}

fn image_page(frame: usize) -> u64 {
    let data = data(frame);
    match image::part(VIRT_BASE + frame * PAGE_SIZE) {
        Part::Code => data & !(WRITABLE | NO_EXECUTE),
        Part::Constants => data & !WRITABLE,
        Part::Guard => 0,
        Part::Data => data,
    }
}

/// Levels 4, 3 and 2 for the image; filled by the entry code, corrected here.
#[repr(C, align(4096))]
pub(super) struct Tables([[u64; ENTRIES]; 3]);

#[unsafe(link_section = ".pages")]
pub(super) static TABLES: Place<Tables> = Place::new(Tables([[0; ENTRIES]; 3]));
static WINDOW: Place<Option<Window>> = Place::new(None);

/// A page table, by the address in the image's range at which it is mapped.
#[derive(Clone, Copy)]
pub(super) struct Table(*mut u64);

impl Table {
    pub(super) fn level(level: usize) -> Self {
        Self(TABLES.get().cast::<u64>().wrapping_add((4 - level) * ENTRIES))
    }

    fn at(frame: usize) -> Self {
        Self((VIRT_BASE + frame * PAGE_SIZE) as *mut u64)
    }

    /// Entry `index`, of which only what a table has counts.
    pub(super) fn get(self, index: usize) -> u64 {
        // SAFETY: within the table, which stays mapped.
        unsafe { self.0.add(index % ENTRIES).read_volatile() }
    }

    /// # Safety
    /// Nobody relies on what is mapped there; what is mapped anew is the caller's.
    pub(super) unsafe fn set(self, index: usize, entry: u64) {
        // SAFETY: as above.
        unsafe { self.0.add(index % ENTRIES).write_volatile(entry) };
    }

    /// The table below an entry; a new one where there is none.
    #[inline(never)]
    pub(super) fn below(self, index: usize, supply: &mut Range<usize>) -> Self {
        let entry = self.get(index);
        if entry & PRESENT != 0 && entry & LARGE == 0 {
            return Self::at(((entry & FRAME) >> 12) as usize);
        }
        let frame = supply.next().expect("a page table is left");
        let table = Self::at(frame);
        // SAFETY: the supply's frames are nobody's, and mapped; an empty entry is replaced by an empty table.
        unsafe {
            table.0.write_bytes(0, ENTRIES);
            self.set(index, (frame * PAGE_SIZE) as u64 | PRESENT | WRITABLE);
        }
        table
    }
}

/// Gives the sections their rights and takes stock of the memory.
pub(super) fn init(map: &MemoryMap) {
    let image_start = (image::text().start - VIRT_BASE) / PAGE_SIZE;
    let image_end = (image::end() - VIRT_BASE) / PAGE_SIZE;
    // The tables follow the image: those of the image and themselves, those of the window.
    let tables = Window::tables(map) + image_end / CHUNK + 4;
    let tables_end = image_end + tables;
    let boot_end = tables_end.next_multiple_of(CHUNK);
    if !map.contains(image_start..tables_end) {
        crash(format_args!("fata: the image does not lie in memory\n"))
    }
    let mut supply = image_end..tables_end;
    map_image(map, boot_end, &mut supply);
    let window = Window::new(map, boot_end, supply);
    // SAFETY: a boot comes here once, so that this is the only reference.
    let window = unsafe { &mut *WINDOW.get() }.insert(window);
    memory::init(window, map.total());
    let address = |frame| VIRT_BASE + frame * PAGE_SIZE;
    for range in map.ranges() {
        for free in [0..image_start, tables_end..boot_end] {
            let (start, end) = (range.start.max(free.start), range.end.min(free.end));
            if start < end {
                // SAFETY: behind the tables and below the image nothing lies that is still needed.
                unsafe { memory::add(address(start)..address(end)) };
            }
        }
    }
}

/// Replaces the entry code's large pages.
fn map_image(map: &MemoryMap, boot_end: usize, supply: &mut Range<usize>) {
    let [l4, l3, l2] = [4, 3, 2].map(Table::level);
    for chunk in 0..ENTRIES {
        // SAFETY: a table with the same frames takes the place of a large page that is in use; the others are not.
        unsafe {
            if chunk * CHUNK >= boot_end {
                l2.set(chunk, 0);
                continue;
            }
            // Filled before it is hooked: the code that runs here is mapped by it.
            let frame = supply.next().expect("a page table is left");
            let table = Table::at(frame);
            for i in 0..ENTRIES {
                let mapped = chunk * CHUNK + i;
                table.set(i, if map.contains(mapped..mapped + 1) { image_page(mapped) } else { 0 });
            }
            l2.set(chunk, (frame * PAGE_SIZE) as u64 | PRESENT | WRITABLE);
        }
    }
    // SAFETY: the low addresses are used by nobody any more; the tables are complete.
    unsafe {
        l4.set(0, 0);
        l3.set(0, 0);
        asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags));
    }
}

/// Maps a frame that is no memory of ours at a page of the image.
///
/// # Safety
/// The page is used for nothing but its address; the frame is the caller's.
pub(super) unsafe fn map_page(place: &'static PageOfAddresses, frame: u64) {
    let va = place.start().addr().get();
    let table = Table::level(2).below(va >> 21 & 511, &mut (0..0));
    // SAFETY: by the caller.
    unsafe {
        table.set(va >> 12 & 511, data(frame as usize));
        asm!("invlpg [{}]", in(reg) va, options(nostack, preserves_flags));
    }
}
