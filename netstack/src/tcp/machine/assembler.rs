//! What has come out of order: ranges beyond the next number expected, the one that changed last first, as selective
//! acknowledgements name them (RFC 2018, 4).

use super::Seq;
use alloc::vec::Vec;

/// Ranges at most: a segment that would make one more is dropped.
const MOST: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Assembler(Vec<(Seq, Seq)>);

impl Assembler {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges, the one that changed last first.
    pub(super) fn ranges(&self) -> &[(Seq, Seq)] {
        &self.0
    }

    /// Whether all of that is there already.
    pub(super) fn has(&self, from: Seq, to: Seq) -> bool {
        self.0.iter().any(|(start, end)| !from.before(*start) && !to.after(*end))
    }

    /// Adds a range; false if there is no room for one more.
    pub(super) fn add(&mut self, mut from: Seq, mut to: Seq) -> bool {
        let touches = |(start, end): &(Seq, Seq)| !from.after(*end) && !to.before(*start);
        let joined = self.0.iter().filter(|range| touches(range)).count();
        if joined == 0 && (self.0.len() >= MOST || self.0.try_reserve(1).is_err()) {
            return false;
        }
        // Ranges do not touch each other, so that what touches the new one is known before it has grown.
        let (first, last) = (from, to);
        self.0.retain(|(start, end)| {
            let touches = !first.after(*end) && !last.before(*start);
            if touches {
                (from, to) = (from.earlier(*start), to.later(*end));
            }
            !touches
        });
        self.0.insert(0, (from, to));
        true
    }

    /// Takes out what now follows without a hole: the number after it.
    pub(super) fn advance(&mut self, next: Seq) -> Seq {
        let mut at = next;
        self.0.retain(|(start, end)| {
            let reached = !start.after(next);
            if reached {
                at = at.later(*end);
            }
            !reached
        });
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ranges: &[(u32, u32)]) -> Assembler {
        let mut assembler = Assembler::default();
        for (from, to) in ranges {
            assert!(assembler.add(Seq(*from), Seq(*to)));
        }
        assembler
    }

    fn list(assembler: &Assembler) -> Vec<(u32, u32)> {
        assembler.ranges().iter().map(|(a, b)| (a.0, b.0)).collect()
    }

    #[test]
    fn the_last_one_stands_first_and_neighbours_join() {
        assert_eq!(list(&of(&[(10, 20), (30, 40), (50, 60)])), [(50, 60), (30, 40), (10, 20)]);
        assert_eq!(list(&of(&[(10, 20), (30, 40), (50, 60), (20, 30)])), [(10, 40), (50, 60)]);
        assert_eq!(list(&of(&[(10, 20), (30, 40), (5, 50)])), [(5, 50)]);
        assert_eq!(list(&of(&[(u32::MAX - 1, 5), (5, 9)])), [(u32::MAX - 1, 9)]);
        assert!(of(&[(10, 20)]).has(Seq(12), Seq(20)) && !of(&[(10, 20)]).has(Seq(9), Seq(11)));
    }

    #[test]
    fn what_follows_is_taken_out() {
        let mut assembler = of(&[(10, 20), (30, 40)]);
        assert_eq!(assembler.advance(Seq(5)), Seq(5));
        assert_eq!(assembler.advance(Seq(12)), Seq(20));
        assert_eq!(list(&assembler), [(30, 40)]);
        assert_eq!(assembler.advance(Seq(50)), Seq(50));
        assert!(assembler.is_empty());
    }

    #[test]
    fn holes_are_bounded() {
        let mut assembler = Assembler::default();
        for n in 0..MOST as u32 {
            assert!(assembler.add(Seq(10 * n), Seq(10 * n + 5)));
        }
        assert!(!assembler.add(Seq(10_000), Seq(10_001)));
        assert!(assembler.add(Seq(5), Seq(10)), "one that fills a hole");
    }
}
