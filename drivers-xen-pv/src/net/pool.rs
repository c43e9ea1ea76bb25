//! Granted pages that live as long as a connection: no grant is made or ended per packet.
//!
//! Both pools grow by small chunks up to their limit, so that a small guest pays for what it uses.

use crate::grant::{Access, GrantError, GrantedPages};
use crate::shared::SharedMemory;
use crate::types::{DomId, GrantRef, PAGE_SIZE};
use crate::xen::Xen;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Pages of a chunk that a receive pool grows by.
pub(super) const RX_CHUNK: usize = 32;
/// Pages of a chunk that a transmit pool grows by.
const TX_CHUNK: usize = 8;

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
struct Source {
    xen: Rc<Xen>,
    remote: DomId,
    chunks: Vec<GrantedPages>,
    limit: usize,
}

impl Source {
    fn new(xen: &Rc<Xen>, remote: DomId, limit: usize) -> Self {
        Self { xen: xen.clone(), remote, chunks: Vec::new(), limit }
    }

    /// Another chunk, `None` at the limit.
    fn grow(&mut self, pages: usize, access: Access) -> Result<Option<&GrantedPages>, GrantError> {
        if (self.chunks.len() + 1) * pages > self.limit {
            return Ok(None);
        }
        let chunk = GrantedPages::alloc(&self.xen, self.remote, pages, access)?;
        self.chunks.push(chunk);
        Ok(self.chunks.last())
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
        let Some(chunk) = self.source.grow(RX_CHUNK, Access::ReadWrite)? else { return Ok(0) };
        let memory = chunk.memory();
        let page = |(i, gref): (usize, &GrantRef)| RxPage {
            memory: memory.part(i * PAGE_SIZE, PAGE_SIZE),
            gref: *gref,
        };
        self.pages.extend(chunk.refs().iter().enumerate().map(page));
        Ok(RX_CHUNK)
    }
}

/// Pages that the back end only reads, so that frames are written in place.
pub(super) struct TxPool(Source);

impl TxPool {
    pub(super) fn new(xen: &Rc<Xen>, remote: DomId, limit: usize) -> Self {
        Self(Source::new(xen, remote, limit))
    }

    /// Pages.
    pub(super) fn len(&self) -> usize {
        self.0.chunks.len() * TX_CHUNK
    }

    /// Adds pages and returns how many; none at the limit.
    pub(super) fn grow(&mut self) -> Result<usize, GrantError> {
        Ok(self.0.grow(TX_CHUNK, Access::ReadOnly)?.map_or(0, GrantedPages::count))
    }

    /// The grant of page `id`.
    pub(super) fn gref(&self, id: u16) -> GrantRef {
        let id = usize::from(id);
        self.0.chunks[id / TX_CHUNK].refs()[id % TX_CHUNK]
    }

    /// The first `len` octets of page `id`.
    pub(super) fn page_mut(&mut self, id: u16, len: usize) -> &mut [u8] {
        assert!(len <= PAGE_SIZE, "{len} octets of a page");
        let id = usize::from(id);
        let chunk = &mut self.0.chunks[id / TX_CHUNK];
        // SAFETY: a transmit pool keeps its chunks to itself and never asks them for their shared memory.
        unsafe { chunk.private_mut(id % TX_CHUNK * PAGE_SIZE, len) }
    }
}
