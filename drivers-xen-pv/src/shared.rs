//! Pages that another domain can read or write: touched by copies only, never by references.

use crate::hypervisor::Hypervisor;
use crate::types::{Mfn, PAGE_SIZE};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};

/// Memory that another domain may change at any moment. Offsets are octets from its start.
///
/// Every access checks its bounds and panics outside them: offsets are this guest's own arithmetic, never a peer's value
/// that was not checked before.
///
/// A clone is the same memory; memory of [`Pages`] keeps those from being given back.
#[derive(Clone)]
pub struct SharedMemory {
    start: NonNull<u8>,
    len: usize,
    _owner: Option<Rc<Pages>>,
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} shared octets at {:p}", self.len, self.start)
    }
}

impl SharedMemory {
    /// Memory that this guest shares for as long as it runs.
    ///
    /// # Safety
    /// `start` is page-aligned and valid for reads and writes of `len` octets for ever, and is accessed in no other way than
    /// through such values.
    pub const unsafe fn new(start: NonNull<u8>, len: usize) -> Self {
        Self { start, len, _owner: None }
    }

    /// Its length, octets.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part of `len` octets from `offset`.
    pub fn part(&self, offset: usize, len: usize) -> Self {
        Self { start: self.at(offset, len), len, _owner: self._owner.clone() }
    }

    /// Copies out once; nothing reads the same memory twice.
    pub fn read(&self, offset: usize, into: &mut [u8]) {
        let from = self.at(offset, into.len());
        // SAFETY: `at` checked the bounds of the one side, the slice is the other; they cannot overlap, because no
        // reference to shared memory exists.
        unsafe { copy(into.as_mut_ptr(), from.as_ptr(), into.len()) };
    }

    /// Copies out `len` octets once, behind what `into` holds.
    pub fn append(&self, offset: usize, len: usize, into: &mut Vec<u8>) {
        let from = self.at(offset, len);
        into.reserve(len);
        let end = into.len();
        // SAFETY: as in `read`; the other side is room that was just made, and is filled when it is counted.
        unsafe {
            copy(into.as_mut_ptr().add(end), from.as_ptr(), len);
            into.set_len(end + len);
        }
    }

    /// Copies in.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        // SAFETY: as in `read`.
        unsafe { copy(to.as_ptr(), bytes.as_ptr(), bytes.len()) };
    }

    /// Reads an octet.
    pub fn load_u8(&self, offset: usize) -> u8 {
        // SAFETY: in bounds; an atomic may alias memory that others change.
        unsafe { AtomicU8::from_ptr(self.at(offset, 1).as_ptr()) }.load(Ordering::Relaxed)
    }

    /// Reads a little-endian number at an even offset, before all that follows (acquire).
    pub fn load_u16(&self, offset: usize) -> u16 {
        self.atomic_u16(offset).load(Ordering::Acquire)
    }

    /// Writes a number at an even offset, after all that came before (release).
    pub fn store_u16(&self, offset: usize, value: u16) {
        self.atomic_u16(offset).store(value, Ordering::Release);
    }

    /// The number at an even offset, for a compare-and-exchange.
    pub fn atomic_u16(&self, offset: usize) -> &AtomicU16 {
        if !offset.is_multiple_of(2) {
            misaligned(offset, 2);
        }
        // SAFETY: in bounds and aligned; an atomic may alias memory that others change; the memory outlives the value.
        unsafe { AtomicU16::from_ptr(self.at(offset, 2).cast().as_ptr()) }
    }

    /// Reads a number at an offset that 4 divides, before all that follows (acquire).
    pub fn load_u32(&self, offset: usize) -> u32 {
        self.atomic_u32(offset).load(Ordering::Acquire)
    }

    /// Writes a number at an offset that 4 divides, after all that came before (release).
    pub fn store_u32(&self, offset: usize, value: u32) {
        self.atomic_u32(offset).store(value, Ordering::Release);
    }

    /// The number at an offset that 4 divides.
    pub fn atomic_u32(&self, offset: usize) -> &AtomicU32 {
        if !offset.is_multiple_of(4) {
            misaligned(offset, 4);
        }
        // SAFETY: as in `atomic_u16`.
        unsafe { AtomicU32::from_ptr(self.at(offset, 4).cast().as_ptr()) }
    }

    fn at(&self, offset: usize, len: usize) -> NonNull<u8> {
        let inside = offset <= self.len && len <= self.len - offset;
        assert!(inside, "{len} octets at {offset} are outside of {} shared octets", self.len);
        // SAFETY: within the memory, just checked.
        unsafe { self.start.add(offset) }
    }
}

/// One way out, as in an image there are many who ask.
#[cold]
#[inline(never)]
fn misaligned(offset: usize, size: usize) -> ! {
    panic!("offset {offset} is not a multiple of {size}")
}

/// Copies memory of which one side may change meanwhile: by an instruction that the compiler cannot split, repeat or leave
/// out, so that what was read is what is used.
///
/// # Safety
/// Both sides are valid for `len` octets and do not overlap.
unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: by the caller; the direction flag is clear by the ABI.
    unsafe {
        core::arch::asm!(
            "rep movsq",
            "mov ecx, {rest:e}",
            "rep movsb",
            rest = in(reg) len % 8,
            inout("rcx") len / 8 => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
    #[cfg(any(not(target_arch = "x86_64"), miri))]
    for i in 0..len {
        // SAFETY: by the caller.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
    }
}

/// Pages of this guest's own, made to be shared. Given back when dropped: whoever grants access to them sees to it that no
/// other domain has it any more (see `grant`).
pub struct Pages {
    hv: &'static dyn Hypervisor,
    start: NonNull<u8>,
    count: usize,
}

impl Pages {
    /// Zeroed pages, virtually contiguous; `None` when the guest has no more memory.
    pub fn alloc(hv: &'static dyn Hypervisor, count: usize) -> Option<Rc<Self>> {
        let start = hv.alloc_pages(count)?;
        Some(Rc::new(Self { hv, start, count }))
    }

    /// Their number.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The memory, to be copied from and to.
    pub fn memory(self: &Rc<Self>) -> SharedMemory {
        // What `SharedMemory::new` asks for: `alloc_pages` gave so many pages, which stay as long as their owner does, and they
        // are accessed only through `SharedMemory`, or by `GrantedPages::private_mut`, whose caller excludes that.
        SharedMemory { start: self.start, len: self.count * PAGE_SIZE, _owner: Some(self.clone()) }
    }

    /// The frame of page `index`, as a grant entry names it.
    pub fn frame(&self, index: usize) -> Mfn {
        assert!(index < self.count, "page {index} of {}", self.count);
        // SAFETY: within the pages.
        self.hv.frame_of(unsafe { self.start.add(index * PAGE_SIZE) })
    }

    /// Where the octets from `offset` are, for a slice of them.
    pub(crate) fn private(&self, offset: usize, len: usize) -> NonNull<u8> {
        let inside = offset <= self.count * PAGE_SIZE && len <= self.count * PAGE_SIZE - offset;
        assert!(inside, "{len} octets at {offset} are outside of {} pages", self.count);
        // SAFETY: within the pages, just checked.
        unsafe { self.start.add(offset) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: from `alloc_pages`, and owned by this value alone.
        unsafe { self.hv.free_pages(self.start, self.count) };
    }
}
