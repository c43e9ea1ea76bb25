//! Pages together with their grants.

use super::lent::Owner;
use super::parked::Parked;
use super::{Access, GrantError};
use crate::shared::{Pages, SharedMemory};
use crate::types::{DomId, GrantRef};
use crate::xen::Xen;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Pages that one peer may use for as long as the value lives.
///
/// Dropping it ends the access. If the peer holds one of the pages then, all are parked: no page is freed, and none granted
/// anew, before the peer has let go of the last.
pub struct GrantedPages {
    xen: Rc<Xen>,
    remote: DomId,
    /// Taken by `drop` only.
    pages: Option<Rc<Pages>>,
    refs: Vec<GrantRef>,
    access: Access,
}

impl GrantedPages {
    /// `count` zeroed pages, virtually contiguous, each granted to `remote`.
    pub fn alloc(xen: &Rc<Xen>, remote: DomId, count: usize, access: Access) -> Result<Self, GrantError> {
        xen.grants().retry_parked();
        let no_memory = GrantError::NoMemory { pages: count };
        let mut refs = Vec::new();
        refs.try_reserve_exact(count).map_err(|_| no_memory)?;
        let pages = Pages::alloc(xen.hv(), count).ok_or(no_memory)?;
        // From here on an early return drops the value, which ends the grants made so far.
        let mut granted = Self { xen: xen.clone(), remote, pages: Some(pages), refs, access };
        for index in 0..count {
            let reference = xen.grants().grant(remote, granted.pages().frame(index), access)?;
            granted.refs.push(reference);
        }
        Ok(granted)
    }

    fn pages(&self) -> &Rc<Pages> {
        self.pages.as_ref().expect("pages are taken by drop only")
    }

    /// Their number.
    pub fn count(&self) -> usize {
        self.refs.len()
    }

    /// The grants, one a page.
    pub fn refs(&self) -> &[GrantRef] {
        &self.refs
    }

    /// The memory, to be copied from and to.
    pub fn memory(&self) -> SharedMemory {
        self.pages().memory()
    }

    /// The octets from `offset` as an ordinary slice.
    ///
    /// # Panics
    /// If the peer may write the pages.
    ///
    /// # Safety
    /// No [`memory`](Self::memory) of these pages is accessed while the slice is used.
    pub unsafe fn private_mut(&mut self, offset: usize, len: usize) -> &mut [u8] {
        assert!(self.access == Access::ReadOnly, "the peer may write these pages");
        let start = self.pages().private(offset, len);
        // SAFETY: within the pages; granted for reading only, just checked; no access beside it by `&mut self` and the
        // caller's promise.
        unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), len) }
    }
}

impl Drop for GrantedPages {
    fn drop(&mut self) {
        let Some(pages) = self.pages.take() else { return };
        let grants = self.xen.grants();
        let owner = Owner { pages: pages.count(), memory: pages };
        let mut parked = Parked::new(owner, self.remote, core::mem::take(&mut self.refs));
        if parked.try_end(grants) {
            parked.free();
        } else {
            grants.park(parked);
        }
    }
}
