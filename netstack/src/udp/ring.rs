//! Datagrams of one socket behind each other in one buffer: each lies in one piece, and none of them costs an allocation. The buffer
//! grows with what waits, and stays while there is plenty of memory.

use crate::data::Data;
use crate::memory::{Memory, Share, Use};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;

/// The least that is allocated, octets, and places.
const LEAST: usize = 256;
const PLACES: usize = 4;
/// A buffer of which so many times in a row no more than one in [`SPARSE`] octets was used is given back.
const PATIENCE: u8 = 64;
const SPARSE: usize = 8;

/// A datagram that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) from: SocketAddr,
    at: u32,
    len: u32,
}

/// What a datagram takes beside its data, octets.
pub(super) const PLACE: usize = size_of::<Place>();

impl Place {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Where it lies in the buffer.
    pub(super) fn octets(&self) -> Range<usize> {
        if self.len == 0 { 0..0 } else { self.at as usize..(self.at + self.len) as usize }
    }

    /// An empty one has a place of its own too.
    fn size(&self) -> usize {
        self.len().max(1)
    }
}

/// See the module. The buffer itself lies beside it: it is read while places come and go.
#[derive(Debug, Default)]
pub(super) struct Ring {
    places: VecDeque<Place>,
    /// Behind the last one.
    tail: usize,
    /// Octets that have a place.
    held: usize,
    capacity: usize,
    /// The most that was held since there was nothing, and how often in a row that was little.
    most: usize,
    sparse: u8,
    share: Option<Share>,
}

impl Ring {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Puts a datagram behind the others; false if there is no memory for it.
    pub(super) fn push(
        &mut self,
        buffer: &mut Vec<u8>,
        memory: &Rc<Memory>,
        from: SocketAddr,
        data: Data<'_>,
    ) -> bool {
        let mut place = Place { from, at: 0, len: data.len() as u32 };
        let size = place.size();
        if !self.has_place(memory) {
            return false;
        }
        let room = self.room(size);
        let Some(at) = room.or_else(|| self.grow(buffer, memory, size).then_some(self.tail)) else {
            return false;
        };
        place.at = at as u32;
        data.put(buffer, at);
        self.tail = at + size;
        self.held += size;
        self.most = self.most.max(self.held);
        self.places.push_back(place);
        true
    }

    /// The first datagram. It can be read until the next one is put.
    pub(super) fn pop(&mut self) -> Option<Place> {
        let place = self.places.pop_front()?;
        self.held -= place.size();
        if self.places.is_empty() {
            self.tail = 0;
        }
        Some(place)
    }

    /// Gives the buffer back of a ring that holds nothing, where others may need it or it has been too large for long.
    pub(super) fn settle(&mut self, buffer: &mut Vec<u8>) {
        let Some(share) = self.share.as_ref().filter(|_| self.places.is_empty()) else { return };
        let is_sparse = self.capacity > SPARSE * self.most.max(LEAST);
        self.sparse = if is_sparse { self.sparse + 1 } else { 0 };
        self.most = 0;
        if share.is_scarce(0) || self.sparse >= PATIENCE {
            (*self, *buffer) = (Self::default(), Vec::new());
        }
    }

    /// Whether there is a place for one more, or memory for it.
    fn has_place(&mut self, memory: &Rc<Memory>) -> bool {
        if self.places.len() < self.places.capacity() {
            return true;
        }
        let more = self.places.capacity().max(PLACES);
        if !self.charge(memory, more * PLACE) {
            return false;
        }
        let has_place = self.places.try_reserve_exact(more).is_ok();
        if !has_place {
            self.discharge(more * PLACE);
        }
        has_place
    }

    /// Where there is room for so many octets in one piece.
    fn room(&self, size: usize) -> Option<usize> {
        let (Some(first), Some(last)) = (self.places.front(), self.places.back()) else {
            return (size <= self.capacity).then_some(0);
        };
        let head = first.at as usize;
        if last.at < first.at {
            return (self.tail + size <= head).then_some(self.tail);
        }
        if self.tail + size <= self.capacity {
            return Some(self.tail);
        }
        (size <= head).then_some(0)
    }

    /// Moves all to a buffer with room for so many octets behind them; false if there is no memory for it.
    fn grow(&mut self, buffer: &mut Vec<u8>, memory: &Rc<Memory>, size: usize) -> bool {
        let exact = self.held + size;
        let wanted = [(2 * exact).max(LEAST), exact];
        wanted.into_iter().any(|capacity| self.move_to(buffer, memory, capacity.max(self.capacity)))
    }

    fn move_to(&mut self, buffer: &mut Vec<u8>, memory: &Rc<Memory>, capacity: usize) -> bool {
        let more = capacity - self.capacity;
        if !self.charge(memory, more) {
            return false;
        }
        let mut moved = Vec::new();
        if moved.try_reserve_exact(capacity).is_err() {
            self.discharge(more);
            return false;
        }
        for place in &mut self.places {
            let octets = place.octets();
            place.at = moved.len() as u32;
            moved.extend_from_slice(&buffer[octets]);
            moved.resize(place.at as usize + place.size(), 0);
        }
        (*buffer, self.capacity, self.tail) = (moved, capacity, self.held);
        true
    }

    fn charge(&mut self, memory: &Rc<Memory>, octets: usize) -> bool {
        match &mut self.share {
            Some(share) => share.grow(octets),
            None => {
                self.share = memory.take(Use::Datagrams, octets);
                self.share.is_some()
            }
        }
    }

    fn discharge(&mut self, octets: usize) {
        if let Some(share) = &mut self.share {
            share.shrink(octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{IpAddr, Ipv4Addr};
    use proptest::prelude::*;

    fn from(n: usize) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), n as u16)
    }

    /// A ring with its buffer, and what should be in it.
    struct Both {
        ring: Ring,
        buffer: Vec<u8>,
        model: VecDeque<(usize, Vec<u8>)>,
        memory: Rc<Memory>,
        pushed: usize,
    }

    impl Both {
        fn new(limit: usize) -> Self {
            let (ring, memory) = (Ring::default(), Memory::of(limit));
            Self { ring, buffer: Vec::new(), model: VecDeque::new(), memory, pushed: 0 }
        }

        fn push(&mut self, len: usize) -> bool {
            self.pushed += 1;
            let octets: Vec<u8> = (0..len).map(|n| (n * 7 + self.pushed) as u8).collect();
            let whole = &octets[..];
            let data = Data::new(&whole, 0, len);
            let pushed = self.ring.push(&mut self.buffer, &self.memory, from(self.pushed), data);
            if pushed {
                self.model.push_back((self.pushed, octets));
            }
            pushed
        }

        fn pop(&mut self) {
            let popped = self.ring.pop().map(|place| (place.from, self.buffer[place.octets()].to_vec()));
            assert_eq!(popped, self.model.pop_front().map(|(n, octets)| (from(n), octets)));
            self.ring.settle(&mut self.buffer);
        }

        fn check(&self) {
            let taken = self.ring.capacity + self.ring.places.capacity() * PLACE;
            assert_eq!(self.memory.used(Use::Datagrams), taken);
            assert!(self.buffer.len() <= self.ring.capacity && self.buffer.capacity() <= self.ring.capacity);
        }
    }

    proptest! {
        #[test]
        fn datagrams_come_out_as_they_went_in(
            steps in proptest::collection::vec((0..3u8, 0..3000usize), 1..200),
            limit in prop_oneof![Just(8 << 20), Just(100_000usize)],
        ) {
            let mut both = Both::new(limit);
            for (kind, len) in steps {
                match kind {
                    0 => both.pop(),
                    1 => drop(both.push(len % 20)),
                    _ => drop(both.push(len)),
                }
                both.check();
            }
            while !both.model.is_empty() {
                both.pop();
            }
            both.check();
        }
    }

    /// However many come and go, the buffer stays where it is.
    #[test]
    fn in_a_steady_state_nothing_is_allocated() {
        let mut both = Both::new(64 << 20);
        let burst = |both: &mut Both| {
            for n in 0..64 {
                assert!(both.push(1460 - n));
            }
            for _ in 0..64 {
                both.pop();
            }
        };
        burst(&mut both);
        let (at, capacity) = (both.buffer.as_ptr(), both.ring.capacity);
        assert!(capacity < 4 * 64 * 1460, "{capacity}");
        for _ in 0..1000 {
            burst(&mut both);
        }
        // Never empty, around the end of the buffer again and again.
        both.push(1000);
        for n in 0..10_000 {
            both.push(700 + n % 700);
            both.pop();
        }
        both.pop();
        assert_eq!((both.buffer.as_ptr(), both.ring.capacity), (at, capacity));
        // What one burst has needed is given back when there are only small ones.
        for _ in 0..=PATIENCE {
            both.push(10);
            both.pop();
        }
        assert_eq!((both.ring.capacity, both.memory.used(Use::Datagrams)), (LEAST, LEAST + PLACES * PLACE));
    }

    #[test]
    fn where_memory_is_scarce_nothing_is_kept() {
        let mut both = Both::new(1 << 20);
        let room = both.memory.limit(Use::Datagrams);
        assert!(both.push(room / 2) && !both.push(room / 2));
        both.pop();
        assert_eq!(both.memory.used(Use::Datagrams), 0);
    }
}
