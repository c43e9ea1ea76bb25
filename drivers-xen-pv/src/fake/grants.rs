//! What peers do with the guest's grants, held to the rules of `grant_table.h` as the real hypervisor does.

use super::hypervisor::FakeHypervisor;
use crate::abi::grant_table::{GTF_PERMIT_ACCESS, GTF_READING, GTF_READONLY, GTF_TYPE_MASK, GTF_WRITING};
use crate::grant::Access;
use crate::shared::SharedMemory;
use crate::types::{DomId, GrantRef, PAGE_SIZE};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

const ENTRY_SIZE: usize = 8;

/// Why a peer may not use a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerMapError {
    /// The table has no such entry, or it grants nothing.
    NotGranted,
    /// It is for another domain.
    OtherDomain(DomId),
    /// It is for reading, and the peer wants to write.
    ReadOnly,
    /// Its frame is not the guest's.
    NoSuchFrame(u32),
}

/// A page of the guest that a peer holds; dropping it lets go.
#[derive(Debug)]
pub struct PeerMap {
    hv: &'static FakeHypervisor,
    reference: GrantRef,
    access: Access,
    memory: SharedMemory,
}

impl PeerMap {
    /// The page.
    pub fn memory(&self) -> SharedMemory {
        self.memory.clone()
    }

    /// Which grant it is.
    pub fn reference(&self) -> GrantRef {
        self.reference
    }
}

impl Drop for PeerMap {
    fn drop(&mut self) {
        self.hv.with_grants(|grants| grants.release(self.reference, self.access));
    }
}

/// Pages of the guest in a row, as a peer maps a ring of several.
#[derive(Debug)]
pub struct PeerRow {
    memory: SharedMemory,
    _maps: Vec<PeerMap>,
}

impl PeerRow {
    /// The pages.
    pub fn memory(&self) -> SharedMemory {
        self.memory.clone()
    }
}

#[derive(Default)]
pub(super) struct Grants {
    pub(super) frames: Vec<SharedMemory>,
    /// Holds on an entry: readers, writers.
    held: BTreeMap<GrantRef, (usize, usize)>,
}

impl Grants {
    fn entry(&self, reference: GrantRef) -> Option<(SharedMemory, usize)> {
        let at = reference.0 as usize * ENTRY_SIZE;
        self.frames.get(at / PAGE_SIZE).map(|page| (page.clone(), at % PAGE_SIZE))
    }

    /// The frame of an entry that `peer` may use so.
    fn check(&self, peer: DomId, reference: GrantRef, access: Access) -> Result<u32, PeerMapError> {
        let (page, at) = self.entry(reference).ok_or(PeerMapError::NotGranted)?;
        let flags = page.load_u16(at);
        if flags & GTF_TYPE_MASK != GTF_PERMIT_ACCESS {
            return Err(PeerMapError::NotGranted);
        }
        let granted_to = DomId(page.load_u16(at + 2));
        if granted_to != peer {
            return Err(PeerMapError::OtherDomain(granted_to));
        }
        if access == Access::ReadWrite && flags & GTF_READONLY != 0 {
            return Err(PeerMapError::ReadOnly);
        }
        Ok(page.load_u32(at + 4))
    }

    fn hold(&mut self, reference: GrantRef, access: Access) {
        let (readers, writers) = self.held.entry(reference).or_default();
        match access {
            Access::ReadOnly => *readers += 1,
            Access::ReadWrite => *writers += 1,
        }
        self.mark(reference);
    }

    fn release(&mut self, reference: GrantRef, access: Access) {
        let (readers, writers) = self.held.get_mut(&reference).expect("a hold");
        match access {
            Access::ReadOnly => *readers -= 1,
            Access::ReadWrite => *writers -= 1,
        }
        self.mark(reference);
    }

    /// Sets the entry's flags to what is held: writing implies reading, as in the real one.
    fn mark(&self, reference: GrantRef) {
        let (readers, writers) = self.held[&reference];
        let reading = if readers + writers > 0 { GTF_READING } else { 0 };
        let writing = if writers > 0 { GTF_WRITING } else { 0 };
        let (page, at) = self.entry(reference).expect("an entry that is held");
        let flags = page.atomic_u16(at);
        let others = flags.load(Ordering::Acquire) & !(GTF_READING | GTF_WRITING);
        assert_ne!(others, 0, "grant {reference} was ended while the peer held it");
        flags.store(others | reading | writing, Ordering::Release);
    }

    /// The entry that grants `frame`, if one does.
    pub(super) fn granting(&self, frame: u64) -> Option<GrantRef> {
        let entries = self.frames.len() * PAGE_SIZE / ENTRY_SIZE;
        (0..entries as u32).map(GrantRef).find(|r| {
            let (page, at) = self.entry(*r).expect("within the table");
            page.load_u16(at) & GTF_TYPE_MASK != 0 && u64::from(page.load_u32(at + 4)) == frame
        })
    }
}

impl FakeHypervisor {
    /// Maps a page of the guest for `peer`; the entry says so until the result is dropped.
    pub fn peer_map(
        &'static self,
        peer: DomId,
        reference: GrantRef,
        access: Access,
    ) -> Result<PeerMap, PeerMapError> {
        let frame = self.with_grants(|grants| grants.check(peer, reference, access))?;
        let page = self.page_of_frame(frame.into()).ok_or(PeerMapError::NoSuchFrame(frame))?;
        self.with_grants(|grants| grants.hold(reference, access));
        // SAFETY: a page of the fake guest, leaked; both sides access it through `SharedMemory`.
        let memory = unsafe { SharedMemory::new(page, PAGE_SIZE) };
        Ok(PeerMap { hv: self, reference, access, memory })
    }

    /// Maps pages of the guest for `peer`, one behind the other, for reading and writing.
    ///
    /// # Panics
    /// If they do not follow on each other in the guest's own memory too: a peer can map them in a row all the same, but no front
    /// end here uses what is not a row.
    pub fn peer_map_row(&'static self, peer: DomId, refs: &[GrantRef]) -> Result<PeerRow, PeerMapError> {
        let mut maps = Vec::new();
        let mut start = None;
        for (index, reference) in refs.iter().enumerate() {
            let frame = self.with_grants(|grants| grants.check(peer, *reference, Access::ReadWrite))?;
            let page = self.page_of_frame(frame.into()).ok_or(PeerMapError::NoSuchFrame(frame))?;
            let first = *start.get_or_insert(page);
            let offset = page.addr().get().wrapping_sub(first.addr().get());
            assert_eq!(offset, index * PAGE_SIZE, "page {index} of the row is elsewhere");
            maps.push(self.peer_map(peer, *reference, Access::ReadWrite)?);
        }
        let start = start.ok_or(PeerMapError::NotGranted)?;
        // SAFETY: pages of the fake guest, leaked, in a row as just seen; both sides access them through `SharedMemory`.
        let memory = unsafe { SharedMemory::new(start, refs.len() * PAGE_SIZE) };
        Ok(PeerRow { memory, _maps: maps })
    }

    /// Copies into a page of the guest, as a grant copy does.
    pub fn peer_copy_to(
        &'static self,
        peer: DomId,
        reference: GrantRef,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), PeerMapError> {
        self.peer_map(peer, reference, Access::ReadWrite)?.memory().write(offset, bytes);
        Ok(())
    }

    /// Copies from a page of the guest, as a grant copy does.
    pub fn peer_copy_from(
        &'static self,
        peer: DomId,
        reference: GrantRef,
        offset: usize,
        into: &mut [u8],
    ) -> Result<(), PeerMapError> {
        self.peer_map(peer, reference, Access::ReadOnly)?.memory().read(offset, into);
        Ok(())
    }
}
