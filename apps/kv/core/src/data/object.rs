//! A value of some type, and what is known of it beside.

use super::hash::Hash;
use super::list::List;
use super::set::Set;
use super::text::Text;
use super::zset::Zset;
use crate::number::{parse_int, push_int};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The longest string that Redis calls `embstr`, octets.
const EMBEDDED: usize = 44;

/// A value.
pub enum Value {
    /// A string that is a whole number.
    Int(i64),
    /// A string.
    Text(Text),
    /// A string that was changed in its place.
    Buffer(Box<Vec<u8>>),
    /// A list.
    List(Box<List>),
    /// A hash.
    Hash(Box<Hash>),
    /// A set.
    Set(Box<Set>),
    /// A sorted set.
    Zset(Box<Zset>),
}

/// The types, as they are stored on a disk too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A string.
    String = 1,
    /// A list.
    List = 2,
    /// A hash.
    Hash = 3,
    /// A set.
    Set = 4,
    /// A sorted set.
    Zset = 5,
}

impl Kind {
    /// Redis's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Hash => "hash",
            Self::Set => "set",
            Self::Zset => "zset",
        }
    }
}

impl Value {
    /// A string.
    pub fn string(octets: &[u8]) -> Self {
        match parse_int(octets) {
            Some(number) => Self::Int(number),
            None => Self::Text(Text::from(octets)),
        }
    }

    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Int(_) | Self::Text(_) | Self::Buffer(_) => Kind::String,
            Self::List(_) => Kind::List,
            Self::Hash(_) => Kind::Hash,
            Self::Set(_) => Kind::Set,
            Self::Zset(_) => Kind::Zset,
        }
    }

    /// What it takes on the heap, octets.
    fn heap(&self) -> usize {
        match self {
            Self::Int(_) => 0,
            Self::Text(text) => text.heap(),
            Self::Buffer(octets) => octets.capacity() + 40,
            Self::List(list) => list.heap(),
            Self::Hash(hash) => hash.heap(),
            Self::Set(set) => set.heap(),
            Self::Zset(zset) => zset.heap(),
        }
    }

    /// How many elements there are; a string has one.
    pub fn count(&self) -> usize {
        match self {
            Self::Int(_) | Self::Text(_) | Self::Buffer(_) => 1,
            Self::List(list) => list.len(),
            Self::Hash(hash) => hash.len(),
            Self::Set(set) => set.len(),
            Self::Zset(zset) => zset.len(),
        }
    }

    /// The octets of a string, in `scratch` where they are a number; `None` for other types.
    pub fn octets<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        match self {
            Self::Int(number) => {
                push_int(scratch, *number);
                Some(scratch)
            }
            Self::Text(text) => Some(text),
            Self::Buffer(octets) => Some(octets),
            _ => None,
        }
    }

    /// The name of how Redis would keep it.
    pub fn encoding(&self) -> &'static str {
        match self {
            Self::Int(_) => "int",
            Self::Text(text) if text.len() <= EMBEDDED => "embstr",
            Self::Text(_) | Self::Buffer(_) => "raw",
            Self::List(_) => "quicklist",
            Self::Hash(hash) if hash.is_small() => "listpack",
            Self::Set(set) if set.is_numbers() => "intset",
            Self::Zset(zset) if zset.is_small() => "listpack",
            Self::Zset(_) => "skiplist",
            Self::Hash(_) | Self::Set(_) => "hashtable",
        }
    }
}

/// No time.
const NEVER: i64 = i64::MAX;
/// The unit in which what an object takes is kept.
const UNIT: usize = 16;

/// A value, when it ends, when it was used.
pub struct Object {
    /// The value.
    pub value: Value,
    /// Milliseconds since 1970 at which it is over.
    expires: i64,
    /// When it was used last, or how often: see `evict`.
    pub used: u32,
    weight: u32,
}

impl Object {
    /// A value without an end.
    pub fn new(value: Value, used: u32) -> Self {
        Self { value, expires: NEVER, used, weight: 0 }
    }

    /// When it ends, milliseconds since 1970.
    pub fn expires(&self) -> Option<i64> {
        (self.expires != NEVER).then_some(self.expires)
    }

    /// Sets when it ends; for [`Db`](super::db::Db), which has a table of it.
    pub(super) fn set_expires(&mut self, expires: Option<i64>) {
        self.expires = expires.unwrap_or(NEVER);
    }

    /// Whether it is over.
    pub fn is_over(&self, now: i64) -> bool {
        self.expires <= now
    }

    /// What it takes with its key, octets, as was last found out.
    pub fn weight(&self) -> usize {
        self.weight as usize * UNIT
    }

    /// Finds out anew what it takes; the difference, octets.
    pub(super) fn weigh(&mut self, key: &Text) -> isize {
        let due = if self.expires == NEVER { 0 } else { size_of::<super::zset::Scored>() + key.heap() };
        let octets = super::map::Map::<Self>::ENTRY + key.heap() + due + self.value.heap();
        let before = self.weight();
        self.weight = u32::try_from(octets.div_ceil(UNIT)).unwrap_or(u32::MAX);
        self.weight().cast_signed() - before.cast_signed()
    }
}
