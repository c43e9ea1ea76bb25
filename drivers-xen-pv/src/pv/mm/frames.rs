//! Which memory is free: a few runs left by the boot and by who gave pages back, and all frames not mapped yet.

use crate::types::PAGE_SIZE;
use core::ptr::NonNull;

/// A run of free pages that are mapped, kept in its own first page.
struct Run {
    pages: usize,
    next: Option<NonNull<Run>>,
}

/// Runs of free pages, in no order.
pub(super) struct FreeRuns {
    first: Option<NonNull<Run>>,
    pub(super) pages: usize,
}

impl FreeRuns {
    pub(super) const fn new() -> Self {
        Self { first: None, pages: 0 }
    }

    /// # Safety
    /// The pages are mapped for reading and writing, and nobody uses them.
    pub(super) unsafe fn add(&mut self, start: usize, pages: usize) {
        let Some(run) = NonNull::new(start as *mut Run).filter(|_| pages > 0) else { return };
        // SAFETY: by the caller.
        unsafe { run.write(Run { pages, next: self.first }) };
        self.first = Some(run);
        self.pages += pages;
    }

    /// The start of `pages` free pages in a row: from the end of the first run that has them.
    pub(super) fn take(&mut self, pages: usize) -> Option<usize> {
        let mut link = &mut self.first;
        while let Some(at) = *link {
            // SAFETY: runs on the list are free, mapped and written by `add`; the list owns them.
            let run = unsafe { &mut *at.as_ptr() };
            if run.pages >= pages {
                run.pages -= pages;
                self.pages -= pages;
                let start = at.addr().get() + run.pages * PAGE_SIZE;
                if run.pages == 0 {
                    *link = run.next;
                }
                return Some(start);
            }
            link = &mut run.next;
        }
        None
    }

    /// The longest run, given away whole if it has at least `min` pages and at most `max` (else its last `max`).
    pub(super) fn take_longest(&mut self, min: usize, max: usize) -> Option<(usize, usize)> {
        let mut longest = 0;
        let mut link = self.first;
        while let Some(at) = link {
            // SAFETY: as in `take`.
            let run = unsafe { at.as_ref() };
            longest = longest.max(run.pages);
            link = run.next;
        }
        let pages = longest.min(max);
        if pages < min || pages == 0 {
            return None;
        }
        self.take(pages).map(|start| (start, pages))
    }
}
