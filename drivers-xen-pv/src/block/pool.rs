//! Pages of the device's own that stay granted for as long as a connection.
//!
//! What is asked for is copied through them where the back end keeps its grants, and lists of segments lie in them. They are made
//! when they are first needed, up to a limit. Those used last are used first again: a back end that keeps only some of them
//! mapped has those.

use crate::grant::{Access, GrantError, GrantedPages};
use crate::shared::SharedMemory;
use crate::types::{DomId, GrantRef, PAGE_SIZE};
use crate::xen::Xen;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Pages that are made at once, where there is memory for so many in a row.
const CHUNK: usize = 16;

/// A page of a pool, by its number.
pub(super) type PageNumber = u16;

pub(super) struct Pool {
    xen: Rc<Xen>,
    remote: DomId,
    access: Access,
    limit: usize,
    chunks: Vec<GrantedPages>,
    /// Of each page its chunk and its place there.
    places: Vec<(u16, u16)>,
    free: Vec<PageNumber>,
}

impl Pool {
    /// No pages yet, and never more than `limit`.
    pub(super) fn new(xen: &Rc<Xen>, remote: DomId, access: Access, limit: usize) -> Self {
        let limit = limit.min(PageNumber::MAX.into());
        let xen = xen.clone();
        Self { xen, remote, access, limit, chunks: Vec::new(), places: Vec::new(), free: Vec::new() }
    }

    /// Pages.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Sees to it that so many pages are free, as far as limit and memory allow; how many of them are.
    pub(super) fn make_free(&mut self, wanted: usize) -> usize {
        while self.free.len() < wanted {
            let room = self.limit - self.places.len();
            let grown = match self.grow(CHUNK.min(room)) {
                Err(GrantError::NoMemory { .. }) => self.grow(room.min(1)),
                grown => grown,
            };
            if grown != Ok(true) {
                break;
            }
        }
        self.free.len().min(wanted)
    }

    /// Whether there are more pages now.
    fn grow(&mut self, count: usize) -> Result<bool, GrantError> {
        if count == 0 {
            return Ok(false);
        }
        let no_memory = |_| GrantError::NoMemory { pages: count };
        self.places.try_reserve(count).map_err(no_memory)?;
        // Room for all to come back.
        self.free.try_reserve(self.places.len() + count - self.free.len()).map_err(no_memory)?;
        self.chunks.try_reserve(1).map_err(no_memory)?;
        let pages = GrantedPages::alloc(&self.xen, self.remote, count, self.access)?;
        let chunk = self.chunks.len() as u16;
        self.chunks.push(pages);
        for place in 0..count as u16 {
            self.free.push(self.places.len() as PageNumber);
            self.places.push((chunk, place));
        }
        Ok(true)
    }

    /// Takes free pages, which [`make_free`](Self::make_free) has told of.
    pub(super) fn take(&mut self, count: usize) -> Vec<PageNumber> {
        self.free.split_off(self.free.len() - count)
    }

    /// Takes pages back.
    pub(super) fn give_back(&mut self, pages: impl IntoIterator<Item = PageNumber>) {
        self.free.extend(pages);
    }

    /// The grant of a page.
    pub(super) fn gref(&self, page: PageNumber) -> GrantRef {
        let (chunk, place) = self.places[usize::from(page)];
        self.chunks[usize::from(chunk)].refs()[usize::from(place)]
    }

    /// The memory of a page, to be copied from and to.
    pub(super) fn memory(&self, page: PageNumber) -> SharedMemory {
        let (chunk, place) = self.places[usize::from(page)];
        self.chunks[usize::from(chunk)].memory().part(usize::from(place) * PAGE_SIZE, PAGE_SIZE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHypervisor;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn pool(hv: &'static FakeHypervisor, limit: usize) -> (Rc<Xen>, Pool) {
        let xen = Xen::new(hv);
        let pool = Pool::new(&xen, DomId(1), Access::ReadWrite, limit);
        (xen, pool)
    }

    #[test]
    fn pages_are_made_when_needed_and_given_back_at_the_end() {
        let hv = FakeHypervisor::new();
        let (xen, mut pool) = pool(hv, 40);
        assert_eq!((pool.make_free(0), hv.live_pages()), (0, 0));
        assert_eq!((pool.make_free(1), hv.live_pages()), (1, 16));
        assert_eq!((pool.make_free(17), hv.live_pages()), (17, 32));
        assert_eq!((pool.make_free(100), hv.live_pages()), (40, 40));
        let taken = pool.take(40);
        let grefs: BTreeSet<_> = taken.iter().map(|page| pool.gref(*page)).collect();
        assert_eq!((grefs.len(), pool.make_free(1)), (40, 0));
        pool.give_back(taken);
        assert_eq!(xen.grants().counts().in_use, 40);
        drop(pool);
        assert_eq!((xen.grants().counts().in_use, hv.live_pages()), (0, 0));
    }

    #[test]
    fn those_used_last_are_used_first() {
        let (_, mut pool) = pool(FakeHypervisor::new(), 32);
        pool.make_free(32);
        let first = pool.take(4);
        let again = {
            pool.give_back(first.clone());
            pool.take(4)
        };
        assert_eq!(again, first);
    }

    #[test]
    fn where_memory_is_short_they_are_fewer() {
        let hv = FakeHypervisor::new();
        let (_, mut pool) = pool(hv, 32);
        hv.fail_allocations_of(Some(16));
        assert_eq!((pool.make_free(3), pool.len()), (3, 3));
        hv.fail_allocations_after(Some(0));
        assert_eq!(pool.make_free(5), 3);
        hv.fail_allocations_after(None);
        hv.fail_allocations_of(None);
        assert_eq!(pool.make_free(5), 5);
    }

    #[test]
    fn without_grants_there_is_no_page_and_none_is_lost() {
        let hv = FakeHypervisor::new();
        hv.limit_grant_frames(0);
        let (_, mut pool) = pool(hv, 32);
        assert_eq!((pool.make_free(5), hv.live_pages()), (0, 0));
    }

    proptest! {
        #[test]
        fn no_page_is_taken_twice(steps in prop::collection::vec((any::<bool>(), 1_usize..20), 1..100)) {
            let (_, mut pool) = pool(FakeHypervisor::new(), 50);
            let mut out: Vec<PageNumber> = Vec::new();
            for (take, count) in steps {
                if take {
                    let count = pool.make_free(count);
                    let taken = pool.take(count);
                    prop_assert!(taken.iter().all(|page| !out.contains(page)));
                    out.extend(taken);
                } else {
                    pool.give_back(out.split_off(out.len().saturating_sub(count)));
                }
                prop_assert!(pool.len() <= 50);
            }
        }
    }
}
