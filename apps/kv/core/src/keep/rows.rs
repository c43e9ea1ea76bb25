//! Keys as rows, and rows as keys.
//!
//! A key has a row `A`, its head: type, end, and the value where that is a string. A collection has a row `B` for each
//! field, member or element. Names of rows have a database (one octet), then the key, then in a `B` the name of the part: a
//! field, a member, or the position of a list's element as eight octets in an order that sorts. Keys and parts longer than
//! 400 octets stand in names as a keyed hash of 128 bits, and in full at the front of the row's value.
//!
//! | row | name | value |
//! |---|---|---|
//! | `S` | `S` | version 1, then the key of the hash: 16 octets |
//! | `A` | `A` db key | long names; type; end in ms since 1970, 8 octets; octets of a string |
//! | `B` | `B` db key part | long names of key and part; value of a field; score, 8 octets |
//!
//! Numbers are little-endian, but for positions and lengths in names.

use super::batch::Batches;
use super::journal::Change;
use super::{KeepError, Row};
use crate::data::list::{End, List};
use crate::data::map::Map;
use crate::data::names::Names;
use crate::data::object::{Kind, Object, Value};
use crate::data::sip;
use crate::data::text::Text;
use crate::store::{DATABASES, Store, full_name};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// The name of the row that says how the others are to be read.
const HEADER: &[u8] = b"S";
/// The version of the rows.
const VERSION: u8 = 1;
/// The longest key, or part, that stands in a name in full, octets.
const LONGEST: usize = 400;
/// No end.
const NEVER: i64 = i64::MAX;

/// Writes and reads rows.
#[derive(Clone, Copy)]
pub struct Rows {
    secret: [u64; 2],
}

/// The name of a list's element: positions of both signs, in order.
pub fn position_name(position: i64) -> [u8; 8] {
    (position ^ i64::MIN).to_be_bytes()
}

impl Rows {
    /// Rows whose long names are hashed with a key.
    pub fn new(secret: [u64; 2]) -> Self {
        Self { secret }
    }

    /// The row that says how the others are to be read.
    pub fn header(self) -> Row {
        let [a, b] = self.secret.map(u64::to_le_bytes);
        Row::Put(HEADER.to_vec(), [&[VERSION][..], &a, &b].concat())
    }

    fn hash(self, octets: &[u8]) -> [u8; 16] {
        let [a, b] = self.secret;
        let halves = [sip::keyed([a, b], octets), sip::keyed([b ^ u64::MAX, a], octets)];
        let mut hash = [0; 16];
        hash[..8].copy_from_slice(&halves[0].to_le_bytes());
        hash[8..].copy_from_slice(&halves[1].to_le_bytes());
        hash
    }

    /// A key or part as it stands in a name; in full in `value` where it is too long.
    fn push(self, name: &mut Vec<u8>, value: &mut Vec<u8>, octets: &[u8]) {
        if octets.len() <= LONGEST {
            name.extend_from_slice(&(octets.len() as u16).to_be_bytes());
            name.extend_from_slice(octets);
        } else {
            name.extend_from_slice(&u16::MAX.to_be_bytes());
            name.extend_from_slice(&self.hash(octets));
            value.extend_from_slice(&(octets.len() as u32).to_le_bytes());
            value.extend_from_slice(octets);
        }
    }

    fn name(self, marker: u8, db: usize, key: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut name, mut value) = (vec![marker, db as u8], Vec::new());
        self.push(&mut name, &mut value, key);
        (name, value)
    }

    /// The rows of what has changed, as it is now.
    pub fn of(self, store: &mut Store, changes: &Map<Change>) -> Vec<Row> {
        Batches::new(self, changes).next(store, usize::MAX).unwrap_or_default()
    }

    /// The rows of a key that is not there.
    pub(super) fn of_none(self, db: usize, key: &[u8], change: &Change, rows: &mut Vec<Row>) {
        if matches!(change, Change::Whole) {
            rows.push(Row::DeletePrefix(self.name(b'B', db, key).0));
        }
        rows.push(Row::Delete(self.name(b'A', db, key).0));
    }

    /// The head of a key.
    pub(super) fn of_head(self, db: usize, key: &[u8], object: &Object) -> Row {
        let (head, mut value) = self.name(b'A', db, key);
        value.push(object.value.kind() as u8);
        value.extend_from_slice(&object.expires().unwrap_or(NEVER).to_le_bytes());
        let mut scratch = Vec::new();
        if let Some(octets) = object.value.octets(&mut scratch) {
            value.extend_from_slice(octets);
        }
        Row::Put(head, value)
    }

    /// All rows of a key.
    pub(super) fn of_whole(self, db: usize, key: &[u8], object: &Object, rows: &mut Vec<Row>) {
        rows.push(Row::DeletePrefix(self.name(b'B', db, key).0));
        rows.push(self.of_head(db, key, object));
        let mut put = |part: &[u8], content: &[u8]| {
            rows.push(self.of_part(db, key, part, Some(content.to_vec())));
        };
        match &object.value {
            Value::List(list) => {
                for (position, item) in (list.first()..).zip(list.from(0)) {
                    put(&position_name(position), item);
                }
            }
            Value::Hash(hash) => hash.iter().for_each(|(field, value)| put(field, value)),
            Value::Set(set) => set.iter().for_each(|member| put(&member, &[])),
            Value::Zset(zset) => {
                zset.from(0).for_each(|scored| put(&scored.member, &scored.score.to_le_bytes()));
            }
            Value::Int(_) | Value::Text(_) | Value::Buffer(_) => {}
        }
    }

    /// The row of a part, if it is there, else that it is gone.
    pub(super) fn of_part(self, db: usize, key: &[u8], part: &[u8], content: Option<Vec<u8>>) -> Row {
        let (mut name, mut value) = self.name(b'B', db, key);
        self.push(&mut name, &mut value, part);
        match content {
            None => Row::Delete(name),
            Some(content) => {
                value.extend_from_slice(&content);
                Row::Put(name, value)
            }
        }
    }
}

/// What is kept of a part, if it is there.
pub(super) fn part_of(value: &Value, part: &[u8]) -> Option<Vec<u8>> {
    match value {
        Value::List(list) => {
            let position = i64::from_be_bytes(part.try_into().ok()?) ^ i64::MIN;
            let place = usize::try_from(position.wrapping_sub(list.first())).ok()?;
            list.at(place).map(|item| item.to_vec())
        }
        Value::Hash(hash) => hash.get(part).map(|value| value.to_vec()),
        Value::Set(set) => set.contains(part).then(Vec::new),
        Value::Zset(zset) => zset.score(part).map(|score| score.to_le_bytes().to_vec()),
        Value::Int(_) | Value::Text(_) | Value::Buffer(_) => None,
    }
}

/// Reads rows in the order of their names.
#[derive(Default)]
pub struct Loader {
    /// The rows' key, when it was seen.
    pub secret: Option<[u64; 2]>,
    /// Rows that were seen.
    pub count: u64,
    /// Keys with parts that have no place, or between whose elements some are missing, by their full names: what has a place
    /// is there, which the disk is to be told. That comes of changes too large for one batch, not all of which were kept.
    pub torn: Names,
}

/// Takes octets from the front.
fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(taken)
}

/// A key or part from a name, or from the value where it is too long for that.
fn pull<'a>(name: &mut &'a [u8], value: &mut &'a [u8]) -> Option<&'a [u8]> {
    match u16::from_be_bytes(take(name, 2)?.try_into().ok()?) {
        u16::MAX => {
            take(name, 16)?;
            let len = u32::from_le_bytes(take(value, 4)?.try_into().ok()?);
            take(value, len as usize)
        }
        len => take(name, usize::from(len)),
    }
}

impl Loader {
    /// Takes a row into the data.
    pub fn row(&mut self, store: &mut Store, name: &[u8], value: &[u8]) -> Result<(), KeepError> {
        self.count += 1;
        if !crate::server::hub::has_memory(value.len()) {
            return Err(KeepError::Memory(self.count));
        }
        self.try_row(store, name, value).ok_or(KeepError::Row(self.count))
    }

    fn try_row(&mut self, store: &mut Store, name: &[u8], value: &[u8]) -> Option<()> {
        let (mut name, mut value) = (name, value);
        let marker = *take(&mut name, 1)?.first()?;
        if marker == b'S' {
            let version = *take(&mut value, 1)?.first()?;
            let (a, b) = value.split_at_checked(8)?;
            self.secret =
                Some([u64::from_le_bytes(a.try_into().ok()?), u64::from_le_bytes(b.try_into().ok()?)]);
            return (version == VERSION).then_some(());
        }
        let db = usize::from(*take(&mut name, 1)?.first()?);
        if db >= DATABASES {
            return None;
        }
        let key = pull(&mut name, &mut value)?;
        let is_in_place = store.within(db, |store| match marker {
            b'A' => head(store, key, value).map(|()| true),
            b'B' => pull(&mut name, &mut value).map(|part| add_part(store, key, part, value)),
            _ => None,
        })?;
        if !is_in_place {
            self.torn.insert(&full_name(db, key));
        }
        Some(())
    }
}

fn head(store: &mut Store, key: &[u8], mut value: &[u8]) -> Option<()> {
    let kind = *take(&mut value, 1)?.first()?;
    let expires = i64::from_le_bytes(take(&mut value, 8)?.try_into().ok()?);
    let empty = match kind {
        _ if kind == Kind::String as u8 => Value::string(value),
        _ if kind == Kind::List as u8 => Value::List(Box::default()),
        _ if kind == Kind::Hash as u8 => Value::Hash(Box::default()),
        _ if kind == Kind::Set as u8 => Value::Set(Box::default()),
        _ if kind == Kind::Zset as u8 => Value::Zset(Box::default()),
        _ => return None,
    };
    store.load(key, empty, (expires != NEVER).then_some(expires));
    Some(())
}

/// Adds a part to what the head says there is; false where it has no place there.
fn add_part(store: &mut Store, key: &[u8], part: &[u8], content: &[u8]) -> bool {
    let Some(at) = store.current().find(key) else { return false };
    let is_in_place = match &mut store.object_mut(at).value {
        Value::List(list) => {
            part.try_into().is_ok_and(|part| add_item(list, i64::from_be_bytes(part) ^ i64::MIN, content))
        }
        Value::Hash(hash) => {
            hash.set(part, Text::from(content));
            true
        }
        Value::Set(set) => {
            set.add(part);
            true
        }
        Value::Zset(zset) => {
            let score = content.try_into().map_or(f64::NAN, f64::from_le_bytes);
            if !score.is_nan() {
                zset.set(part, score);
            }
            !score.is_nan()
        }
        Value::Int(_) | Value::Text(_) | Value::Buffer(_) => false,
    };
    store.weigh(at);
    is_in_place
}

/// Elements come in order; the first says where the list begins. Whether none is missing before this one.
fn add_item(list: &mut List, position: i64, item: &[u8]) -> bool {
    if list.is_empty() {
        list.begin_at(position);
    }
    let is_next = position.wrapping_sub(list.first()) == list.len() as i64;
    list.push(End::Tail, Text::from(item));
    is_next
}
