//! What has come out of order: ranges beyond the next number expected, and which of them changed last, as selective
//! acknowledgements name those first (RFC 2018, 4).

use super::Seq;
use alloc::vec::Vec;

/// Ranges that there may be in any case. A burst of losses leaves hundreds of holes in a large window, and a segment for
/// which there is no range is dropped, though it has come; but their number follows what the buffer holds, which is paid for.
const LEAST: usize = 64;
/// Octets of the buffer for one range more.
const OCTETS: usize = 512;
/// Changes that are remembered: blocks of a selective acknowledgement.
const RECENT: usize = 4;

/// See the module. Ranges are in order, and do not touch each other.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    ranges: Vec<(Seq, Seq)>,
    /// Numbers in the ranges that changed, the last one first, one for each range.
    recent: [Seq; RECENT],
    /// So many of those count.
    known: u8,
    /// So many have changed since the peer was told.
    untold: u8,
}

impl Assembler {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges, those that changed last first; these come again among the others.
    pub(super) fn newest(&self) -> impl Iterator<Item = (Seq, Seq)> {
        let known = &self.recent[..usize::from(self.known)];
        let recent = known.iter().filter_map(|seq| self.ranges.get(self.find(*seq)));
        recent.chain(&self.ranges).copied()
    }

    /// Whether a change at `seq` would be one more than `most` of which the peer has not been told.
    pub(super) fn hides(&self, seq: Seq, most: usize) -> bool {
        let grows = |(start, end): &(Seq, Seq)| !seq.before(*start) && !seq.after(*end);
        usize::from(self.untold) >= most && !self.ranges.get(self.find(self.recent[0])).is_some_and(grows)
    }

    /// The peer was told of what changed last.
    pub(super) fn told(&mut self) {
        self.untold = 0;
    }

    /// The first range that ends after `seq`.
    fn find(&self, seq: Seq) -> usize {
        self.ranges.partition_point(|(_, end)| !end.after(seq))
    }

    /// Whether all of that is there already.
    pub(super) fn has(&self, from: Seq, to: Seq) -> bool {
        self.ranges.get(self.find(from)).is_some_and(|(start, end)| !start.after(from) && !end.before(to))
    }

    /// Adds a range, for a buffer of so many octets; false if there is no room for one more.
    pub(super) fn add(&mut self, from: Seq, to: Seq, buffer: usize) -> bool {
        let first = self.ranges.partition_point(|(_, end)| end.before(from));
        let last = self.ranges.partition_point(|(start, _)| !start.after(to));
        if first == last {
            let most = LEAST.max(buffer / OCTETS);
            if self.ranges.len() >= most || self.ranges.try_reserve(1).is_err() {
                return false;
            }
            self.ranges.insert(first, (from, to));
        } else {
            let joined = (from.earlier(self.ranges[first].0), to.later(self.ranges[last - 1].1));
            self.ranges.drain(first + 1..last);
            self.ranges[first] = joined;
        }
        let (start, end) = self.ranges[first];
        self.forget(|seq| !seq.before(start) && seq.before(end));
        self.recent.rotate_right(1);
        self.recent[0] = from;
        self.known = (self.known + 1).min(RECENT as u8);
        self.untold = (self.untold + 1).min(RECENT as u8);
        true
    }

    /// Forgets changes, so that those that are left come first.
    fn forget(&mut self, of: impl Fn(Seq) -> bool) {
        let (known, untold) = (usize::from(self.known), usize::from(self.untold));
        (self.known, self.untold) = (0, 0);
        for n in 0..known {
            if !of(self.recent[n]) {
                self.recent[usize::from(self.known)] = self.recent[n];
                self.known += 1;
                self.untold += u8::from(n < untold);
            }
        }
    }

    /// Takes out what now follows without a hole: the number after it.
    pub(super) fn advance(&mut self, next: Seq) -> Seq {
        let reached = self.ranges.partition_point(|(start, _)| !start.after(next));
        let at = self.ranges.drain(..reached).fold(next, |at, (_, end)| at.later(end));
        self.forget(|seq| seq.before(at));
        if self.ranges.is_empty() {
            self.ranges = Vec::new();
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
            assert!(assembler.add(Seq(*from), Seq(*to), 0));
        }
        assembler
    }

    /// As often as a selective acknowledgement looks at them: each once, in order of change.
    fn list(assembler: &Assembler) -> Vec<(u32, u32)> {
        let mut list = Vec::new();
        for (from, to) in assembler.newest() {
            if !list.contains(&(from.0, to.0)) {
                list.push((from.0, to.0));
            }
        }
        list
    }

    #[test]
    fn the_last_one_stands_first_and_neighbours_join() {
        assert_eq!(list(&of(&[(10, 20), (30, 40), (50, 60)])), [(50, 60), (30, 40), (10, 20)]);
        assert_eq!(list(&of(&[(10, 20), (30, 40), (50, 60), (20, 30)])), [(10, 40), (50, 60)]);
        assert_eq!(list(&of(&[(10, 20), (30, 40), (5, 50)])), [(5, 50)]);
        assert_eq!(list(&of(&[(u32::MAX - 1, 5), (5, 9)])), [(u32::MAX - 1, 9)]);
        assert_eq!(list(&of(&[(50, 60), (10, 20), (30, 40), (55, 70)])), [(50, 70), (30, 40), (10, 20)]);
        assert!(of(&[(10, 20)]).has(Seq(12), Seq(20)) && !of(&[(10, 20)]).has(Seq(9), Seq(11)));
        assert!(!of(&[(10, 20), (30, 40)]).has(Seq(15), Seq(35)));
    }

    #[test]
    fn what_follows_is_taken_out() {
        let mut assembler = of(&[(10, 20), (30, 40)]);
        assert_eq!(assembler.advance(Seq(5)), Seq(5));
        assert_eq!(assembler.advance(Seq(12)), Seq(20));
        assert_eq!(list(&assembler), [(30, 40)]);
        assert_eq!(assembler.advance(Seq(50)), Seq(50));
        assert!(assembler.is_empty());
        assert_eq!(list(&assembler), []);
    }

    /// After changes, of which the first so many were told: whether one more at a place would hide one, where `most` fit.
    #[test]
    fn what_was_not_told_is_counted_by_range() {
        for (told, untold, at, most, hides) in [
            (&[][..], &[(10, 20), (30, 40), (50, 60)][..], 70, 3, true),
            (&[], &[(10, 20), (30, 40), (50, 60)], 70, 4, false),
            (&[], &[(10, 20), (30, 40), (50, 60)], 60, 3, false),
            (&[], &[(10, 20), (30, 40), (50, 60)], 50, 3, false),
            (&[], &[(10, 20), (30, 40), (50, 60)], 40, 3, true),
            (&[(10, 20)], &[(30, 40), (50, 60)], 70, 3, false),
            (&[(10, 20), (30, 40)], &[(20, 30), (50, 60), (70, 80)], 90, 3, true),
            (&[], &[(10, 20), (30, 40), (20, 30), (50, 60)], 90, 3, false),
            (&[], &[(10, 20), (12, 15), (10, 25), (25, 28)], 90, 2, false),
            (&[], &[(10, 20), (30, 40), (50, 60), (70, 80), (90, 100)], 110, 4, true),
        ] {
            let mut assembler = of(told);
            assembler.told();
            for (from, to) in untold {
                assert!(assembler.add(Seq(*from), Seq(*to), 0));
            }
            assert_eq!(assembler.hides(Seq(at), most), hides, "{told:?} {untold:?} {at}");
        }
        let mut assembler = of(&[(10, 20), (30, 40), (50, 60)]);
        assert_eq!(assembler.advance(Seq(15)), Seq(20));
        assert!(!assembler.hides(Seq(90), 3) && assembler.hides(Seq(90), 2));
    }

    #[test]
    fn holes_are_as_many_as_the_buffer_is_worth() {
        for (buffer, most) in [(0, LEAST as u32), (65_536, 128), (1 << 20, 2048)] {
            let mut assembler = Assembler::default();
            for n in 0..most {
                assert!(assembler.add(Seq(10 * n), Seq(10 * n + 5), buffer));
            }
            assert!(!assembler.add(Seq(100_000), Seq(100_001), buffer));
            assert!(assembler.add(Seq(5), Seq(10), buffer), "one that fills a hole");
        }
    }

    /// Against a plain list of octets.
    #[test]
    fn it_holds_what_was_added() {
        let mut random = 1_u32;
        let mut below = |end: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) % end
        };
        for base in [0, u32::MAX - 100] {
            let (mut assembler, mut there) = (Assembler::default(), [false; 200]);
            for _ in 0..2000 {
                let from = 1 + below(190);
                let to = from + 1 + below(200 - from - 1);
                assert!(assembler.add(Seq(base) + from, Seq(base) + to, 0));
                there[from as usize..to as usize].fill(true);
                if there.iter().filter(|is| **is).count() > 150 {
                    let next = below(50);
                    let at = assembler.advance(Seq(base) + next) - Seq(base);
                    let run = there[next as usize..].iter().take_while(|is| **is).count() as u32;
                    assert_eq!(at, next + run);
                    there[..at as usize].fill(false);
                }
                let mut held = [false; 200];
                for (from, to) in &assembler.ranges {
                    held[(*from - Seq(base)) as usize..(*to - Seq(base)) as usize].fill(true);
                }
                assert_eq!(held, there);
            }
        }
    }
}
