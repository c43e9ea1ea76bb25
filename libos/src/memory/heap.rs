//! The heap: memory from a function of the platform, a chunk at a time as it is needed.

use super::tlsf::Blocks;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use spin::Mutex;

/// Gives at least `min` octets more to the heap, for ever, or none if the guest has no more. What it gives must be
/// readable, writable, and nobody else's.
pub type Grow = fn(min: usize) -> Option<NonNull<[u8]>>;

/// What an allocation may need beside its size: rlsf rounds up to a sixteenth and keeps its own records.
const SLACK: usize = 256;

/// A global allocator that grows.
pub struct Heap {
    inner: Mutex<Inner>,
}

struct Inner {
    blocks: Blocks,
    grow: Option<Grow>,
    mapped: usize,
}

impl Heap {
    /// A heap with no memory yet.
    pub const fn new() -> Self {
        Self { inner: Mutex::new(Inner { blocks: Blocks::new(), grow: None, mapped: 0 }) }
    }

    /// Says where memory comes from. Before this every allocation fails.
    pub fn set_grow(&self, grow: Grow) {
        self.inner.lock().grow = Some(grow);
    }

    /// Gives memory to the heap.
    ///
    /// # Safety
    /// The memory must be valid for reads and writes for ever, and nobody else may use it.
    pub unsafe fn add(&self, memory: NonNull<[u8]>) {
        let mut inner = self.inner.lock();
        // SAFETY: by the caller.
        unsafe { inner.add(memory) };
    }

    /// Octets mapped and octets allocated.
    pub fn usage(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.mapped, inner.blocks.used)
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    unsafe fn add(&mut self, memory: NonNull<[u8]>) {
        self.mapped += memory.len();
        // SAFETY: by the caller.
        unsafe { self.blocks.add(memory.cast(), memory.len()) };
    }

    /// True if there is more memory now than before.
    fn grow_for(&mut self, layout: Layout) -> bool {
        let wanted = layout.size().saturating_add(layout.size() / 16).saturating_add(layout.align() + SLACK);
        let Some(memory) = self.grow.and_then(|grow| grow(wanted)) else { return false };
        // SAFETY: what `Grow` gives is the heap's alone.
        unsafe { self.add(memory) };
        true
    }

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        if let Some(block) = self.blocks.allocate(layout) {
            return Some(block);
        }
        self.grow_for(layout).then(|| self.blocks.allocate(layout))?
    }
}

// SAFETY: blocks come from memory that `Blocks` alone owns, and each is given out once until it is given back. Nothing here
// panics or allocates by itself.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.inner.lock().allocate(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            #[cfg(feature = "secret")]
            if super::is_zeroing() {
                // SAFETY: by the caller: the block has so many octets, which nobody uses any more.
                unsafe { block.write_bytes(0, layout.size()) };
                // They are written, though nothing here reads them.
                core::hint::black_box(block);
            }
            // SAFETY: by the caller: allocated here with this layout.
            unsafe { self.inner.lock().blocks.deallocate(block, layout) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(old) = NonNull::new(block) else { return ptr::null_mut() };
        let Ok(new) = Layout::from_size_align(new_size, layout.align()) else { return ptr::null_mut() };
        #[cfg(feature = "secret")]
        if super::is_zeroing() {
            // SAFETY: a size of zero is nobody's, by the caller.
            let moved = unsafe { self.alloc(new) };
            if !moved.is_null() {
                // SAFETY: both blocks hold so many octets and are distinct; the old one is given up after.
                unsafe {
                    moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                    self.dealloc(block, layout);
                }
            }
            return moved;
        }
        let mut inner = self.inner.lock();
        // SAFETY: by the caller: allocated here with `layout`.
        let moved = unsafe { inner.blocks.grow_in_place_or_move(old, layout, new) };
        let moved = match moved {
            None if inner.grow_for(new) => {
                // SAFETY: the block is untouched where the first try failed.
                unsafe { inner.blocks.grow_in_place_or_move(old, layout, new) }
            }
            other => other,
        };
        moved.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn more(min: usize) -> Option<NonNull<[u8]>> {
        let len = min.next_multiple_of(65_536);
        Some(NonNull::from(Box::leak(vec![0xa5u8; len].into_boxed_slice())))
    }

    fn heap() -> Heap {
        let heap = Heap::new();
        heap.set_grow(more);
        heap
    }

    /// Allocates, frees and resizes at will; every live block keeps its own pattern.
    fn exercise(steps: Vec<(u8, usize, u32)>) {
        let heap = heap();
        let mut live: Vec<(*mut u8, Layout, u8)> = Vec::new();
        for (n, (what, size, align)) in steps.into_iter().enumerate() {
            let mark = n as u8;
            if what < 5 || live.is_empty() {
                let layout = Layout::from_size_align(size, 1 << align).unwrap();
                // SAFETY: the layout has a size; the block is written within it.
                let block = unsafe { heap.alloc(layout) };
                assert!(!block.is_null() && block.addr() % (1 << align) == 0);
                // SAFETY: the block is live, and is used as its layout allows.
                unsafe { block.write_bytes(mark, size) };
                live.push((block, layout, mark));
                continue;
            }
            let (block, layout, mark) = live.swap_remove(size % live.len());
            // SAFETY: the block is live with this layout.
            let content = unsafe { core::slice::from_raw_parts(block, layout.size()) };
            assert!(content.iter().all(|&b| b == mark));
            if what < 8 {
                // SAFETY: the block is live, and is used as its layout allows.
                unsafe { heap.dealloc(block, layout) };
                continue;
            }
            // SAFETY: as above.
            let moved = unsafe { heap.realloc(block, layout, size) };
            // SAFETY: the block is live, and is used as its layout allows.
            let kept = unsafe { core::slice::from_raw_parts(moved, layout.size().min(size)) };
            assert!(kept.iter().all(|&b| b == mark));
            // SAFETY: the block is live, and is used as its layout allows.
            unsafe { moved.write_bytes(mark, size) };
            live.push((moved, Layout::from_size_align(size, layout.align()).unwrap(), mark));
        }
        for (block, layout, _) in live {
            // SAFETY: live, with this layout.
            unsafe { heap.dealloc(block, layout) };
        }
        assert_eq!(heap.usage().1, 0, "all was given back");
    }

    proptest! {
        #[test]
        fn blocks_never_overlap(steps in proptest::collection::vec((0u8..10, 1usize..5000, 0u32..9), 1..300)) {
            exercise(steps);
        }
    }

    #[cfg(feature = "secret")]
    #[test]
    fn what_is_given_back_is_zeroed_where_somebody_says_so() {
        use crate::memory::Zeroing;
        // What the heap writes into a block that is free.
        const OWN: usize = 32;
        let heap = heap();
        for (size, is_zeroed) in [(2000, false), (2000, true), (40_000, true)] {
            let layout = Layout::from_size_align(size, 16).unwrap();
            // SAFETY: the layout has a size, and the block is written within it; the heap's memory is there for ever.
            let (first, second) = unsafe {
                let first = heap.alloc(layout);
                first.write_bytes(0xee, size);
                let zeroing = is_zeroed.then(Zeroing::begin);
                let second = heap.realloc(first, layout, 3 * size);
                assert_eq!(*second.add(size - 1), 0xee);
                heap.dealloc(second, Layout::from_size_align(3 * size, 16).unwrap());
                drop(zeroing);
                (first, second)
            };
            for block in [first, second] {
                // SAFETY: as above. Nothing else was given out since.
                let left = unsafe { core::slice::from_raw_parts(block.add(OWN), size - OWN) };
                assert_eq!(left.iter().all(|octet| *octet == 0), is_zeroed, "{size}");
            }
        }
    }

    #[test]
    fn a_heap_without_memory_refuses() {
        let heap = Heap::new();
        // SAFETY: the layout has a size.
        assert!(unsafe { heap.alloc(Layout::new::<u64>()) }.is_null());
    }

    #[test]
    fn freed_memory_serves_other_sizes() {
        let heap = heap();
        let small = Layout::from_size_align(64, 8).unwrap();
        // SAFETY: sizes are not zero; each block is freed once.
        let blocks: Vec<_> = (0..10_000).map(|_| unsafe { heap.alloc(small) }).collect();
        for b in blocks {
            // SAFETY: the block is live, and is used as its layout allows.
            unsafe { heap.dealloc(b, small) };
        }
        let mapped = heap.usage().0;
        let large = Layout::from_size_align(60_000, 8).unwrap();
        for _ in 0..8 {
            // SAFETY: the block is live, and is used as its layout allows.
            assert!(!unsafe { heap.alloc(large) }.is_null());
        }
        assert_eq!(heap.usage().0, mapped, "no new memory was asked for");
    }
}
