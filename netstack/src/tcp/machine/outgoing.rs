//! What was written and is not acknowledged: octets in a ring, and between them octets that are sent from where they are.

use super::Account;
use super::ring::Ring;
use alloc::vec::Vec;
use core::ops::Range;
use fata_libos::net::Shared;

/// The most pieces: what is more is copied.
const MOST: usize = 64;
/// Shorter ones are copied, octets: to keep one apart costs as much.
const LEAST: usize = 512;

/// Octets that are not in the ring.
#[derive(Debug)]
struct Piece {
    /// Its place.
    at: u32,
    octets: Shared,
    from: u32,
    len: u32,
}

/// What so many of these octets take of the account: nobody else counts octets of the heap.
fn cost(octets: &Shared, len: u32) -> usize {
    if matches!(octets, Shared::Counted(_)) { len as usize } else { 0 }
}

/// What a piece takes beside its octets: there may be twice the places that are needed.
const PLACE: usize = 2 * size_of::<Piece>();

/// See the module. Places are octets from the first one that is not acknowledged on.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) ring: Ring,
    /// In order; few, and mostly none.
    pieces: Vec<Piece>,
}

impl Outgoing {
    /// Octets in the ring, of so many in all.
    #[inline(never)]
    pub(super) fn in_ring(&self, queued: u32) -> usize {
        self.pieces.iter().fold(queued, |left, piece| left - piece.len) as usize
    }

    /// Memory that it takes, octets.
    #[cfg(not(target_os = "xen"))]
    pub(super) fn memory(&self) -> usize {
        let counted: usize = self.pieces.iter().map(|piece| cost(&piece.octets, piece.len)).sum();
        self.ring.capacity() + self.pieces.len() * PLACE + counted
    }

    /// Puts a part of `octets` behind the `queued` ones, without a copy; false if it has to be copied.
    pub(super) fn share(
        &mut self,
        queued: u32,
        octets: &Shared,
        part: Range<usize>,
        account: &mut Account,
    ) -> bool {
        let (at, from, len) = (queued, part.start as u32, part.len() as u32);
        let goes_on = |last: &Piece| {
            last.at + last.len == at && last.from + last.len == from && last.octets.is_same(octets)
        };
        if octets.len() > u32::MAX as usize {
            return false;
        }
        if let Some(last) = self.pieces.last_mut().filter(|last| goes_on(last)) {
            let has_memory = account.grow(cost(octets, len));
            last.len += if has_memory { len } else { 0 };
            return has_memory;
        }
        let cost = PLACE + cost(octets, len);
        if part.len() < LEAST || self.pieces.len() >= MOST || !account.grow(cost) {
            return false;
        }
        let has_place = self.pieces.try_reserve(1).is_ok();
        if has_place {
            self.pieces.push(Piece { at, octets: octets.clone(), from, len });
        } else {
            account.shrink(cost);
        }
        has_place
    }

    /// Copies what stands at `offset` and behind it.
    pub(super) fn read(&self, mut offset: usize, mut buf: &mut [u8]) {
        // Octets of pieces so far.
        let mut apart = 0;
        for piece in &self.pieces {
            let (start, len) = (piece.at as usize, piece.len as usize);
            let (before, rest) = buf.split_at_mut(start.saturating_sub(offset).min(buf.len()));
            self.ring.read(offset - apart, before);
            (offset, buf) = (offset + before.len(), rest);
            if buf.is_empty() {
                return;
            }
            if offset < start + len {
                let (of_it, rest) = buf.split_at_mut((start + len - offset).min(buf.len()));
                let from = piece.from as usize + offset - start;
                of_it.copy_from_slice(&piece.octets[from..from + of_it.len()]);
                (offset, buf) = (offset + of_it.len(), rest);
            }
            if buf.is_empty() {
                return;
            }
            apart += len;
        }
        self.ring.read(offset - apart, buf);
    }

    /// The first octets are acknowledged, of so many in all.
    pub(super) fn advance(&mut self, octets: u32, queued: u32, account: &mut Account) {
        let mut of_ring = octets;
        for piece in &mut self.pieces {
            let gone = octets.saturating_sub(piece.at).min(piece.len);
            account.shrink(cost(&piece.octets, gone));
            piece.at = (piece.at + gone).saturating_sub(octets);
            piece.from += gone;
            piece.len -= gone;
            of_ring -= gone;
        }
        while self.pieces.first().is_some_and(|first| first.len == 0) {
            self.pieces.remove(0);
            account.shrink(PLACE);
        }
        if self.pieces.is_empty() {
            self.pieces = Vec::new();
        }
        self.ring.advance(of_ring as usize);
        self.ring.shrink(self.in_ring(queued - octets), account);
    }

    /// Gives everything back.
    #[inline(never)]
    pub(super) fn release(&mut self, account: &mut Account) {
        for piece in &self.pieces {
            account.shrink(PLACE + cost(&piece.octets, piece.len));
        }
        self.pieces = Vec::new();
        self.ring.release(account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Memory, Use};
    use alloc::collections::VecDeque;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(usize),
        /// Of the octets with that number, from there on.
        Share(usize, usize, usize),
        /// As the last one, from where it ended.
        ShareOn(usize),
        Acknowledge(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3000usize).prop_map(Step::Write),
            (0..4usize, 0..3000usize, 1..6000usize).prop_map(|(n, from, len)| Step::Share(n, from, len)),
            (1..3000usize).prop_map(Step::ShareOn),
            (0..9000u32).prop_map(Step::Acknowledge),
            Just(Step::Acknowledge(u32::MAX)),
        ]
    }

    static OCTETS: [u8; 9000] = {
        let mut octets = [0; 9000];
        let mut n = 0;
        while n < octets.len() {
            octets[n] = (n * 31 % 251) as u8;
            n += 1;
        }
        octets
    };

    /// What is written one way or the other stands in its order, whatever is acknowledged in between; and all memory is given
    /// back with the last octet.
    fn hold(steps: Vec<Step>, limit: usize) -> Result<usize, TestCaseError> {
        let memory = Memory::of(limit);
        let mut account = Account(memory.take(Use::Connections, 0));
        let sources: Vec<Shared> = (0..4u8)
            .map(|n| match n {
                0 => Shared::from(&OCTETS[..]),
                n => Shared::from(OCTETS.iter().map(|octet| octet ^ n).collect::<Vec<u8>>()),
            })
            .collect();
        let (mut out, mut model, mut last, mut shared) = (Outgoing::default(), VecDeque::new(), (0, 0), 0);
        for step in steps {
            let part = match step {
                Step::Share(n, from, len) => Some((n, from..(from + len).min(9000))),
                Step::ShareOn(len) => Some((last.0, last.1..(last.1 + len).min(9000))),
                _ => None,
            };
            let queued = model.len() as u32;
            match step {
                Step::Write(len) => {
                    let used = out.in_ring(queued);
                    let len = out.ring.reserve_some(used, used + len, &mut account).saturating_sub(used);
                    let octets: Vec<u8> = (0..len).map(|n| (n + used) as u8).collect();
                    out.ring.write(used, &octets);
                    model.extend(octets);
                }
                Step::Acknowledge(octets) => {
                    let octets = octets.min(queued);
                    out.advance(octets, queued, &mut account);
                    model.drain(..octets as usize);
                }
                _ => {}
            }
            if let Some((n, part)) = part
                && out.share(queued, &sources[n], part.clone(), &mut account)
            {
                last = (n, part.end);
                shared += part.len();
                model.extend(&sources[n][part]);
            }
            for (at, len) in [(0, model.len()), (model.len() / 3, model.len() / 2), (model.len(), 0)] {
                let mut buf = vec![0; len];
                out.read(at, &mut buf);
                prop_assert!(buf.iter().eq(model.iter().skip(at).take(len)), "{len} octets from {at} on");
            }
            prop_assert_eq!(memory.used(Use::Connections), out.memory());
        }
        let left = model.len() as u32;
        out.advance(left, left, &mut account);
        prop_assert_eq!((memory.used(Use::Connections), out.in_ring(0)), (0, 0));
        Ok(shared)
    }

    proptest! {
        #[test]
        fn octets_stand_in_their_order(steps in proptest::collection::vec(step(), 1..60)) {
            hold(steps.clone(), 8 << 20)?;
            hold(steps, 20_000)?;
        }
    }

    #[test]
    fn pieces_that_follow_each_other_are_one_and_their_number_is_bounded() {
        let on = |count| core::iter::repeat_n(Step::ShareOn(100), count).collect::<Vec<_>>();
        let first = Step::Share(0, 0, 512);
        assert_eq!(hold([vec![first.clone()], on(80)].concat(), 8 << 20).unwrap(), 512 + 8000);
        // Short ones by themselves are copied, and what is more than the most.
        assert_eq!(hold(vec![Step::Share(0, 0, LEAST - 1)], 8 << 20).unwrap(), 0);
        let apart: Vec<Step> = (0..100).map(|n| Step::Share(n % 2, 0, 600)).collect();
        assert_eq!(hold(apart, 8 << 20).unwrap(), MOST * 600);
    }
}
