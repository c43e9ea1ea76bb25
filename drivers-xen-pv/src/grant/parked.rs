//! Pages that their owner has given up while a peer held them.

use super::GrantTable;
use super::lent::Owner;
use crate::types::{DomId, GrantRef};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, RefCell};
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicBool, Ordering};

/// Pages and the grants that are still to be ended; never freed by being dropped.
pub(super) struct Parked {
    owner: ManuallyDrop<Rc<dyn Any>>,
    /// What the owner keeps; 0 where another one that is parked has the same owner, and counts.
    pages: usize,
    remote: DomId,
    refs: Vec<GrantRef>,
}

impl Parked {
    /// Pages of an owner's that were granted to `remote`.
    pub(super) fn new(owner: Owner, remote: DomId, refs: Vec<GrantRef>) -> Self {
        Self { owner: ManuallyDrop::new(owner.memory), pages: owner.pages, remote, refs }
    }

    fn has_owner_of(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.owner, &other.owner)
    }

    /// Ends what can be ended; true if no grant is left.
    pub(super) fn try_end(&mut self, table: &GrantTable) -> bool {
        table.end_those_free(&mut self.refs);
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
    /// All of them, also those for which there was no memory in the list.
    pages: Cell<usize>,
    turn: Cell<usize>,
}

impl Parking {
    pub(super) fn pages(&self) -> usize {
        self.pages.get()
    }

    /// All but those that others than `remote` hold.
    pub(super) fn pages_of(&self, remote: DomId) -> usize {
        let list = self.parked.borrow();
        let others = list.iter().filter(|parked| parked.remote != remote);
        self.pages.get() - others.map(|parked| parked.pages).sum::<usize>()
    }

    pub(super) fn add(&self, mut parked: Parked) {
        IS_USED.store(true, Ordering::Relaxed);
        let mut list = self.parked.borrow_mut();
        let (held, pages) = (parked.refs.len(), parked.pages);
        log::warn!("{held} of {pages} pages given up are held by the peer: parked");
        if list.iter().any(|other| other.has_owner_of(&parked)) {
            parked.pages = 0;
        }
        self.pages.set(self.pages.get() + parked.pages);
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
            let mut parked = list.swap_remove(turn);
            // Another one that keeps the same memory counts from now on.
            if let Some(other) = list.iter_mut().find(|other| other.has_owner_of(&parked)) {
                other.pages += core::mem::take(&mut parked.pages);
            }
            drop(list);
            self.pages.set(self.pages.get() - parked.pages);
            parked.free();
        }
    }
}
