//! A set of texts with few operations.

use super::map::Map;
use super::text::Text;

/// Texts, each once.
#[derive(Default)]
pub struct Names {
    map: Map<()>,
    octets: usize,
}

impl Names {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// The octets of all of them.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Adds one; whether it is new.
    pub fn insert(&mut self, name: &[u8]) -> bool {
        let is_new = self.map.find(name).is_none();
        if is_new {
            self.map.add(Text::from(name), ());
            self.octets += name.len();
        }
        is_new
    }

    /// Takes one out; whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let is_there = self.map.find(name).and_then(|at| self.map.remove(at)).is_some();
        self.octets -= if is_there { name.len() } else { 0 };
        is_there
    }

    /// The one at an index below [`len`](Self::len).
    pub fn at(&self, index: u32) -> &Text {
        self.map.key(index)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Text> {
        self.map.iter().map(|(name, ())| name)
    }
}
