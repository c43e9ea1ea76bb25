//! Pages that their owner has given up while a peer held them.

use super::{GrantError, GrantTable};
use crate::types::GrantRef;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, RefCell};
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicBool, Ordering};

/// Pages and the grants that are still to be ended; never freed by being dropped.
pub(super) struct Parked {
    owner: ManuallyDrop<Rc<dyn Any>>,
    pages: usize,
    refs: Vec<GrantRef>,
}

impl Parked {
    /// `owner` keeps the memory of so many pages.
    pub(super) fn new(owner: Rc<dyn Any>, pages: usize, refs: Vec<GrantRef>) -> Self {
        Self { owner: ManuallyDrop::new(owner), pages, refs }
    }

    /// Ends what can be ended; true if no grant is left.
    pub(super) fn try_end(&mut self, table: &GrantTable) -> bool {
        self.refs.retain(|r| matches!(table.try_end(*r), Err(GrantError::InUse { .. })));
        self.refs.is_empty()
    }

    /// Grants that are left.
    pub(super) fn held(&self) -> usize {
        self.refs.len()
    }

    /// Gives the pages back, once nobody has their memory any more. Only after [`try_end`](Self::try_end) said that no grant is left.
    pub(super) fn free(self) {
        assert!(self.refs.is_empty(), "{} grants left", self.refs.len());
        drop(ManuallyDrop::into_inner(self.owner));
    }
}

/// Whether any page was ever parked. Where none can be, an image has no code for it.
static IS_USED: AtomicBool = AtomicBool::new(false);

#[derive(Default)]
pub(super) struct Parking {
    parked: RefCell<Vec<Parked>>,
    pages: Cell<usize>,
    turn: Cell<usize>,
}

impl Parking {
    pub(super) fn pages(&self) -> usize {
        self.pages.get()
    }

    pub(super) fn add(&self, parked: Parked) {
        IS_USED.store(true, Ordering::Relaxed);
        let pages = parked.pages;
        log::warn!("{} of {pages} pages given up are held by the peer: parked", parked.refs.len());
        self.pages.set(self.pages.get() + pages);
        let mut list = self.parked.borrow_mut();
        // Without memory for the list the pages are lost, but never reused.
        if list.try_reserve(1).is_ok() {
            list.push(parked);
        }
    }

    pub(super) fn retry_one(&self, table: &GrantTable) {
        if !IS_USED.load(Ordering::Relaxed) {
            return;
        }
        let mut list = self.parked.borrow_mut();
        if list.is_empty() {
            return;
        }
        let turn = self.turn.get() % list.len();
        self.turn.set(turn + 1);
        if list[turn].try_end(table) {
            let parked = list.swap_remove(turn);
            drop(list);
            self.pages.set(self.pages.get() - parked.pages);
            parked.free();
        }
    }
}
