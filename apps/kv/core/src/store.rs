//! The data as commands see it: the chosen database, keys that are over, who is to be told of a change.

mod tell;

use crate::data::db::Db;
use crate::data::hash::Hash;
use crate::data::list::List;
use crate::data::map::Map;
use crate::data::object::{Kind, Object, Value};
use crate::data::set::Set;
use crate::data::text::Text;
use crate::data::zset::Zset;
use crate::evict::Clock;
use crate::fault::Fault;
use crate::keep::Journal;
use alloc::vec::Vec;
use tell::Interest;

/// How many databases there are.
pub const DATABASES: usize = 16;

/// What is counted.
#[derive(Default)]
pub struct Counters {
    /// Keys that were asked for and were there.
    pub hits: u64,
    /// And were not.
    pub misses: u64,
    /// Keys that came to their end.
    pub expired: u64,
    /// Keys that had to go.
    pub evicted: u64,
    /// Changes.
    pub changes: u64,
}

/// A key and its database as one text.
#[inline(never)]
pub fn full_name(db: usize, key: &[u8]) -> Text {
    let mut name = Vec::with_capacity(key.len() + 1);
    name.push(db as u8);
    name.extend_from_slice(key);
    Text::from(name)
}

/// The database and the key of such a text.
pub fn parts_of(name: &[u8]) -> (usize, &[u8]) {
    name.split_first().map_or((0, name), |(db, key)| (usize::from(*db), key))
}

/// The data.
pub struct Store {
    dbs: Vec<Db>,
    /// The database that commands mean.
    pub db: usize,
    /// Milliseconds since 1970.
    pub now: i64,
    /// How use is noted.
    pub clock: Clock,
    /// What was counted.
    pub counters: Counters,
    /// What is to be written to the disk, if there is one.
    pub journal: Option<Journal>,
    interest: Map<Interest>,
    /// Keys for which clients wait that have got something, by their full names.
    pub ready: Vec<Text>,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// No data.
    pub fn new() -> Self {
        Self {
            dbs: (0..DATABASES).map(|_| Db::default()).collect(),
            db: 0,
            now: 0,
            clock: Clock::default(),
            counters: Counters::default(),
            journal: None,
            interest: Map::new(),
            ready: Vec::new(),
        }
    }

    /// The chosen database.
    #[inline]
    pub fn current(&self) -> &Db {
        &self.dbs[self.db]
    }

    /// The chosen database.
    #[inline]
    fn current_mut(&mut self) -> &mut Db {
        &mut self.dbs[self.db]
    }

    /// All databases.
    pub fn dbs(&self) -> &[Db] {
        &self.dbs
    }

    /// What all data takes, octets.
    pub fn weight(&self) -> usize {
        self.dbs.iter().map(Db::weight).sum()
    }

    /// Does something in another database.
    pub fn within<R>(&mut self, db: usize, act: impl FnOnce(&mut Self) -> R) -> R {
        let before = core::mem::replace(&mut self.db, db);
        let result = act(self);
        self.db = before;
        result
    }

    /// Where a key is, unless it is over. Does not count as use.
    #[inline(never)]
    pub fn peek(&mut self, key: &[u8]) -> Option<u32> {
        let db = self.current();
        let at = db.find(key)?;
        if db.object(at).is_over(self.now) {
            self.expire(at);
            return None;
        }
        Some(at)
    }

    /// Where a key is that is to be changed.
    #[inline(never)]
    pub fn find(&mut self, key: &[u8]) -> Option<u32> {
        let at = self.peek(key)?;
        let (clock, now) = (self.clock, self.now);
        let object = self.current_mut().object_mut(at);
        object.used = clock.used(object.used, now);
        Some(at)
    }

    /// Where a key is that is to be read.
    #[inline(never)]
    pub fn read(&mut self, key: &[u8]) -> Option<u32> {
        let found = self.find(key);
        self.count(found)
    }

    /// Where a key is that is asked for, and not used.
    pub fn look(&mut self, key: &[u8]) -> Option<u32> {
        let found = self.peek(key);
        self.count(found)
    }

    fn count(&mut self, found: Option<u32>) -> Option<u32> {
        match found {
            Some(_) => self.counters.hits += 1,
            None => self.counters.misses += 1,
        }
        found
    }

    /// Where a key is; it is made if it is not there.
    #[inline(never)]
    pub fn find_or(&mut self, key: &[u8], new: fn() -> Value) -> u32 {
        match self.find(key) {
            Some(at) => at,
            None => self.add(key, new()),
        }
    }

    fn add(&mut self, key: &[u8], value: Value) -> u32 {
        if let Some(journal) = &mut self.journal
            && value.kind() != Kind::String
        {
            journal.made(full_name(self.db, key));
        }
        let used = self.clock.first(self.now);
        self.current_mut().add(key, value, used)
    }

    /// The object at a place.
    #[inline]
    pub fn object(&self, at: u32) -> &Object {
        self.current().object(at)
    }

    /// The object at a place, for changes after which [`changed`](Self::changed) is called.
    #[inline]
    pub fn object_mut(&mut self, at: u32) -> &mut Object {
        self.current_mut().object_mut(at)
    }

    /// The hash at a place.
    #[inline(never)]
    pub fn hash(&mut self, at: u32) -> Result<&mut Hash, Fault> {
        match &mut self.object_mut(at).value {
            Value::Hash(hash) => Ok(hash),
            _ => Err(Fault::WRONG_TYPE),
        }
    }

    /// The list at a place.
    #[inline(never)]
    pub fn list(&mut self, at: u32) -> Result<&mut List, Fault> {
        match &mut self.object_mut(at).value {
            Value::List(list) => Ok(list),
            _ => Err(Fault::WRONG_TYPE),
        }
    }

    /// The set at a place.
    #[inline(never)]
    pub fn set(&mut self, at: u32) -> Result<&mut Set, Fault> {
        match &mut self.object_mut(at).value {
            Value::Set(set) => Ok(set),
            _ => Err(Fault::WRONG_TYPE),
        }
    }

    /// The sorted set at a place.
    #[inline(never)]
    pub fn zset(&mut self, at: u32) -> Result<&mut Zset, Fault> {
        match &mut self.object_mut(at).value {
            Value::Zset(zset) => Ok(zset),
            _ => Err(Fault::WRONG_TYPE),
        }
    }

    /// Puts a value under a key, whatever was there, without an end.
    #[inline(never)]
    pub fn put(&mut self, key: &[u8], value: Value) -> u32 {
        let at = self.put_keeping(key, value);
        self.current_mut().set_expires(at, None);
        at
    }

    /// Puts a value under a key; what was there lends it its end.
    #[inline(never)]
    pub fn put_keeping(&mut self, key: &[u8], value: Value) -> u32 {
        let at = match self.find(key) {
            Some(at) => {
                self.tell_replaced(at);
                self.object_mut(at).value = value;
                at
            }
            None => self.add(key, value),
        };
        self.changed(at);
        at
    }

    /// Sees to all that follows a change of the object at a place. A collection without elements is gone.
    #[inline(never)]
    pub fn changed(&mut self, at: u32) {
        self.counters.changes += 1;
        if self.object(at).value.count() == 0 {
            self.tell_replaced(at);
            self.tell(at);
            self.current_mut().remove(at);
        } else {
            self.current_mut().weigh(at);
            self.tell(at);
        }
    }

    /// Puts what a disk has, without telling anybody.
    pub fn load(&mut self, key: &[u8], value: Value, expires: Option<i64>) {
        if self.current().find(key).is_none() {
            let at = self.add(key, value);
            self.current_mut().set_expires(at, expires);
        }
    }

    /// Counts what the object at a place takes now.
    pub fn weigh(&mut self, at: u32) {
        self.current_mut().weigh(at);
    }

    /// Takes out collections that have no elements, which a disk should not have.
    pub fn drop_empty(&mut self) {
        for db in &mut self.dbs {
            let mut at = 0;
            while (at as usize) < db.len() {
                if db.object(at).value.count() == 0 { drop(db.remove(at)) } else { at += 1 }
            }
        }
    }

    /// Takes a key out; whether it was there.
    #[inline(never)]
    pub fn delete(&mut self, key: &[u8]) -> bool {
        self.take(key).is_some()
    }

    /// Takes a key out.
    #[inline(never)]
    pub fn take(&mut self, key: &[u8]) -> Option<Object> {
        let at = self.peek(key)?;
        self.counters.changes += 1;
        self.tell_replaced(at);
        self.tell(at);
        self.current_mut().remove(at).map(|(_, object)| object)
    }

    /// Puts an object under a key that is not there.
    pub fn restore(&mut self, key: &[u8], object: Object) {
        let expires = object.expires();
        let at = self.add(key, object.value);
        self.current_mut().set_expires(at, expires);
        self.changed(at);
    }

    /// Sets when the object at a place ends.
    #[inline(never)]
    pub fn set_expires(&mut self, at: u32, expires: Option<i64>) {
        self.current_mut().set_expires(at, expires);
        self.counters.changes += 1;
        // Of a collection the head alone is written.
        if let Some(journal) = &mut self.journal {
            journal.head();
        }
        self.tell(at);
    }

    fn expire(&mut self, at: u32) {
        self.counters.expired += 1;
        self.tell_replaced(at);
        self.tell(at);
        self.current_mut().remove(at);
    }

    /// Takes out what is over, at most so many; whether there may be more.
    pub fn expire_due(&mut self, mut most: usize) -> bool {
        for db in 0..DATABASES {
            let is_left = self.within(db, |store| {
                while most > 0 {
                    let Some(due) = store.current().due(0) else { return false };
                    if due.score > store.now as f64 {
                        return false;
                    }
                    let Some(at) = store.current().find(&due.member) else { return false };
                    store.expire(at);
                    most -= 1;
                }
                true
            });
            if is_left {
                return true;
            }
        }
        false
    }

    /// When the next key ends, milliseconds since 1970.
    pub fn next_due(&self) -> Option<i64> {
        self.dbs.iter().filter_map(|db| db.due(0)).map(|due| due.score as i64).min()
    }

    /// Takes a key out for want of room.
    pub fn evict(&mut self, at: u32) {
        self.counters.evicted += 1;
        self.tell_replaced(at);
        self.tell(at);
        self.current_mut().remove(at);
    }

    /// Empties the chosen database.
    pub fn clear(&mut self) {
        self.counters.changes += 1;
        let is_told = self.journal.is_some() || !self.interest.is_empty();
        // One by one: what is told takes less memory than what goes.
        while is_told && let Some(at) = self.current().len().checked_sub(1) {
            self.tell_replaced(at as u32);
            self.tell(at as u32);
            self.current_mut().remove(at as u32);
        }
        self.dbs[self.db] = Db::default();
    }

    /// Lets two databases change places.
    pub fn swap(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        self.counters.changes += 1;
        let told = |store: &mut Self| {
            for db in [a, b] {
                store.within(db, |store| {
                    for at in 0..store.current().len() as u32 {
                        store.tell_replaced(at);
                        store.tell(at);
                    }
                });
            }
        };
        told(self);
        self.dbs.swap(a, b);
        told(self);
    }
}
