//! Sets. Small ones of whole numbers alone are kept in order.

use super::map::Map;
use super::text::Text;
use crate::number::{parse_int, push_int};
use alloc::vec::Vec;

/// The most members of a set of numbers (`set-max-intset-entries`).
pub const SMALL: usize = 512;

enum Members {
    Numbers(Vec<i64>),
    Large(Map<()>),
}

/// A set.
pub struct Set {
    members: Members,
    heap: usize,
}

impl Default for Set {
    fn default() -> Self {
        Self { members: Members::Numbers(Vec::new()), heap: 0 }
    }
}

fn text(number: i64) -> Text {
    let mut octets = Vec::with_capacity(20);
    push_int(&mut octets, number);
    Text::from(&octets[..])
}

impl Set {
    /// How many members there are.
    pub fn len(&self) -> usize {
        match &self.members {
            Members::Numbers(numbers) => numbers.len(),
            Members::Large(map) => map.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is kept as numbers.
    pub fn is_numbers(&self) -> bool {
        matches!(self.members, Members::Numbers(_))
    }

    /// What it takes, octets.
    pub fn heap(&self) -> usize {
        let member = if self.is_numbers() { 8 } else { Map::<()>::ENTRY };
        self.heap + 64 + self.len() * member
    }

    /// Whether a member is there.
    #[inline(never)]
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.members {
            Members::Numbers(numbers) => parse_int(member).is_some_and(|n| numbers.binary_search(&n).is_ok()),
            Members::Large(map) => map.find(member).is_some(),
        }
    }

    /// Adds a member; whether it is a new one.
    #[inline(never)]
    pub fn add(&mut self, member: &[u8]) -> bool {
        if let Members::Numbers(numbers) = &mut self.members {
            if let Some(number) = parse_int(member) {
                let Err(at) = numbers.binary_search(&number) else { return false };
                numbers.insert(at, number);
                if numbers.len() > SMALL {
                    self.enlarge();
                }
                return true;
            }
            self.enlarge();
        }
        let Members::Large(map) = &mut self.members else { return false };
        if map.find(member).is_some() {
            return false;
        }
        let member = Text::from(member);
        self.heap += member.heap();
        map.add(member, ());
        true
    }

    /// Takes a member out; whether it was there.
    #[inline(never)]
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.members {
            Members::Numbers(numbers) => {
                let at = parse_int(member).and_then(|number| numbers.binary_search(&number).ok());
                at.map(|at| numbers.remove(at)).is_some()
            }
            Members::Large(map) => {
                let Some((member, ())) = map.find(member).and_then(|at| map.remove(at)) else { return false };
                self.heap -= member.heap();
                true
            }
        }
    }

    /// The member at a place below the number of members.
    #[inline(never)]
    pub fn at(&self, at: usize) -> Option<Text> {
        match &self.members {
            Members::Numbers(numbers) => numbers.get(at).map(|number| text(*number)),
            Members::Large(map) => (at < map.len()).then(|| map.key(at as u32).clone()),
        }
    }

    /// Takes out the member at a place.
    #[inline(never)]
    pub fn take(&mut self, at: usize) -> Option<Text> {
        match &mut self.members {
            Members::Numbers(numbers) => (at < numbers.len()).then(|| text(numbers.remove(at))),
            Members::Large(map) if at < map.len() => {
                let (member, ()) = map.remove(at as u32)?;
                self.heap -= member.heap();
                Some(member)
            }
            Members::Large(_) => None,
        }
    }

    /// All members.
    pub fn iter(&self) -> impl Iterator<Item = Text> {
        (0..self.len()).filter_map(|at| self.at(at))
    }

    /// The next members, about `most`; the cursor for the next call. See [`Map::scan`].
    pub fn scan(&self, cursor: u32, most: usize, visit: &mut dyn FnMut(&[u8])) -> u32 {
        match &self.members {
            Members::Numbers(numbers) => {
                numbers.iter().for_each(|number| visit(&text(*number)));
                0
            }
            Members::Large(map) => map.scan(cursor, most, &mut |at| visit(map.key(at))),
        }
    }

    fn enlarge(&mut self) {
        if let Members::Numbers(numbers) = &mut self.members {
            let mut map = Map::new();
            for number in core::mem::take(numbers) {
                map.add(text(number), ());
            }
            self.members = Members::Large(map);
        }
    }
}
