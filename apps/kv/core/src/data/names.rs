//! A set of texts with few operations.

use super::map::Map;
use super::text::Text;

/// Texts, each once.
#[derive(Default)]
pub struct Names(Map<()>);

impl Names {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one; whether it is new.
    pub fn insert(&mut self, name: &[u8]) -> bool {
        let is_new = self.0.find(name).is_none();
        if is_new {
            self.0.add(Text::from(name), ());
        }
        is_new
    }

    /// Takes one out; whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.0.find(name).and_then(|at| self.0.remove(at)).is_some()
    }

    /// The one at an index below [`len`](Self::len).
    pub fn at(&self, index: u32) -> &Text {
        self.0.key(index)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Text> {
        self.0.iter().map(|(name, ())| name)
    }
}
