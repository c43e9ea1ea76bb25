//! Which requests that wait go onto the ring as one; pure logic.
//!
//! A request that goes on where another ends joins it, if both read or both write, and all of it fits. It may overtake others that
//! wait, which are independent of it, but no flush. An error of such a request is nobody's in particular: then each is issued
//! again, alone.

/// How many of those that wait are looked at.
const LOOK_AHEAD: usize = 32;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    Flush,
    Discard,
}

/// What is left of a request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) kind: Kind,
    /// The next sector, of 512 octets.
    pub(super) sector: u64,
    /// Pages that are left; none of what needs no device any more.
    pub(super) pages: usize,
    pub(super) joins: Joins,
}

/// Whether a request may go onto the ring with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joins {
    Others,
    /// It has failed with others.
    Nobody,
}

/// The place of the request among those that wait that goes on at sector `end` and has at most so many pages.
pub(super) fn follower(
    kind: Kind,
    end: u64,
    room: usize,
    waiting: impl Iterator<Item = Waits>,
) -> Option<usize> {
    let fits = |w: Waits| {
        w.kind == kind && w.sector == end && (1..=room).contains(&w.pages) && w.joins == Joins::Others
    };
    let until_flush = waiting.take(LOOK_AHEAD).take_while(|w| w.kind != Kind::Flush);
    until_flush.enumerate().find(|(_, w)| fits(*w)).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn waits(kind: Kind, sector: u64, pages: usize) -> Waits {
        Waits { kind, sector, pages, joins: Joins::Others }
    }

    #[test]
    fn what_goes_on_where_another_ends_joins_it() {
        let write = |sector, pages| waits(Kind::Write, sector, pages);
        let flush = waits(Kind::Flush, 0, 0);
        let alone = Waits { joins: Joins::Nobody, ..write(8, 1) };
        for (waiting, expected) in [
            (&[][..], None),
            (&[write(8, 1)], Some(0)),
            (&[write(9, 1)], None),
            (&[write(0, 1), waits(Kind::Read, 8, 1), write(8, 2), write(8, 1)], Some(2)),
            // Too long, whole or nothing.
            (&[write(8, 11)], None),
            (&[write(8, 10)], Some(0)),
            (&[write(8, 0)], None),
            (&[waits(Kind::Discard, 8, 1)], None),
            (&[waits(Kind::Discard, 8, 1), write(8, 1)], Some(1)),
            (&[flush, write(8, 1)], None),
            (&[write(8, 1), flush], Some(0)),
            (&[alone], None),
        ] {
            assert_eq!(follower(Kind::Write, 8, 10, waiting.iter().copied()), expected, "{waiting:?}");
        }
        let far = std::iter::repeat_n(write(0, 1), LOOK_AHEAD).chain([write(8, 1)]);
        assert_eq!(follower(Kind::Write, 8, 10, far), None, "so far is not looked");
    }

    fn any_waits() -> impl Strategy<Value = Waits> {
        let kind = prop_oneof![Just(Kind::Read), Just(Kind::Write), Just(Kind::Flush), Just(Kind::Discard)];
        let joins = prop_oneof![3 => Just(Joins::Others), 1 => Just(Joins::Nobody)];
        (kind, 0_u64..6, 0_usize..6, joins).prop_map(|(kind, sector, pages, joins)| Waits {
            kind,
            sector,
            pages,
            joins,
        })
    }

    proptest! {
        /// Against the rule said in other words.
        #[test]
        fn is_the_first_that_may(waiting in prop::collection::vec(any_waits(), 0..50), room in 0_usize..6) {
            let found = follower(Kind::Read, 3, room, waiting.iter().copied());
            let flush = waiting.iter().position(|w| w.kind == Kind::Flush).unwrap_or(50).min(LOOK_AHEAD);
            let may = |w: &Waits| matches!(w, Waits { kind: Kind::Read, sector: 3, joins: Joins::Others, pages }
                if *pages > 0 && *pages <= room);
            prop_assert_eq!(found, waiting.iter().position(may).filter(|place| *place < flush));
        }
    }
}
