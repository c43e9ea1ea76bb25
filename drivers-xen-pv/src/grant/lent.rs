//! Pages of somebody's, granted for as long as one request takes.

use super::parked::Parked;
use super::{Access, GrantError};
use crate::types::{DomId, GrantRef, PAGE_SIZE};
use crate::xen::Xen;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::ptr::NonNull;

/// What keeps memory of which pages are lent.
pub struct Owner {
    /// Keeps it for as long as it lives.
    pub memory: Rc<dyn Any>,
    /// All that it keeps, in pages: so much is lost with one page that a peer does not let go of.
    pub pages: usize,
}

/// Access of one peer to pages that another value keeps, which stays alive for as long as the peer has them.
pub struct Lent {
    xen: Rc<Xen>,
    remote: DomId,
    /// Taken at the end only.
    owner: Option<Owner>,
    refs: Vec<GrantRef>,
}

impl Lent {
    /// Grants `count` pages from `start` on to `remote`.
    ///
    /// # Safety
    /// The pages begin at `start`, are memory of this guest's own, and stay that as long as the owner's memory lives. Until the access has
    /// ended nobody here reads or writes them, but for pages that `remote` may only read, which may be read.
    pub unsafe fn lend(
        xen: &Rc<Xen>,
        remote: DomId,
        owner: Owner,
        start: NonNull<u8>,
        count: usize,
        access: Access,
    ) -> Result<Self, GrantError> {
        let mut refs = Vec::new();
        refs.try_reserve_exact(count).map_err(|_| GrantError::NoMemory { pages: count })?;
        // From here on an early return drops the value, which ends the grants made so far.
        let mut lent = Self { xen: xen.clone(), remote, owner: Some(owner), refs };
        for index in 0..count {
            // SAFETY: within the pages, by the caller.
            let frame = xen.hv().frame_of(unsafe { start.add(index * PAGE_SIZE) });
            lent.refs.push(xen.grants().grant(remote, frame, access)?);
        }
        Ok(lent)
    }

    /// The grants, one a page.
    pub fn refs(&self) -> &[GrantRef] {
        &self.refs
    }

    /// Ends the access to the pages that the peer does not use at this moment, and says how many it holds: for a peer that is expected
    /// to let go soon.
    pub fn try_end(&mut self) -> usize {
        self.xen.grants().end_those_free(&mut self.refs);
        self.refs.len()
    }

    /// Ends the access, and says how many pages the peer still holds: those are parked, with what keeps them.
    pub fn end(mut self) -> usize {
        self.end_all()
    }

    fn end_all(&mut self) -> usize {
        let Some(owner) = self.owner.take() else { return 0 };
        let grants = self.xen.grants();
        let mut parked = Parked::new(owner, self.remote, core::mem::take(&mut self.refs));
        if parked.try_end(grants) {
            parked.free();
            return 0;
        }
        let held = parked.held();
        grants.park(parked);
        held
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.end_all();
    }
}
