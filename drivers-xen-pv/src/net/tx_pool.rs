//! Pages to send from: the back end only reads them, so that frames are written in place.
//!
//! A frame of several pages is written in one go where free pages follow on each other, which they do within a chunk. A
//! page's number is its request's identifier; the pool knows which are with the back end.

use super::pool::Source;
use crate::abi::netif::{MAX_TX_SIZE, NR_SLOTS_MIN};
use crate::grant::{Access, GrantError};
use crate::ring::{IdFault, slots_in_page};
use crate::types::{DomId, GrantRef, PAGE_SIZE};
use crate::xen::Xen;
use alloc::rc::Rc;

/// Numbers of pages: as many as a ring has slots.
const IDS: usize = slots_in_page::<crate::abi::netif::Tx>() as usize;
/// Pages of a chunk: the longest frame fits. Without memory for so many, half of them.
const CHUNK: usize = u16::BITS as usize;
const CHUNKS: usize = IDS / CHUNK;
/// The most pages of a frame.
pub(super) const MOST: usize = MAX_TX_SIZE.div_ceil(PAGE_SIZE);

/// A frame fits a chunk, and what every back end takes.
const _: () = assert!(MOST <= CHUNK && MOST <= NR_SLOTS_MIN);

/// What a page is doing: a frame that fails is counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Idle,
    /// The first page of a frame is with the back end.
    First,
    /// A later one.
    Later,
}

/// Pages taken for a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    ids: [u16; MOST],
    count: usize,
    /// They follow on each other in memory.
    pub(super) in_a_row: bool,
}

impl Taken {
    pub(super) fn ids(&self) -> &[u16] {
        &self.ids[..self.count]
    }
}

pub(super) struct TxPool {
    source: Source,
    /// The free pages of each chunk, a bit each.
    free: [u16; CHUNKS],
    places: [Place; IDS],
    in_flight: usize,
}

impl TxPool {
    pub(super) fn new(xen: &Rc<Xen>, remote: DomId, limit: usize) -> Self {
        // Room for one chunk there always is.
        let source = Source::new(xen, remote, limit.max(CHUNK));
        Self { source, free: [0; CHUNKS], places: [Place::Idle; IDS], in_flight: 0 }
    }

    /// Pages.
    pub(super) fn len(&self) -> usize {
        self.source.pages()
    }

    /// Pages that are not with the back end.
    pub(super) fn free(&self) -> usize {
        self.len() - self.in_flight
    }

    /// Frames that are with the back end.
    pub(super) fn frames_in_flight(&self) -> u64 {
        self.places.iter().filter(|place| **place == Place::First).count() as u64
    }

    /// Adds pages and returns how many; none at the limit.
    pub(super) fn grow(&mut self) -> Result<usize, GrantError> {
        let chunk = self.source.chunks().len();
        let Some(free) = self.free.get_mut(chunk) else { return Ok(0) };
        let added = match self.source.grow(CHUNK, Access::ReadOnly) {
            Err(GrantError::NoMemory { .. }) => self.source.grow(CHUNK / 2, Access::ReadOnly)?,
            added => added?,
        };
        *free = ((1_u32 << added) - 1) as u16;
        Ok(added)
    }

    /// Whether so many free pages are there in a row.
    pub(super) fn has_row(&self, count: usize) -> bool {
        self.row(count).is_some()
    }

    /// The first of `count` free pages in a row.
    fn row(&self, count: usize) -> Option<usize> {
        let starts = |free: u16| (1..count).fold(free, |starts, _| starts & (starts >> 1));
        let found = self.free.iter().map(|free| starts(*free)).enumerate().find(|(_, starts)| *starts != 0);
        found.map(|(chunk, starts)| chunk * CHUNK + starts.trailing_zeros() as usize)
    }

    /// Takes pages for a frame: in a row if there are, else any; `None` if they are too few.
    pub(super) fn take(&mut self, count: usize) -> Option<Taken> {
        let mut taken = Taken { ids: [0; MOST], count, in_a_row: true };
        if count > MOST || count > self.free() {
            return None;
        }
        let row = self.row(count);
        taken.in_a_row = row.is_some();
        for n in 0..count {
            let id = row.map(|first| first + n).or_else(|| self.row(1))?;
            self.free[id / CHUNK] &= !(1 << (id % CHUNK));
            self.places[id] = if n == 0 { Place::First } else { Place::Later };
            taken.ids[n] = id as u16;
        }
        self.in_flight += count;
        Some(taken)
    }

    /// Takes a page back by the identifier that the back end says.
    pub(super) fn give_back(&mut self, seen: u64) -> Result<Place, IdFault> {
        let in_flight = self.in_flight;
        let id = usize::try_from(seen).ok().filter(|id| *id < IDS);
        let id = id.ok_or(IdFault::Unknown { seen, limit: IDS as u64 })?;
        match core::mem::replace(&mut self.places[id], Place::Idle) {
            Place::Idle => Err(IdFault::NotInFlight { seen, in_flight }),
            place => {
                self.free[id / CHUNK] |= 1 << (id % CHUNK);
                self.in_flight -= 1;
                Ok(place)
            }
        }
    }

    /// The grant of a page.
    pub(super) fn gref(&self, id: u16) -> GrantRef {
        let id = usize::from(id);
        self.source.chunks()[id / CHUNK].refs()[id % CHUNK]
    }

    /// `len` octets from the start of a page, which may go on in those that follow on it.
    pub(super) fn memory_mut(&mut self, id: u16, len: usize) -> &mut [u8] {
        let id = usize::from(id);
        let chunk = &mut self.source.chunks_mut()[id / CHUNK];
        // SAFETY: a transmit pool keeps its chunks to itself and never asks them for their shared memory.
        unsafe { chunk.private_mut(id % CHUNK * PAGE_SIZE, len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHypervisor;
    use proptest::prelude::*;

    fn pool(limit: usize) -> TxPool {
        let mut pool = TxPool::new(&Xen::new(FakeHypervisor::new()), DomId(1), limit);
        assert_eq!(pool.grow(), Ok(CHUNK));
        pool
    }

    #[test]
    fn rows_are_used_before_pages_apart() {
        let mut pool = pool(64);
        let five = pool.take(5).unwrap();
        assert_eq!((five.ids(), five.in_a_row), (&[0, 1, 2, 3, 4][..], true));
        let one = pool.take(1).unwrap();
        five.ids().iter().for_each(|id| assert!(pool.give_back(u64::from(*id)).is_ok()));
        assert_eq!(pool.take(6).unwrap().ids(), [6, 7, 8, 9, 10, 11]);
        let apart = pool.take(8).unwrap();
        assert_eq!((apart.ids(), apart.in_a_row), (&[0, 1, 2, 3, 4, 12, 13, 14][..], false));
        assert!(pool.take(2).is_none());
        assert_eq!(pool.give_back(u64::from(one.ids()[0])), Ok(Place::First));
        assert_eq!((pool.free(), pool.frames_in_flight()), (2, 2));
    }

    #[test]
    fn it_grows_to_its_limit_and_by_less_where_memory_is_short() {
        let mut pool = pool(40);
        assert_eq!((pool.grow(), pool.grow(), pool.len()), (Ok(16), Ok(0), 32));
        let hv = FakeHypervisor::new();
        let mut pool = TxPool::new(&Xen::new(hv), DomId(1), 64);
        hv.fail_allocations_after(Some(0));
        assert!(pool.grow().is_err());
        assert_eq!((pool.len(), pool.has_row(1)), (0, false));
    }

    proptest! {
        #[test]
        fn no_page_is_taken_twice_and_each_comes_back_once(
            steps in prop::collection::vec((0_usize..20, 0_u64..300), 1..300),
        ) {
            let mut pool = pool(100);
            let mut out = std::collections::BTreeMap::new();
            for (count, id) in steps {
                if let Some(taken) = pool.take(count) {
                    prop_assert_eq!(taken.ids().len(), count);
                    prop_assert!(!taken.in_a_row || taken.ids().windows(2).all(|w| w[1] == w[0] + 1));
                    for (n, id) in taken.ids().iter().enumerate() {
                        prop_assert!(usize::from(*id) < pool.len(), "a page that there is");
                        let place = if n == 0 { Place::First } else { Place::Later };
                        prop_assert_eq!(out.insert(u64::from(*id), place), None);
                    }
                } else {
                    prop_assert!(count > MOST || out.len() + count > pool.len());
                    let _ = pool.grow();
                }
                prop_assert_eq!(pool.give_back(id).ok(), out.remove(&id));
                prop_assert_eq!(pool.free(), pool.len() - out.len());
            }
        }
    }
}
