//! Memory beyond what the builder mapped: guest frame `n` appears at `WINDOW + n * 4096`, 2 MiB at a time, when it is
//! first needed. So a boot costs the same whatever the guest was given.
//!
//! The page tables for it come from the top of the guest's memory, which is never mapped: Xen refuses a page table that
//! is mapped writable anywhere.

use super::pte::{self, Pte};
use crate::abi::grant_table::{GNTTABOP_SETUP_TABLE, GnttabSetupTable};
use crate::guest::hypercall;
use crate::guest::image::VIRT_BASE;
use crate::guest::memory::{Frames, GRANT_FRAMES_MAX, pointer};
use crate::types::{Mfn, PAGE_SIZE, Pfn};
use core::ptr::NonNull;

/// The first address after the hypervisor's own (`arch-x86/xen-x86_64.h`: HYPERVISOR_VIRT_END).
const WINDOW: usize = 0xffff_8800_0000_0000;
const ENTRIES: usize = 512;

pub(super) struct Window {
    /// Frames by guest frame number: the list that the builder left, `nr_pages` long.
    mfn_list: *const u64,
    l4_frame: Mfn,
    /// An address whose tables exist and at which nothing is mapped, to fill new tables through.
    scratch: usize,
    l3: Option<Mfn>,
    /// The level 2 table in use, for its GiB.
    l2: Option<(usize, Mfn)>,
    /// First frame that was never given out.
    next: usize,
    /// Frames below are mapped, from the first that the builder left out.
    mapped_end: usize,
    /// Frames from here on are for tables.
    tables_start: usize,
    next_table: usize,
}

impl Window {
    pub(super) fn new(
        mfn_list: *const u64,
        l4_frame: Mfn,
        scratch: usize,
        start: usize,
        total: usize,
    ) -> Self {
        let beyond = total.saturating_sub(start);
        let l1_tables = beyond.div_ceil(ENTRIES) + 1;
        let tables = if beyond == 0 { 0 } else { l1_tables + l1_tables.div_ceil(ENTRIES) + 1 + 1 };
        let tables_start = total - tables.min(beyond);
        Self {
            mfn_list,
            l4_frame,
            scratch,
            l3: None,
            l2: None,
            next: start,
            mapped_end: start,
            tables_start,
            next_table: total,
        }
    }

    fn frame(&self, pfn: Pfn) -> Mfn {
        // SAFETY: callers ask for the guest's own frames, which the list holds; it is never unmapped.
        Mfn(unsafe { self.mfn_list.add(pfn.0 as usize).read_volatile() })
    }

    /// Sees to it that frames up to `end` are mapped.
    fn map_up_to(&mut self, end: usize) {
        assert!(end <= self.tables_start, "frame {end} is not memory");
        while self.mapped_end < end {
            self.map_next_table();
        }
    }

    /// Maps what is left of the 2 MiB that the next frame lies in.
    fn map_next_table(&mut self) {
        let first = self.mapped_end;
        let chunk = first / ENTRIES;
        let end = ((chunk + 1) * ENTRIES).min(self.tables_start);
        let l2 = self.l2_for(chunk / ENTRIES);
        let list = self.mfn_list;
        let l1 = self.new_table(&|i| {
            let pfn = chunk * ENTRIES + i;
            // SAFETY: `end` is at most the list's length.
            (first..end).contains(&pfn).then(|| Pte::data(Mfn(unsafe { list.add(pfn).read_volatile() })))
        });
        hook(l2, chunk % ENTRIES, l1);
        self.mapped_end = end;
    }

    fn l2_for(&mut self, gib: usize) -> Mfn {
        if let Some((n, frame)) = self.l2
            && n == gib
        {
            return frame;
        }
        let l3 = match self.l3 {
            Some(frame) => frame,
            None => {
                let frame = self.new_table(&|_| None);
                hook(self.l4_frame, WINDOW >> 39 & 511, frame);
                self.l3 = Some(frame);
                frame
            }
        };
        let frame = self.new_table(&|_| None);
        hook(l3, gib, frame);
        self.l2 = Some((gib, frame));
        frame
    }

    /// A frame filled as a table, and mapped nowhere.
    #[inline(never)]
    fn new_table(&mut self, entry: &dyn Fn(usize) -> Option<Pte>) -> Mfn {
        assert!(self.next_table > self.tables_start, "no frame left for a page table");
        self.next_table -= 1;
        let frame = self.frame(Pfn(self.next_table as u64));
        // SAFETY: `scratch` is this window's alone; the frame is used by nobody yet.
        unsafe { pte::set(self.scratch, Pte::data(frame)) };
        let table = self.scratch as *mut u64;
        for i in 0..ENTRIES {
            // SAFETY: the page is mapped writable, and i is inside it.
            unsafe { table.add(i).write_volatile(entry(i).unwrap_or(Pte::NONE).0) };
        }
        // SAFETY: nobody uses the address but through this function.
        unsafe { pte::set(self.scratch, Pte::NONE) };
        frame
    }
}

#[inline(never)]
fn hook(table: Mfn, index: usize, lower: Mfn) {
    let mut batch = pte::Batch::new();
    // SAFETY: the entry was empty, so that nobody relies on it; the lower table is filled and mapped nowhere.
    unsafe { batch.push(table, index, Pte::table(lower)) };
    batch.flush();
}

/// The guest frame at an address of the guest's memory.
fn pfn_at(va: usize) -> Pfn {
    let offset = va.checked_sub(VIRT_BASE).unwrap_or_else(|| va - WINDOW);
    Pfn((offset / PAGE_SIZE) as u64)
}

impl Frames for Window {
    fn left(&self) -> usize {
        self.tables_start - self.next
    }

    fn take(&mut self, min: usize, wanted: usize) -> Option<(NonNull<u8>, usize)> {
        let pages = wanted.min(self.left());
        if pages < min {
            return None;
        }
        let start = self.next;
        self.next += pages;
        self.map_up_to(self.next);
        Some((pointer(WINDOW + start * PAGE_SIZE), pages))
    }

    fn frame_of(&self, va: usize) -> Mfn {
        self.frame(pfn_at(va))
    }

    unsafe fn map_grant_frame(&mut self, index: u32, page: usize) -> Result<(), i32> {
        let mut frames = [0u64; GRANT_FRAMES_MAX];
        let mut argument = GnttabSetupTable::new(frames.as_mut_ptr(), index + 1);
        // SAFETY: the hypervisor reads and writes one `GnttabSetupTable`, and writes `index + 1` frame numbers.
        let result = unsafe {
            hypercall::grant_table_op(GNTTABOP_SETUP_TABLE as usize, (&raw mut argument).cast(), 1)
        };
        if result < 0 || argument.status != 0 {
            return Err(if result < 0 { -result as i32 } else { i32::from(argument.status).abs() });
        }
        // SAFETY: by the caller.
        unsafe { pte::set(page, Pte::data(Mfn(frames[index as usize]))) };
        Ok(())
    }
}
