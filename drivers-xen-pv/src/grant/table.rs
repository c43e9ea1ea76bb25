//! The table: entries, their life, its growth.

use super::GrantError;
use super::parked::{Parked, Parking};
use crate::abi::grant_table::{
    GTF_INVALID, GTF_PERMIT_ACCESS, GTF_READING, GTF_READONLY, GTF_WRITING, NR_RESERVED_ENTRIES,
};
use crate::hypervisor::Hypervisor;
use crate::shared::SharedMemory;
use crate::types::{DomId, GrantRef, Mfn, PAGE_SIZE};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::sync::atomic::Ordering;

/// Octets of an entry.
const ENTRY_SIZE: usize = 8;
/// Entries of a page of the table.
const ENTRIES_PER_FRAME: u32 = (PAGE_SIZE / ENTRY_SIZE) as u32;
/// Where an entry's fields are.
const FLAGS: usize = 0;
const DOMID: usize = 2;
const FRAME: usize = 4;
/// End of the list of free entries: entry 0 is reserved, so never in it.
const NONE: u32 = 0;

/// What a peer may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

/// Figures of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrantCounts {
    /// Entries that grant something, those of parked pages included.
    pub in_use: u32,
    /// Entries that the table has now, reserved ones included.
    pub entries: u32,
    /// Pages that were given up while a peer held one of them.
    pub parked_pages: usize,
}

/// This domain's grant table. Grows when full, up to the hypervisor's limit.
pub struct GrantTable {
    hv: &'static dyn Hypervisor,
    state: RefCell<State>,
    parking: Parking,
}

/// Free entries form a list through their frame fields, which the hypervisor does not look at while the flags say invalid:
/// bookkeeping costs no memory.
struct State {
    frames: Vec<SharedMemory>,
    first_free: u32,
    never_used: u32,
    in_use: u32,
}

impl GrantTable {
    pub(crate) fn new(hv: &'static dyn Hypervisor) -> Self {
        let state =
            State { frames: Vec::new(), first_free: NONE, never_used: NR_RESERVED_ENTRIES, in_use: 0 };
        Self { hv, state: RefCell::new(state), parking: Parking::default() }
    }

    /// Lets `remote` use `frame`, until [`try_end`](Self::try_end) succeeds.
    pub(crate) fn grant(&self, remote: DomId, frame: Mfn, access: Access) -> Result<GrantRef, GrantError> {
        let number = u32::try_from(frame.0).map_err(|_| GrantError::FrameTooHigh { frame })?;
        let mut state = self.state.borrow_mut();
        let index = state.take_free(self.hv)?;
        let (entry, at) = state.entry(index).ok_or(GrantError::NotGranted { reference: GrantRef(index) })?;
        entry.store_u16(at + DOMID, remote.0);
        entry.store_u32(at + FRAME, number);
        let read_only = if access == Access::ReadOnly { GTF_READONLY } else { 0 };
        // Last, and released after the others: from here on the entry grants.
        entry.store_u16(at + FLAGS, GTF_PERMIT_ACCESS | read_only);
        state.in_use += 1;
        Ok(GrantRef(index))
    }

    /// Takes access back, if the peer does not use it at this moment: nothing can be taken from a peer by force.
    pub fn try_end(&self, reference: GrantRef) -> Result<(), GrantError> {
        let mut state = self.state.borrow_mut();
        let (entry, at) = state.entry(reference.0).ok_or(GrantError::NotGranted { reference })?;
        let word = entry.atomic_u16(at + FLAGS);
        let flags = word.load(Ordering::Acquire);
        if flags == GTF_INVALID {
            return Err(GrantError::NotGranted { reference });
        }
        if flags & (GTF_READING | GTF_WRITING) != 0 {
            return Err(GrantError::InUse { reference, flags });
        }
        // Between the look and this the hypervisor may have let the peer in; then the flags differ.
        word.compare_exchange(flags, GTF_INVALID, Ordering::AcqRel, Ordering::Acquire)
            .map_err(|flags| GrantError::InUse { reference, flags })?;
        entry.store_u16(at + DOMID, 0);
        entry.store_u32(at + FRAME, state.first_free);
        state.first_free = reference.0;
        state.in_use -= 1;
        Ok(())
    }

    /// Takes back those of `references` that the peer does not use at this moment: the others are left in it.
    pub(super) fn end_those_free(&self, references: &mut Vec<GrantRef>) {
        references.retain(|reference| matches!(self.try_end(*reference), Err(GrantError::InUse { .. })));
    }

    /// Figures.
    pub fn counts(&self) -> GrantCounts {
        let state = self.state.borrow();
        GrantCounts { in_use: state.in_use, entries: state.entries(), parked_pages: self.parking.pages() }
    }

    /// Pages that were given up while `remote` held one of them: what one peer holds is not another's fault.
    pub fn parked_pages_of(&self, remote: DomId) -> usize {
        self.parking.pages_of(remote)
    }

    /// Tries to end what is parked: one allocation a call, in turn, so that a peer that holds much for ever costs little.
    pub(crate) fn retry_parked(&self) {
        self.parking.retry_one(self);
    }

    pub(super) fn park(&self, parked: Parked) {
        self.parking.add(parked);
    }
}

impl State {
    fn entries(&self) -> u32 {
        self.frames.len() as u32 * ENTRIES_PER_FRAME
    }

    /// The page and the offset of an entry that this guest may have handed out.
    fn entry(&self, index: u32) -> Option<(&SharedMemory, usize)> {
        if index < NR_RESERVED_ENTRIES {
            return None;
        }
        let frame = self.frames.get((index / ENTRIES_PER_FRAME) as usize)?;
        Some((frame, (index % ENTRIES_PER_FRAME) as usize * ENTRY_SIZE))
    }

    fn take_free(&mut self, hv: &'static dyn Hypervisor) -> Result<u32, GrantError> {
        if let Some((entry, at)) = self.entry(self.first_free) {
            let index = self.first_free;
            self.first_free = entry.load_u32(at + FRAME);
            return Ok(index);
        }
        if self.never_used == self.entries().max(NR_RESERVED_ENTRIES) {
            self.grow(hv)?;
        }
        let index = self.never_used;
        self.never_used += 1;
        Ok(index)
    }

    fn grow(&mut self, hv: &'static dyn Hypervisor) -> Result<(), GrantError> {
        let entries = self.entries();
        let page = hv
            .grant_table_frame(self.frames.len() as u32)
            .map_err(|why| GrantError::Full { entries, why })?;
        // SAFETY: the hypervisor promises one page of the table, valid for ever; this table is its one user, and only
        // through `SharedMemory`.
        self.frames.push(unsafe { SharedMemory::new(page, PAGE_SIZE) });
        Ok(())
    }
}
