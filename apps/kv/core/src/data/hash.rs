//! Hashes: fields and values. Small ones keep the order in which fields came.

use super::map::Map;
use super::text::Text;
use alloc::vec::Vec;

/// The most fields of a small one (`hash-max-listpack-entries`).
pub const SMALL: usize = 128;
/// The longest field or value of a small one, octets (`hash-max-listpack-value`).
pub const SMALL_TEXT: usize = 64;

enum Fields {
    Small(Vec<(Text, Text)>),
    Large(Map<Text>),
}

/// A hash.
pub struct Hash {
    fields: Fields,
    heap: usize,
}

impl Default for Hash {
    fn default() -> Self {
        Self { fields: Fields::Small(Vec::new()), heap: 0 }
    }
}

impl Hash {
    /// How many fields there are.
    pub fn len(&self) -> usize {
        match &self.fields {
            Fields::Small(fields) => fields.len(),
            Fields::Large(map) => map.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is a small one still.
    pub fn is_small(&self) -> bool {
        matches!(self.fields, Fields::Small(_))
    }

    /// What it takes, octets.
    pub fn heap(&self) -> usize {
        let field = if self.is_small() { size_of::<(Text, Text)>() } else { Map::<Text>::ENTRY };
        self.heap + 64 + self.len() * field
    }

    fn find(&self, field: &[u8]) -> Option<usize> {
        match &self.fields {
            Fields::Small(fields) => fields.iter().position(|(name, _)| **name == *field),
            Fields::Large(map) => map.find(field).map(|at| at as usize),
        }
    }

    /// The value of a field.
    #[inline(never)]
    pub fn get(&self, field: &[u8]) -> Option<&Text> {
        self.find(field).and_then(|at| self.at(at)).map(|(_, value)| value)
    }

    /// The field at a place below the number of fields.
    #[inline(never)]
    pub fn at(&self, at: usize) -> Option<(&Text, &Text)> {
        match &self.fields {
            Fields::Small(fields) => fields.get(at).map(|(field, value)| (field, value)),
            Fields::Large(map) => (at < map.len()).then(|| (map.key(at as u32), map.value(at as u32))),
        }
    }

    /// Sets a field; whether it is a new one.
    #[inline(never)]
    pub fn set(&mut self, field: &[u8], value: Text) -> bool {
        if field.len() > SMALL_TEXT || value.len() > SMALL_TEXT {
            self.enlarge();
        }
        self.heap += value.heap();
        if let Some(at) = self.find(field) {
            let place = match &mut self.fields {
                Fields::Small(fields) => &mut fields[at].1,
                Fields::Large(map) => map.value_mut(at as u32),
            };
            self.heap -= core::mem::replace(place, value).heap();
            return false;
        }
        if self.len() >= SMALL {
            self.enlarge();
        }
        let field = Text::from(field);
        self.heap += field.heap();
        match &mut self.fields {
            Fields::Small(fields) => fields.push((field, value)),
            Fields::Large(map) => drop(map.add(field, value)),
        }
        true
    }

    /// Takes a field out.
    #[inline(never)]
    pub fn remove(&mut self, field: &[u8]) -> Option<Text> {
        let at = self.find(field)?;
        let (field, value) = match &mut self.fields {
            Fields::Small(fields) => fields.remove(at),
            Fields::Large(map) => map.remove(at as u32)?,
        };
        self.heap -= field.heap() + value.heap();
        Some(value)
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Text)> {
        (0..self.len()).filter_map(|at| self.at(at))
    }

    /// The next fields, about `most`; the cursor for the next call. See [`Map::scan`].
    pub fn scan(&self, cursor: u32, most: usize, visit: &mut dyn FnMut(&[u8], &[u8])) -> u32 {
        match &self.fields {
            Fields::Small(fields) => {
                fields.iter().for_each(|(field, value)| visit(field, value));
                0
            }
            Fields::Large(map) => map.scan(cursor, most, &mut |at| visit(map.key(at), map.value(at))),
        }
    }

    fn enlarge(&mut self) {
        if let Fields::Small(fields) = &mut self.fields {
            let mut map = Map::new();
            for (field, value) in core::mem::take(fields) {
                map.add(field, value);
            }
            self.fields = Fields::Large(map);
        }
    }
}
