//! RESP, Redis's protocol, versions 2 and 3 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).

mod inline;
mod read;
mod write;

pub use inline::split;
pub use read::{Limits, Parser, ProtocolError, Step};
pub use write::Out;

/// The arguments of a command: ranges of the octets that it came in.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    octets: &'a [u8],
    ranges: &'a [(u32, u32)],
}

impl<'a> Args<'a> {
    /// Arguments at these places of `octets`.
    pub fn new(octets: &'a [u8], ranges: &'a [(u32, u32)]) -> Self {
        Self { octets, ranges }
    }

    /// How many there are, the name of the command with them.
    pub fn len(self) -> usize {
        self.ranges.len()
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.ranges.is_empty()
    }

    /// An argument; empty where there is none.
    pub fn at(self, index: usize) -> &'a [u8] {
        self.get(index).unwrap_or_default()
    }

    /// An argument, if it is there.
    #[inline(never)]
    pub fn get(self, index: usize) -> Option<&'a [u8]> {
        let (from, to) = *self.ranges.get(index)?;
        self.octets.get(from as usize..to as usize)
    }

    /// All from one on.
    pub fn from(self, index: usize) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        (index..self.len()).map(move |index| self.at(index))
    }

    /// Those from one on as arguments of their own.
    pub fn rest(self, index: usize) -> Self {
        Self { octets: self.octets, ranges: self.ranges.get(index..).unwrap_or_default() }
    }

    /// Whether an argument is a word, in capitals or not. `word` is in lower case.
    #[inline(never)]
    pub fn is(self, index: usize, word: &str) -> bool {
        self.at(index).eq_ignore_ascii_case(word.as_bytes())
    }

    /// The octets of all of them, or a few more: without looking at each.
    pub fn span(self) -> usize {
        match (self.ranges.first(), self.ranges.last()) {
            (Some((from, _)), Some((_, to))) => to.saturating_sub(*from) as usize,
            _ => 0,
        }
    }

    /// The octets of all of them.
    pub fn octets(self) -> usize {
        self.ranges.iter().map(|(from, to)| (to - from) as usize).sum()
    }
}
