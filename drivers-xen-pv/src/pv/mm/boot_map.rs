//! What the domain builder mapped: the image and what it put behind it, all writable and executable. Here each part gets
//! its own rights.
//!
//! The builder maps guest frames 0 up to a multiple of 4 MiB, from `VIRT_BASE` on, its page tables read-only.

use super::pte::{Batch, Pte};
use crate::abi::start_info::StartInfo;
use crate::abi::trap::MACH2PHYS_VIRT_START;
use crate::guest::image::{self, Part, VIRT_BASE};
use crate::types::{Mfn, PAGE_SIZE, Pfn};
use core::ops::Range;

const ENTRIES: usize = 512;
const L2_SPAN: usize = ENTRIES * PAGE_SIZE;

/// The builder's tables for `VIRT_BASE` and up.
pub(super) struct BootMap {
    l4: usize,
    l2: usize,
    l2_frame: Mfn,
}

/// The guest frame of a machine frame of ours, from the list that Xen keeps for all.
fn pfn_of(frame: Mfn) -> Pfn {
    let list = MACH2PHYS_VIRT_START as usize as *const u64;
    // SAFETY: Xen maps the list read-only into every PV guest; the frame came from a page table or from Xen.
    Pfn(unsafe { list.add(frame.0 as usize).read_volatile() })
}

/// Where the builder mapped a frame of ours.
pub(in crate::pv) fn boot_address(frame: Mfn) -> usize {
    VIRT_BASE + pfn_of(frame).0 as usize * PAGE_SIZE
}

/// An entry of a table that is mapped at `table`.
fn entry(table: usize, index: usize) -> Pte {
    // SAFETY: the builder's tables are mapped, and index is below 512.
    Pte(unsafe { (table as *const u64).add(index).read_volatile() })
}

impl BootMap {
    pub(super) fn of(start_info: &StartInfo) -> Self {
        let l4 = start_info.pt_base as usize;
        let l3 = boot_address(entry(l4, VIRT_BASE >> 39 & 511).frame());
        let l2_frame = entry(l3, VIRT_BASE >> 30 & 511).frame();
        Self { l4, l2: boot_address(l2_frame), l2_frame }
    }

    /// Where the top table is mapped.
    pub(super) fn l4(&self) -> usize {
        self.l4
    }

    /// The number of guest frames that the builder mapped.
    pub(super) fn mapped_frames(&self) -> usize {
        let tables = (0..ENTRIES).take_while(|&i| entry(self.l2, i).is_present()).count();
        let Some(last) = tables.checked_sub(1) else { return 0 };
        let table = boot_address(entry(self.l2, last).frame());
        last * ENTRIES + (0..ENTRIES).take_while(|&i| entry(table, i).is_present()).count()
    }

    /// Code is read and executed, constants are read, everything else is never executed; the guard pages are gone.
    pub(super) fn protect(&self) {
        let mut batch = Batch::new();
        for i in 0..ENTRIES {
            let table = entry(self.l2, i);
            if !table.is_present() {
                break;
            }
            let start = VIRT_BASE + i * L2_SPAN;
            let span = start..start + L2_SPAN;
            if !overlap(&span, &image::text()) && !overlap(&span, &image::hypercall_page()) {
                // SAFETY: takes the right to execute from a span without code.
                unsafe { batch.push(self.l2_frame, i, table.no_execute()) };
            }
            if start < image::end() {
                protect_pages(&mut batch, table.frame(), start);
            }
        }
        batch.flush();
    }
}

fn protect_pages(batch: &mut Batch, table: Mfn, start: usize) {
    let mapped = boot_address(table);
    for i in 0..ENTRIES {
        let old = entry(mapped, i);
        let new = with_rights(old, start + i * PAGE_SIZE);
        if old.is_present() && old != new {
            // SAFETY: only takes rights away, and the guard pages' frames are used by nobody.
            unsafe { batch.push(table, i, new) };
        }
    }
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

fn with_rights(old: Pte, va: usize) -> Pte {
    match image::part(va) {
        Part::Code => old.read_only(),
        Part::Constants => old.read_only().no_execute(),
        Part::Guard => Pte::NONE,
        Part::Data => old.no_execute(),
    }
}
