//! Page-table entries as Xen checks them, and the two ways to write one.

use crate::abi::mmu::{MMU_NORMAL_PT_UPDATE, MmuUpdate, UVMF_INVLPG};
use crate::guest::hypercall;
use crate::types::{DomId, Mfn, PAGE_SIZE};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const NO_EXECUTE: u64 = 1 << 63;
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// An entry. A PV kernel runs in ring 3: its pages carry the user bit.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Pte(pub(super) u64);

impl Pte {
    /// Nothing mapped, and no frame number left in it: a stale one makes Xen shadow or kill the guest (L1TF).
    pub(super) const NONE: Self = Self(0);

    /// Data: written, never executed.
    pub(super) const fn data(frame: Mfn) -> Self {
        Self(frame.0 << 12 | PRESENT | WRITABLE | USER | ACCESSED | DIRTY | NO_EXECUTE)
    }

    /// A table of the next level.
    pub(super) const fn table(frame: Mfn) -> Self {
        Self(frame.0 << 12 | PRESENT | WRITABLE | USER | ACCESSED)
    }

    pub(super) const fn is_present(self) -> bool {
        self.0 & PRESENT != 0
    }

    pub(super) const fn frame(self) -> Mfn {
        Mfn((self.0 & FRAME) >> 12)
    }

    pub(super) const fn no_execute(self) -> Self {
        Self(self.0 | NO_EXECUTE)
    }

    pub(super) const fn read_only(self) -> Self {
        Self(self.0 & !(WRITABLE | DIRTY))
    }
}

/// Maps one page whose tables exist.
///
/// # Safety
/// Nobody relies on what was mapped at `va` before; the frame's other uses allow this mapping.
pub(super) unsafe fn set(va: usize, entry: Pte) {
    // SAFETY: by the caller; Xen checks the frame and its type.
    let result = unsafe { hypercall::update_va_mapping(va, entry.0, UVMF_INVLPG as usize) };
    assert!(result == 0, "update_va_mapping of {va:#x}: {result}");
}

/// Writes to page tables, collected: a hypercall for each [`Batch::ROOM`] of them.
pub(super) struct Batch {
    updates: [MmuUpdate; Self::ROOM],
    count: usize,
}

impl Batch {
    const ROOM: usize = 64;

    pub(super) const fn new() -> Self {
        Self { updates: [MmuUpdate { ptr: 0, val: 0 }; Self::ROOM], count: 0 }
    }

    /// Entry `index` of the table in `table`.
    ///
    /// # Safety
    /// As [`set`].
    pub(super) unsafe fn push(&mut self, table: Mfn, index: usize, entry: Pte) {
        let ptr = table.0 * PAGE_SIZE as u64 + 8 * index as u64;
        self.updates[self.count] = MmuUpdate { ptr: ptr | MMU_NORMAL_PT_UPDATE, val: entry.0 };
        self.count += 1;
        if self.count == Self::ROOM {
            self.flush();
        }
    }

    /// Carries out what was collected.
    pub(super) fn flush(&mut self) {
        let (updates, count) = (self.updates.as_ptr(), core::mem::take(&mut self.count));
        if count == 0 {
            return;
        }
        // SAFETY: `push`'s callers promise that each update is sound; Xen checks frames and types.
        let result = unsafe {
            hypercall::mmu_update(updates, count, core::ptr::null_mut(), usize::from(DomId::SELF.0))
        };
        assert!(result == 0, "mmu_update of {count} entries: {result}");
    }
}
