//! Granted pages that live as long as a connection: no grant is made or ended per packet.
//!
//! Both pools - that for sending is `tx_pool` - grow by small chunks up to their limit, so that a small guest pays for what
//! it uses.

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
}

impl Limits {
    /// A full ring of pages each way.
    pub const FULL: Self = Self { rx_pages: 256, tx_pages: 256 };

    /// What fits a guest of `total` octets: a thirty-second of it each way, but 64 pages at least. 0 stands for unknown.
    pub fn for_memory(total: u64) -> Self {
        let share = usize::try_from(total / 32).unwrap_or(usize::MAX) / PAGE_SIZE;
        let pages = if total == 0 { 256 } else { share.clamp(64, 256) };
        Self { rx_pages: pages, tx_pages: pages }
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
