//! Granted pages that live as long as a connection: no grant is made or ended per packet.
//!
//! Both pools - that for sending is `tx_pool` - grow by small chunks up to their limit, so that a small guest pays for what
//! it uses.

use super::queues::MAX_QUEUES;
use crate::grant::{Access, GrantError, GrantedPages};
use crate::shared::SharedMemory;
use crate::types::{DomId, GrantRef, PAGE_SIZE};
use crate::xen::Xen;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Pages of a chunk that a receive pool grows by.
pub(super) const RX_CHUNK: usize = 32;

/// How many pages a device may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For receiving.
    pub rx_pages: usize,
    /// For sending.
    pub tx_pages: usize,
    /// Pairs of queues, where the back end offers as many: 1 to 8. They share the pages, and are fewer where those are too few.
    pub queues: usize,
}

/// The fewest pages of a queue, each way.
const LEAST: usize = 64;
/// As many pages as a ring has slots.
const MOST: usize = 256;

impl Limits {
    /// A full ring of pages each way.
    pub const FULL: Self = Self { rx_pages: MOST, tx_pages: MOST, queues: 1 };

    /// What fits a guest of `total` octets: a thirty-second of it each way, but 64 pages at least. 0 stands for unknown.
    pub fn for_memory(total: u64, queues: usize) -> Self {
        let share = usize::try_from(total / 32).unwrap_or(usize::MAX) / PAGE_SIZE;
        let queues = queues.clamp(1, MAX_QUEUES);
        let pages = if total == 0 { MOST * queues } else { share.clamp(LEAST, MOST * queues) };
        Self { rx_pages: pages, tx_pages: pages, queues }
    }

    /// How many queues to make where a back end offers `offered`.
    pub(super) fn queues_of(&self, offered: u32) -> usize {
        let enough = self.rx_pages.min(self.tx_pages) / LEAST;
        let offered = usize::try_from(offered).unwrap_or(MAX_QUEUES);
        self.queues.min(MAX_QUEUES).min(offered).min(enough).max(1)
    }

    /// The limits of each of so many queues.
    pub(super) fn share(&self, queues: usize) -> Self {
        let share = |pages: usize| (pages / queues).min(MOST);
        Self { rx_pages: share(self.rx_pages), tx_pages: share(self.tx_pages), queues: 1 }
    }
}

/// Where chunks come from.
pub(super) struct Source {
    xen: Rc<Xen>,
    remote: DomId,
    chunks: Vec<GrantedPages>,
    pages: usize,
    limit: usize,
}

impl Source {
    pub(super) fn new(xen: &Rc<Xen>, remote: DomId, limit: usize) -> Self {
        Self { xen: xen.clone(), remote, chunks: Vec::new(), pages: 0, limit }
    }

    /// Pages of all chunks.
    pub(super) fn pages(&self) -> usize {
        self.pages
    }

    pub(super) fn chunks(&self) -> &[GrantedPages] {
        &self.chunks
    }

    pub(super) fn chunks_mut(&mut self) -> &mut [GrantedPages] {
        &mut self.chunks
    }

    /// Another chunk of so many pages, or of none at the limit; returns how many they are.
    pub(super) fn grow(&mut self, pages: usize, access: Access) -> Result<usize, GrantError> {
        if self.pages + pages > self.limit {
            return Ok(0);
        }
        self.chunks.push(GrantedPages::alloc(&self.xen, self.remote, pages, access)?);
        self.pages += pages;
        Ok(pages)
    }
}

/// Pages that the back end writes.
pub(super) struct RxPool {
    source: Source,
    pages: Vec<RxPage>,
}

/// A page that the back end writes.
pub(super) struct RxPage {
    pub(super) memory: SharedMemory,
    pub(super) gref: GrantRef,
}

impl RxPool {
    pub(super) fn new(xen: &Rc<Xen>, remote: DomId, limit: usize) -> Self {
        Self { source: Source::new(xen, remote, limit), pages: Vec::new() }
    }

    /// The pages, in the order of their identifiers.
    pub(super) fn pages(&self) -> &[RxPage] {
        &self.pages
    }

    /// Adds pages and returns how many; none at the limit.
    pub(super) fn grow(&mut self) -> Result<usize, GrantError> {
        let added = self.source.grow(RX_CHUNK, Access::ReadWrite)?;
        let Some(chunk) = self.source.chunks().last().filter(|_| added > 0) else { return Ok(0) };
        let memory = chunk.memory();
        let page = |(i, gref): (usize, &GrantRef)| RxPage {
            memory: memory.part(i * PAGE_SIZE, PAGE_SIZE),
            gref: *gref,
        };
        self.pages.extend(chunk.refs().iter().enumerate().map(page));
        Ok(added)
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn queues_are_as_many_as_wanted_offered_and_worth_their_pages() {
        let queues = |mib: u64, wanted, offered| Limits::for_memory(mib << 20, wanted).queues_of(offered);
        assert_eq!(queues(512, 1, 8), 1);
        assert_eq!(queues(512, 4, 8), 4);
        assert_eq!(queues(512, 4, 2), 2);
        assert_eq!(queues(512, 4, 0), 1);
        assert_eq!(queues(512, 100, u32::MAX), 8);
        assert_eq!(queues(512, 0, 8), 1);
        assert_eq!(queues(8, 8, 8), 1, "64 pages");
        assert_eq!(queues(16, 8, 8), 2, "128 pages");
        let limits = Limits::for_memory(512 << 20, 4);
        assert_eq!((limits.rx_pages, limits.share(4), limits.share(1)), (1024, Limits::FULL, Limits::FULL));
    }
}
