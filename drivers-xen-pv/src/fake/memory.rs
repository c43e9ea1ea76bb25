//! The fake guest's pages. Freed ones are never reused, only poisoned: a peer or a test that looks at them shows.

use crate::types::{Mfn, PAGE_SIZE};
use std::alloc::{Layout, alloc_zeroed};
use std::collections::BTreeMap;
use std::ptr::NonNull;

/// What is in freed pages.
const POISON: u8 = 0xa5;
/// The first frame number that is handed out.
const FIRST_FRAME: u64 = 0x1000;

/// Zeroed pages from the host, for ever.
pub(super) fn leaked_pages(count: usize) -> NonNull<u8> {
    let layout = Layout::from_size_align(count * PAGE_SIZE, PAGE_SIZE).expect("a sane number of pages");
    assert!(count > 0, "no pages wanted");
    // SAFETY: the layout is not empty.
    NonNull::new(unsafe { alloc_zeroed(layout) }).expect("the host has memory")
}

#[derive(Default)]
pub(super) struct Memory {
    /// Allocations: address and pages.
    live: BTreeMap<usize, usize>,
    /// All frames ever handed out, from `FIRST_FRAME` on.
    frames: Vec<NonNull<u8>>,
    numbers: BTreeMap<usize, u64>,
    /// Allocations that succeed before one fails.
    pub(super) budget: Option<usize>,
    /// Allocations of so many pages fail.
    pub(super) refused: Option<usize>,
}

impl Memory {
    pub(super) fn alloc(&mut self, count: usize) -> Option<NonNull<u8>> {
        if self.refused == Some(count) {
            return None;
        }
        match &mut self.budget {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        let start = leaked_pages(count);
        for index in 0..count {
            // SAFETY: within the pages just made.
            let page = unsafe { start.add(index * PAGE_SIZE) };
            self.numbers.insert(page.addr().get(), FIRST_FRAME + self.frames.len() as u64);
            self.frames.push(page);
        }
        self.live.insert(start.addr().get(), count);
        Some(start)
    }

    pub(super) fn free(&mut self, start: NonNull<u8>, count: usize) {
        let known = self.live.remove(&start.addr().get());
        assert_eq!(known, Some(count), "{count} pages at {start:p} freed that were not allocated so");
        // SAFETY: the pages were allocated here and never given back to the host.
        unsafe { start.write_bytes(POISON, count * PAGE_SIZE) };
    }

    pub(super) fn live_pages(&self) -> usize {
        self.live.values().sum()
    }

    /// Pages that were not handed out here are the heap's, the host's, and get a number when they are asked for.
    pub(super) fn frame_of(&mut self, address: NonNull<u8>) -> Mfn {
        let page =
            address.map_addr(|at| at.get().wrapping_sub(at.get() % PAGE_SIZE).try_into().unwrap_or(at));
        let next = FIRST_FRAME + self.frames.len() as u64;
        let number = *self.numbers.entry(page.addr().get()).or_insert(next);
        if number == next {
            self.frames.push(page);
        }
        Mfn(number)
    }

    pub(super) fn page(&self, frame: u64) -> Option<NonNull<u8>> {
        let index = usize::try_from(frame.checked_sub(FIRST_FRAME)?).ok()?;
        self.frames.get(index).copied()
    }
}
