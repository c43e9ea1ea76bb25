//! Sorted sets: members in the order of their scores, those of one score in the order of their octets.

use super::map::Map;
use super::rope::{Items, Rope};
use super::text::Text;
use core::cmp::Ordering;

/// The most members of a small one (`zset-max-listpack-entries`), which is searched from end to end.
pub const SMALL: usize = 128;
/// The longest member of a small one, octets (`zset-max-listpack-value`).
pub const SMALL_TEXT: usize = 64;

/// A member with its score.
#[derive(Clone)]
pub struct Scored {
    /// The score; never NaN.
    pub score: f64,
    /// The member.
    pub member: Text,
}

impl Scored {
    /// Whether this stands before a member with a score.
    pub fn is_before(&self, score: f64, member: &[u8]) -> bool {
        match self.score.partial_cmp(&score) {
            Some(Ordering::Equal) | None => *self.member < *member,
            Some(order) => order == Ordering::Less,
        }
    }
}

/// A sorted set.
#[derive(Default)]
pub struct Zset {
    order: Rope<Scored>,
    /// Scores by member, of a large one.
    scores: Option<Map<f64>>,
    heap: usize,
}

impl Zset {
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether it is a small one still.
    pub fn is_small(&self) -> bool {
        self.scores.is_none()
    }

    /// What it takes, octets.
    pub fn heap(&self) -> usize {
        let member = size_of::<Scored>() + if self.is_small() { 0 } else { Map::<f64>::ENTRY };
        self.heap + 64 + self.len() * member
    }

    /// The score of a member.
    #[inline(never)]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.scores {
            Some(scores) => scores.get(member).copied(),
            None => self.order.from(0).find(|scored| *scored.member == *member).map(|scored| scored.score),
        }
    }

    /// How many members stand before this one.
    #[inline(never)]
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        let score = self.score(member)?;
        Some(self.order.partition(&|scored| scored.is_before(score, member)))
    }

    /// Gives a member a score; whether it is a new one.
    #[inline(never)]
    pub fn set(&mut self, member: &[u8], score: f64) -> bool {
        let old = self.rank(member);
        let text = match old.and_then(|at| self.order.remove(at)) {
            Some(scored) => scored.member,
            None => {
                if member.len() > SMALL_TEXT || self.len() >= SMALL {
                    self.enlarge();
                }
                let text = Text::from(member);
                self.heap += text.heap() * if self.is_small() { 1 } else { 2 };
                text
            }
        };
        if let Some(scores) = &mut self.scores {
            match scores.find(member) {
                Some(at) => *scores.value_mut(at) = score,
                None => drop(scores.add(text.clone(), score)),
            }
        }
        let at = self.order.partition(&|scored| scored.is_before(score, member));
        self.order.insert(at, Scored { score, member: text });
        old.is_none()
    }

    /// Takes a member out; its score.
    #[inline(never)]
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let at = self.rank(member)?;
        self.take(at).map(|scored| scored.score)
    }

    /// Takes out the member at a place.
    #[inline(never)]
    pub fn take(&mut self, at: usize) -> Option<Scored> {
        let scored = self.order.remove(at)?;
        let copies = if self.is_small() { 1 } else { 2 };
        if let Some(scores) = &mut self.scores
            && let Some(at) = scores.find(&scored.member)
        {
            scores.remove(at);
        }
        self.heap -= scored.member.heap() * copies;
        Some(scored)
    }

    /// The member at a place.
    pub fn at(&self, at: usize) -> Option<&Scored> {
        self.order.at(at)
    }

    /// The members from a place on.
    pub fn from(&self, at: usize) -> Items<'_, Scored> {
        self.order.from(at)
    }

    /// See [`Rope::partition`].
    pub fn partition(&self, is_before: &dyn Fn(&Scored) -> bool) -> usize {
        self.order.partition(is_before)
    }

    /// The next members, about `most`; the cursor for the next call. See [`Map::scan`].
    pub fn scan(&self, cursor: u32, most: usize, visit: &mut dyn FnMut(&[u8], f64)) -> u32 {
        match &self.scores {
            None => {
                self.from(0).for_each(|scored| visit(&scored.member, scored.score));
                0
            }
            Some(scores) => scores.scan(cursor, most, &mut |at| visit(scores.key(at), *scores.value(at))),
        }
    }

    fn enlarge(&mut self) {
        if self.scores.is_none() {
            let mut scores = Map::new();
            for scored in self.order.from(0) {
                scores.add(scored.member.clone(), scored.score);
            }
            self.heap *= 2;
            self.scores = Some(scores);
        }
    }
}
