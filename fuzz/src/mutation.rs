//! Octets that are nearly good ones.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Where it hurts most: headers and first lines.
const HEAD: usize = 80;
/// Values at which counting goes wrong.
const EDGES: &[u32] =
    &[0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];

/// A place in some octets.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: Index,
    in_head: bool,
}

impl Place {
    /// Up to, and with, the place behind the last.
    fn within(&self, len: usize) -> usize {
        let most = if self.in_head { len.min(HEAD) } else { len };
        self.at.index(most + 1)
    }
}

#[derive(Clone, Debug)]
enum Change {
    Set(Place, u8),
    Flip(Place, u8),
    /// A number in network order or the other, of so many octets.
    Number(Place, u32, usize, Order),
    Insert(Place, Vec<u8>),
    Remove(Place, usize),
    Repeat(Place, usize, usize),
    Cut(Place),
    /// From there on what another of the corpus has.
    Splice(Place, Index),
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Network,
    Little,
}

fn place() -> impl Strategy<Value = Place> {
    (any::<Index>(), any::<bool>()).prop_map(|(at, in_head)| Place { at, in_head })
}

fn change() -> impl Strategy<Value = Change> {
    let number = prop_oneof![select(EDGES), any::<u32>()];
    let order = prop_oneof![Just(Order::Network), Just(Order::Little)];
    let width = prop_oneof![Just(1_usize), Just(2), Just(4)];
    prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(at, value)| Change::Set(at, value)),
        3 => (place(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        4 => (place(), number, width, order).prop_map(|(at, n, width, order)| Change::Number(at, n, width, order)),
        2 => (place(), vec(any::<u8>(), 1..12)).prop_map(|(at, what)| Change::Insert(at, what)),
        2 => (place(), 1..40_usize).prop_map(|(at, len)| Change::Remove(at, len)),
        1 => (place(), 1..16_usize, 2..40_usize).prop_map(|(at, len, times)| Change::Repeat(at, len, times)),
        1 => place().prop_map(Change::Cut),
        1 => (place(), any::<Index>()).prop_map(|(at, other)| Change::Splice(at, other)),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let len = bytes.len();
        match self {
            Self::Set(place, value) => overwrite(bytes, place.within(len), &[*value]),
            Self::Flip(place, bit) => {
                if let Some(octet) = bytes.get_mut(place.within(len)) {
                    *octet ^= 1 << bit;
                }
            }
            Self::Number(place, number, width, order) => match order {
                Order::Network => overwrite(bytes, place.within(len), &number.to_be_bytes()[4 - width..]),
                Order::Little => overwrite(bytes, place.within(len), &number.to_le_bytes()[..*width]),
            },
            Self::Insert(place, what) => {
                let at = place.within(len);
                bytes.splice(at..at, what.iter().copied());
            }
            Self::Remove(place, count) => {
                let at = place.within(len);
                bytes.drain(at..len.min(at + count));
            }
            Self::Repeat(place, count, times) => {
                let at = place.within(len);
                let part = bytes[at..len.min(at + count)].repeat(*times);
                bytes.splice(at..at, part);
            }
            Self::Cut(place) => bytes.truncate(place.within(len)),
            Self::Splice(place, other) => {
                let (at, other) = (place.within(len), other.get(corpus));
                bytes.truncate(at);
                bytes.extend(other.iter().skip(at));
            }
        }
    }
}

/// Puts what fits.
fn overwrite(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..].iter_mut().zip(what).for_each(|(octet, new)| *octet = *new);
}

/// Some changes, to be made to octets that are there only later; few of them as a rule.
pub fn changes() -> impl Strategy<Value = Changes> {
    vec(change(), 1..4).prop_map(Changes)
}

/// See [`changes`].
#[derive(Clone, Debug)]
pub struct Changes(Vec<Change>);

impl Changes {
    /// Makes them.
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let before = vec![bytes.clone()];
        self.0.iter().for_each(|change| change.apply(bytes, &before));
    }
}

/// One of the corpus, with some changes or none.
pub fn mutated(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    assert!(!corpus.is_empty(), "nothing to start from");
    (any::<Index>(), vec(change(), 0..6)).prop_map(move |(which, changes)| {
        let mut bytes = which.get(&corpus).clone();
        changes.iter().for_each(|change| change.apply(&mut bytes, &corpus));
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    #[test]
    fn every_length_can_be_changed() {
        let inputs = mutated(vec![vec![], vec![1], (0..=255).collect()]);
        let mut runner = TestRunner::deterministic();
        let made: Vec<_> = (0..2000).map(|_| inputs.new_tree(&mut runner).unwrap().current()).collect();
        assert!(made.iter().any(|bytes| bytes.len() > 256) && made.iter().any(Vec::is_empty));
    }
}
