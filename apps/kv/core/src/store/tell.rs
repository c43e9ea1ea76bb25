//! Who is told of a change: the disk, clients that watch a key, and those that wait for its elements.

use super::{Store, full_name};
use crate::data::names::Names;
use crate::data::object::Kind;
use crate::data::text::Text;
use crate::fault::Fault;
use crate::keep::batch::cost_of;
use crate::keep::rows::position_name;
use crate::server::hub::has_memory;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

/// Who is to be told of a key.
#[derive(Default)]
pub(super) struct Interest {
    /// Flags to be set when it changes.
    watchers: Vec<Rc<Cell<bool>>>,
    /// Clients that wait for its elements.
    waiting: usize,
}

impl Store {
    /// Tells those who have to know of the key at a place.
    #[inline(never)]
    pub(super) fn tell(&mut self, at: u32) {
        if self.interest.is_empty() && self.journal.is_none() {
            return;
        }
        let key = full_name(self.db, self.current().key(at));
        if let Some(interest) = self.interest.get(&key) {
            interest.watchers.iter().for_each(|watcher| watcher.set(true));
            if interest.waiting > 0 && !self.ready.contains(&key) {
                self.ready.push(key.clone());
            }
        }
        if let Some(journal) = &mut self.journal {
            let object = self.dbs[self.db].object(at);
            let is_string = object.value.kind() == Kind::String;
            journal.touch(key, is_string, if is_string { object.weight() } else { 0 }, object.value.count());
        }
    }

    /// Tells that the object at a place is to be another one: what the disk has of a collection goes.
    #[inline(never)]
    pub(super) fn tell_replaced(&mut self, at: u32) {
        if let Some(journal) = &mut self.journal {
            let db = &self.dbs[self.db];
            if db.object(at).value.kind() != Kind::String {
                journal.touch_all(full_name(self.db, db.key(at)));
            }
        }
    }

    /// Names a field, member or element that has changed; [`changed`](Self::changed) follows. Where none is named all of
    /// the key is written.
    #[inline(never)]
    pub fn part(&mut self, name: &[u8]) {
        if let Some(journal) = &mut self.journal {
            journal.part(name);
        }
    }

    /// Names elements of the list at a place by their positions, after they have changed.
    #[inline(never)]
    pub fn positions(&mut self, at: u32, first: i64, count: usize) {
        let left = self.object(at).value.count();
        if let Some(journal) = &mut self.journal
            && journal.names_so_many(count, left)
        {
            (first..).take(count).for_each(|position| journal.part(&position_name(position)));
        }
    }

    /// Whether there is memory to write all of the object at a place anew, if there is a disk.
    #[inline(never)]
    pub fn may_write(&self, at: u32) -> Result<(), Fault> {
        self.may_tell(cost_of(self.object(at)) / 2)
    }

    /// Whether there is memory to tell a disk of keys that take so many octets, if there is one.
    pub fn may_tell(&self, octets: usize) -> Result<(), Fault> {
        if self.journal.is_none() || has_memory(octets) { Ok(()) } else { Err(Fault::OUT_OF_MEMORY) }
    }

    fn interest(&mut self, name: &[u8]) -> &mut Interest {
        let at = match self.interest.find(name) {
            Some(at) => at,
            None => self.interest.add(Text::from(name), Interest::default()),
        };
        self.interest.value_mut(at)
    }

    /// Forgets a key of which nobody is to be told.
    fn forget_idle(&mut self, name: &[u8]) {
        if let Some(at) = self.interest.find(name) {
            let interest = self.interest.value(at);
            if interest.watchers.is_empty() && interest.waiting == 0 {
                self.interest.remove(at);
            }
        }
    }

    /// Sets `flag` when a key of the chosen database changes.
    pub fn watch(&mut self, key: &[u8], flag: &Rc<Cell<bool>>) {
        let name = full_name(self.db, key);
        let watchers = &mut self.interest(&name).watchers;
        if !watchers.iter().any(|other| Rc::ptr_eq(other, flag)) {
            watchers.push(flag.clone());
        }
    }

    /// Forgets that `flag` is to be set, for keys by their full names.
    pub fn unwatch(&mut self, names: &Names, flag: &Rc<Cell<bool>>) {
        for name in names.iter() {
            self.interest(name).watchers.retain(|other| !Rc::ptr_eq(other, flag));
            self.forget_idle(name);
        }
    }

    /// A client waits for a key of this full name.
    pub fn await_key(&mut self, name: &[u8]) {
        self.interest(name).waiting += 1;
    }

    /// A client waits no more.
    pub fn forget_key(&mut self, name: &[u8]) {
        let interest = self.interest(name);
        interest.waiting = interest.waiting.saturating_sub(1);
        self.forget_idle(name);
    }
}
