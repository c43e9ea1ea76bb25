//! Free pages: runs in a list by address, each kept in its own first page. Neighbours are joined, so that pages that were
//! given back in pieces serve again as a whole.

use crate::types::PAGE_SIZE;
use core::ptr::NonNull;

/// The start of a free run.
struct Run {
    pages: usize,
    next: Link,
}

type Link = Option<NonNull<Run>>;

/// Runs of free pages, mapped for reading and writing.
pub(crate) struct PageRuns {
    first: Link,
    pages: usize,
}

/// A run's own words.
fn read(run: NonNull<Run>) -> (usize, Link) {
    // SAFETY: runs on the list are free, mapped and written by `write`; the list owns them.
    let Run { pages, next } = unsafe { run.read() };
    (pages, next)
}

fn write(run: NonNull<Run>, pages: usize, next: Link) {
    // SAFETY: as in `read`.
    unsafe { run.write(Run { pages, next }) };
}

fn end(run: NonNull<Run>, pages: usize) -> usize {
    run.addr().get() + pages * PAGE_SIZE
}

impl PageRuns {
    pub(crate) const fn new() -> Self {
        Self { first: None, pages: 0 }
    }

    /// Pages in all runs.
    pub(crate) const fn pages(&self) -> usize {
        self.pages
    }

    /// # Safety
    /// The pages are mapped for reading and writing, and nobody uses them.
    pub(crate) unsafe fn add(&mut self, start: NonNull<u8>, pages: usize) {
        if pages == 0 {
            return;
        }
        self.pages += pages;
        let new = start.cast::<Run>();
        let (mut before, mut after) = (None, self.first);
        while let Some(run) = after.filter(|run| *run < new) {
            before = after;
            after = read(run).1;
        }
        // Joined with the run behind it, where they touch.
        let (mut pages, mut next) = (pages, after);
        if let Some(behind) = after.filter(|behind| end(new, pages) == behind.addr().get()) {
            let (more, rest) = read(behind);
            (pages, next) = (pages + more, rest);
        }
        match before.map(|run| (run, read(run).0)) {
            Some((run, own)) if end(run, own) == new.addr().get() => write(run, own + pages, next),
            Some((run, own)) => {
                write(new, pages, next);
                write(run, own, Some(new));
            }
            None => {
                write(new, pages, next);
                self.first = Some(new);
            }
        }
    }

    /// The start of `pages` free pages in a row: from the end of the first run that has them.
    pub(crate) fn take(&mut self, pages: usize) -> Option<NonNull<u8>> {
        let (mut before, mut at) = (None, self.first);
        while let Some(run) = at {
            let (own, next) = read(run);
            if own >= pages {
                self.shorten(before, run, own - pages, next);
                self.pages -= pages;
                // SAFETY: within the run.
                return Some(unsafe { run.cast::<u8>().add((own - pages) * PAGE_SIZE) });
            }
            (before, at) = (at, next);
        }
        None
    }

    fn shorten(&mut self, before: Link, run: NonNull<Run>, pages: usize, next: Link) {
        if pages > 0 {
            return write(run, pages, next);
        }
        match before {
            Some(before) => write(before, read(before).0, next),
            None => self.first = next,
        }
    }

    /// At least `min` and at most `max` pages in a row, as many as the longest run has.
    pub(crate) fn take_longest(&mut self, min: usize, max: usize) -> Option<(NonNull<u8>, usize)> {
        let (mut longest, mut at) = (0, self.first);
        while let Some(run) = at {
            let (own, next) = read(run);
            longest = longest.max(own);
            at = next;
        }
        let pages = longest.min(max);
        if pages < min || pages == 0 {
            return None;
        }
        self.take(pages).map(|start| (start, pages))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A free run of `pages`, aligned as pages are.
    fn memory(pages: usize) -> (PageRuns, usize) {
        let block = Vec::leak(vec![0u8; (pages + 1) * PAGE_SIZE]);
        let offset = block.as_ptr().align_offset(PAGE_SIZE);
        let start = NonNull::from(&mut block[offset..]).cast::<u8>();
        let mut runs = PageRuns::new();
        // SAFETY: leaked, and nobody else's.
        unsafe { runs.add(start, pages) };
        (runs, start.addr().get())
    }

    #[test]
    fn a_thousand_reconnects_leave_no_pieces() {
        let (mut runs, _) = memory(200);
        for round in 0..1000usize {
            let sizes = [8, 32, 1, 1, 8, 32, 32, 8];
            let mut taken: Vec<_> = sizes.iter().map(|&n| (runs.take(n).expect("room"), n)).collect();
            taken.rotate_left(round % sizes.len());
            for (start, pages) in taken {
                // SAFETY: just taken.
                unsafe { runs.add(start, pages) };
            }
        }
        assert_eq!(runs.take_longest(1, 1000).map(|(_, pages)| pages), Some(200), "one run again");
    }

    proptest! {
        #[test]
        fn pages_are_given_out_once_and_come_back(steps in proptest::collection::vec((any::<bool>(), 1usize..20), 1..200)) {
            let (mut runs, base) = memory(128);
            let mut live: Vec<(NonNull<u8>, usize)> = Vec::new();
            for (take, n) in steps {
                if take {
                    let Some(start) = runs.take(n) else { continue };
                    let (from, to) = (start.addr().get(), start.addr().get() + n * PAGE_SIZE);
                    prop_assert!(from >= base && to <= base + 128 * PAGE_SIZE && from % PAGE_SIZE == 0);
                    for (other, m) in &live {
                        let other = other.addr().get();
                        prop_assert!(to <= other || other + m * PAGE_SIZE <= from);
                    }
                    // SAFETY: the pages are ours now.
                    unsafe { start.write_bytes(0xa5, n * PAGE_SIZE) };
                    live.push((start, n));
                } else if !live.is_empty() {
                    let (start, n) = live.swap_remove(n % live.len());
                    // SAFETY: taken before, and not used any more.
                    unsafe { runs.add(start, n) };
                }
                prop_assert_eq!(runs.pages() + live.iter().map(|l| l.1).sum::<usize>(), 128);
            }
            for (start, n) in live {
                // SAFETY: as above.
                unsafe { runs.add(start, n) };
            }
            prop_assert_eq!(runs.take(128).map(|s| s.addr().get()), Some(base));
        }
    }
}
