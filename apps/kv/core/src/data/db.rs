//! A database: objects by key, and the keys that end in the order in which they do.

use super::map::Map;
use super::object::{Object, Value};
use super::rope::Rope;
use super::text::Text;
use super::zset::Scored;

/// A database.
#[derive(Default)]
pub struct Db {
    map: Map<Object>,
    /// Keys that end, by when. Milliseconds since 1970 are exact in a double.
    due: Rope<Scored>,
    weight: isize,
}

impl Db {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// What all takes, octets.
    pub fn weight(&self) -> usize {
        self.weight.max(0).unsigned_abs()
    }

    /// Where a key is; good until one is removed.
    #[inline(never)]
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        self.map.find(key)
    }

    /// The key at a place below the number of keys.
    pub fn key(&self, at: u32) -> &Text {
        self.map.key(at)
    }

    /// The object at a place.
    #[inline]
    pub fn object(&self, at: u32) -> &Object {
        self.map.value(at)
    }

    /// The object at a place. [`weigh`](Self::weigh) has to follow where it becomes larger or smaller.
    #[inline]
    pub fn object_mut(&mut self, at: u32) -> &mut Object {
        self.map.value_mut(at)
    }

    /// Adds a key that is not there.
    pub fn add(&mut self, key: &[u8], value: Value, used: u32) -> u32 {
        let at = self.map.add(Text::from(key), Object::new(value, used));
        self.weigh(at);
        at
    }

    /// Counts what an object takes now.
    #[inline(never)]
    pub fn weigh(&mut self, at: u32) {
        let (key, object) = self.map.both_mut(at);
        self.weight += object.weigh(key);
    }

    /// Takes an object out.
    #[inline(never)]
    pub fn remove(&mut self, at: u32) -> Option<(Text, Object)> {
        let expires = self.object(at).expires();
        self.set_expires(at, None);
        let (key, mut object) = self.map.remove(at)?;
        self.weight -= object.weight().cast_signed();
        object.set_expires(expires);
        Some((key, object))
    }

    /// Sets when an object ends.
    #[inline(never)]
    pub fn set_expires(&mut self, at: u32, expires: Option<i64>) {
        let old = self.object(at).expires();
        if old == expires {
            return;
        }
        let key = self.key(at).clone();
        if let Some(old) = old {
            let place = self.due.partition(&|due| due.is_before(old as f64, &key));
            self.due.remove(place);
        }
        if let Some(new) = expires {
            let score = new as f64;
            let place = self.due.partition(&|due| due.is_before(score, &key));
            self.due.insert(place, Scored { score, member: key });
        }
        self.map.value_mut(at).set_expires(expires);
        self.weigh(at);
    }

    /// How many keys end some time.
    pub fn expiring(&self) -> usize {
        self.due.len()
    }

    /// The key that is the `rank`th to end.
    pub fn due(&self, rank: usize) -> Option<&Scored> {
        self.due.at(rank)
    }

    /// See [`Map::scan`].
    pub fn scan(&self, cursor: u32, most: usize, visit: &mut dyn FnMut(&Text, &Object)) -> u32 {
        self.map.scan(cursor, most, &mut |at| visit(self.key(at), self.object(at)))
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Object)> {
        self.map.iter()
    }
}
