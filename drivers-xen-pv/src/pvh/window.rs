//! Memory behind the image: frame `n` appears at `WINDOW + n * 4096`, 2 MiB at a time, when it is first needed. So a boot
//! costs the same whatever the guest was given.

use super::paging::{self, CHUNK, Table};
use super::xen;
use crate::abi::memory::XENMAPSPACE_GRANT_TABLE;
use crate::guest::image::VIRT_BASE;
use crate::guest::memory::{Frames, Purpose, pointer};
use crate::memory_map::{MAX_RANGES, MemoryMap};
use crate::types::{Mfn, PAGE_SIZE};
use core::arch::x86_64::__cpuid;
use core::ops::Range;
use core::ptr::NonNull;

/// Where a PV guest has it too.
const WINDOW: usize = 0xffff_8800_0000_0000;
/// Where devices' registers appear, the local APIC's first: 2 MiB after 2 MiB, in the order in which they are asked for.
const DEVICES: usize = 0xffff_9000_0000_0000;
const DEVICE_BLOCKS: usize = 64;
/// Tables for those: one of level 3, one of level 2.
const DEVICE_TABLES: usize = 2;
/// A large page has 2 MiB.
const LARGE_SHIFT: u32 = 21;
const GIB: usize = 512 * CHUNK;
/// CPUID's leaf with the number of bits of physical addresses.
const ADDRESS_SIZES_LEAF: u32 = 0x8000_0008;

/// A range of frames from `start` on: those below `next` are given out, those below `mapped` are mapped.
#[derive(Clone, Copy, Default)]
struct Part {
    start: usize,
    next: usize,
    mapped: usize,
    end: usize,
}

pub(super) struct Window {
    parts: [Part; MAX_RANGES],
    /// Frames for page tables.
    supply: Range<usize>,
    /// Of the processor's physical addresses.
    address_bits: u32,
    /// Which block of 2 MiB of the physical addresses appears in each of those for devices, and one; 0 for none yet.
    devices: [usize; DEVICE_BLOCKS],
}

impl Window {
    /// Tables that mapping all of a memory takes at most: of level 3, of level 2 for each GiB, of level 1 where a range begins
    /// or ends within 2 MiB.
    pub(super) fn tables(map: &MemoryMap) -> usize {
        let of = |r: &Range<usize>| r.end.div_ceil(GIB) - r.start / GIB + 2;
        DEVICE_TABLES + 1 + map.ranges().map(of).sum::<usize>()
    }

    /// For the memory from frame `start` on.
    pub(super) fn new(map: &MemoryMap, start: usize, supply: Range<usize>) -> Self {
        let mut parts = [Part::default(); MAX_RANGES];
        for (part, range) in parts.iter_mut().zip(map.ranges()) {
            let first = range.start.max(start);
            *part = Part { start: range.start, next: first, mapped: first, end: range.end.max(first) };
        }
        let address_bits = (__cpuid(ADDRESS_SIZES_LEAF).eax & 0xff).clamp(36, 52);
        Self { parts, supply, address_bits, devices: [0; DEVICE_BLOCKS] }
    }

    /// Maps what is left of the 2 MiB that the next frame of a part lies in.
    fn map_next(&mut self, n: usize) {
        let Part { mapped: start, end, .. } = self.parts[n];
        let chunk = start / CHUNK;
        let end = end.min((chunk + 1) * CHUNK);
        let l3 = Table::level(4).below(WINDOW >> 39 & 511, &mut self.supply);
        let l2 = l3.below(start / GIB, &mut self.supply);
        if end - start == CHUNK {
            // SAFETY: the frames are memory, and nobody's.
            unsafe { l2.set(chunk % 512, paging::large_data(start)) };
        } else {
            let l1 = l2.below(chunk % 512, &mut self.supply);
            for frame in start..end {
                // SAFETY: as above.
                unsafe { l1.set(frame % CHUNK, paging::data(frame)) };
            }
        }
        self.parts[n].mapped = end;
    }
}

impl Frames for Window {
    fn left(&self) -> usize {
        self.parts.iter().map(|part| part.end - part.next).sum()
    }

    fn take(&mut self, min: usize, wanted: usize) -> Option<(NonNull<u8>, usize)> {
        let n = self.parts.iter().position(|part| part.end - part.next >= min.max(1))?;
        let Part { next: start, end, .. } = self.parts[n];
        let pages = wanted.min(end - start);
        self.parts[n].next += pages;
        while self.parts[n].mapped < start + pages {
            self.map_next(n);
        }
        Some((pointer(WINDOW + start * PAGE_SIZE), pages))
    }

    fn frame_of(&self, va: usize) -> Mfn {
        let offset = va.checked_sub(VIRT_BASE).unwrap_or_else(|| va - WINDOW);
        Mfn((offset / PAGE_SIZE) as u64)
    }

    unsafe fn map_grant_frame(&mut self, index: u32, page: usize) -> Result<(), i32> {
        // SAFETY: by the caller.
        unsafe { xen::add_to_physmap(XENMAPSPACE_GRANT_TABLE, u64::from(index), self.frame_of(page).0) }
    }

    fn map_device(&mut self, physical: u64, purpose: Purpose) -> Option<NonNull<u8>> {
        if physical >> self.address_bits != 0 {
            return None;
        }
        let block = (physical >> LARGE_SHIFT) as usize;
        let frame = block * CHUNK;
        let has_memory = self.parts.iter().any(|part| part.start < frame + CHUNK && frame < part.end);
        if has_memory && purpose == Purpose::Registers {
            return None;
        }
        let place = self.devices.iter().position(|&known| known == block + 1 || known == 0)?;
        self.devices[place] = block + 1;
        let l3 = Table::level(4).below(DEVICES >> 39 & 511, &mut self.supply);
        let l2 = l3.below(DEVICES >> 30 & 511, &mut self.supply);
        let entry = if has_memory { paging::tables(frame) } else { paging::device(frame) };
        // SAFETY: what can be written there is no memory of ours; what was mapped before was the same.
        unsafe { l2.set(place, entry) };
        Some(pointer(DEVICES + (place << LARGE_SHIFT) + physical as usize % (CHUNK * PAGE_SIZE)))
    }
}
