//! Octets in a ring that grows with what it holds and is given back when it holds nothing.

use super::{Account, Data};
use alloc::vec::Vec;

/// The least that is allocated, octets.
const LEAST: usize = 2048;
/// What a connection may have even where memory is scarce, octets.
pub(super) const ALWAYS: usize = 4096;

/// A buffer of which less than one in so many octets is used becomes smaller.
const SPARSE: usize = 16;

/// See the module. The capacity is a power of two, or nothing.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// As far as it was ever written: what is allocated beyond is not made zeros first.
    data: Vec<u8>,
    capacity: u32,
    head: u32,
}

impl Ring {
    /// What is allocated, octets.
    pub(super) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// As [`reserve`](Self::reserve), or for less where there is no memory for all: for how many from the head on.
    pub(super) fn reserve_some(&mut self, used: usize, octets: usize, account: &mut Account) -> usize {
        if self.reserve(used, octets, account) {
            return octets;
        }
        let less = octets.min(self.capacity().max(ALWAYS));
        if self.reserve(used, less, account) { less } else { self.capacity().min(octets) }
    }

    /// Makes room for `octets` from the head on, of which the first `used` hold something; false if there is no memory for
    /// it.
    pub(super) fn reserve(&mut self, used: usize, octets: usize, account: &mut Account) -> bool {
        if octets <= self.capacity() {
            return true;
        }
        let capacity = octets.next_power_of_two().max(LEAST);
        let more = capacity - self.capacity();
        if capacity > ALWAYS && account.is_scarce(0) || !account.grow(more) {
            return false;
        }
        let moved = self.move_to(capacity, used);
        if !moved {
            account.shrink(more);
        }
        moved
    }

    /// Moves the first `used` octets to a buffer of their own; false if there is no memory for it.
    fn move_to(&mut self, capacity: usize, used: usize) -> bool {
        let mut data = Vec::new();
        if data.try_reserve_exact(capacity).is_err() {
            return false;
        }
        if used > 0 {
            let (first, second) = self.pieces(0, used);
            data.extend_from_slice(first);
            if !second.is_empty() {
                data.resize(self.capacity() - self.head as usize, 0);
            }
            data.extend_from_slice(second);
        }
        (self.data, self.capacity, self.head) = (data, capacity as u32, 0);
        true
    }

    /// Sees to it that the first `octets` lie in one piece, where there is memory to move the first `used`.
    pub(super) fn straighten(&mut self, octets: usize, used: usize) {
        if self.first(octets).len() < octets {
            self.move_to(self.capacity(), used);
        }
    }

    /// Gives back what the first `used` octets do not need: all, where there are none, and most of it where they are a small part.
    /// That is seldom enough for what is moved to be little beside what has gone since the buffer was full.
    pub(super) fn shrink(&mut self, used: usize, account: &mut Account) {
        if used == 0 {
            return self.release(account);
        }
        if self.capacity() <= ALWAYS || used > self.capacity() / SPARSE {
            return;
        }
        let before = self.capacity();
        if self.move_to((2 * used).next_power_of_two().max(LEAST), used) {
            account.shrink(before - self.capacity());
        }
    }

    /// Gives everything back.
    pub(super) fn release(&mut self, account: &mut Account) {
        account.shrink(self.capacity());
        *self = Self::default();
    }

    fn at(&self, offset: usize) -> usize {
        (self.head as usize + offset) & (self.capacity() - 1)
    }

    /// What stands so far from the head, in two pieces; what was never written is missing at their ends.
    fn pieces(&self, offset: usize, len: usize) -> (&[u8], &[u8]) {
        let at = self.at(offset);
        let first = len.min(self.capacity() - at);
        let part = |from: usize, len: usize| {
            let end = (from + len).min(self.data.len());
            &self.data[from.min(end)..end]
        };
        (part(at, first), part(0, len - first))
    }

    /// Writes so far from the head; there is room.
    pub(super) fn write(&mut self, offset: usize, octets: &[u8]) {
        self.fill(offset, Data::new(&octets, 0, octets.len()));
    }

    /// As [`write`](Self::write), from the frame that brought it.
    pub(super) fn fill(&mut self, offset: usize, data: Data<'_>) {
        if data.is_empty() {
            return;
        }
        let at = self.at(offset);
        let (first, second) = data.split_at(self.capacity() - at);
        first.put(&mut self.data, at);
        second.put(&mut self.data, 0);
    }

    /// Reads from so far behind the head what was written there.
    pub(super) fn read(&self, offset: usize, buf: &mut [u8]) {
        if buf.is_empty() {
            return;
        }
        let (first, second) = self.pieces(offset, buf.len());
        buf[..first.len()].copy_from_slice(first);
        if !second.is_empty() {
            let at = self.capacity() - self.at(offset);
            buf[at..at + second.len()].copy_from_slice(second);
        }
    }

    /// Of so many octets from the head on, all written, those that lie in one piece.
    pub(super) fn first(&self, octets: usize) -> &[u8] {
        if octets == 0 { &[] } else { self.pieces(0, octets).0 }
    }

    /// Room for so many octets so far from the head, as far as it lies in one piece; what stands there is old.
    pub(super) fn room(&mut self, offset: usize, octets: usize) -> &mut [u8] {
        let at = self.at(offset);
        let end = (at + octets).min(self.capacity());
        if end > self.data.len() {
            self.data.resize(end, 0);
        }
        &mut self.data[at..end]
    }

    /// Moves the head on.
    pub(super) fn advance(&mut self, octets: usize) {
        if octets > 0 {
            self.head = self.at(octets) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_wraps_and_grows_and_is_given_back() {
        let mut account = Account::default();
        let mut ring = Ring::default();
        assert!(ring.reserve(0, 100, &mut account));
        assert_eq!(ring.capacity(), LEAST);
        ring.write(0, &[1; 2000]);
        ring.advance(1990);
        ring.write(10, &[2; 1000]);
        let mut buf = [0; 1010];
        ring.read(0, &mut buf);
        assert!(buf[..10] == [1; 10] && buf[10..] == [2; 1000]);
        assert!(ring.reserve(1010, 5000, &mut account));
        assert_eq!((ring.capacity(), ring.head), (8192, 0));
        buf.fill(0);
        ring.read(0, &mut buf);
        assert!(buf[..10] == [1; 10] && buf[10..] == [2; 1000]);
        assert_eq!(ring.first(1010), &buf[..]);
        // In one piece up to the end.
        ring.advance(1000);
        assert_eq!(ring.room(7000, 192).len(), 192);
        assert_eq!(ring.room(7000, 1000).len(), 192);
        ring.room(10, 5).fill(9);
        ring.read(0, &mut buf[..15]);
        assert!(buf[..10] == [2; 10] && buf[10..15] == [9; 5]);
        ring.release(&mut account);
        assert_eq!(ring.capacity(), 0);
        ring.write(0, &[]);
        ring.read(0, &mut []);
        ring.advance(0);
    }

    /// However a buffer is emptied, it is never much larger than what it holds, and what is moved for that is a small part.
    #[test]
    fn it_shrinks_with_what_it_holds_and_moves_little() {
        let memory = crate::memory::Memory::of(8 << 20);
        for piece in [1, 100, 5000, 70_000] {
            let mut account = Account(memory.take(crate::memory::Use::Connections, 0));
            let mut ring = Ring::default();
            assert!(ring.reserve(0, 1 << 20, &mut account));
            ring.advance(1_000_000);
            let octets: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
            ring.write(0, &octets);
            let (mut left, mut moved) = (1 << 20, 0);
            while left > 0 {
                let len = piece.min(left);
                ring.advance(len);
                left -= len;
                let before = ring.capacity();
                ring.shrink(left, &mut account);
                moved += if ring.capacity() < before { left } else { 0 };
                assert!(ring.capacity() <= (SPARSE * left).max(ALWAYS), "{} for {left}", ring.capacity());
                assert_eq!(memory.used(crate::memory::Use::Connections), ring.capacity());
                let mut last = [0];
                ring.read(left.saturating_sub(1), &mut last[..left.min(1)]);
                assert_eq!(last[0], if left > 0 { octets[(1 << 20) - 1] } else { 0 });
            }
            assert!(moved < (1 << 20) / 8 && ring.capacity() == 0, "{moved} octets moved");
        }
    }

    #[test]
    fn holes_are_filled_later() {
        let mut account = Account::default();
        let mut ring = Ring::default();
        assert!(ring.reserve(0, 2048, &mut account));
        ring.write(0, &[9; 1000]);
        ring.advance(1000);
        // Around the end of the ring and beyond a hole.
        ring.write(1500, &[3; 100]);
        ring.write(500, &[2; 1000]);
        ring.write(0, &[1; 500]);
        let mut buf = [0; 1600];
        ring.read(0, &mut buf);
        assert!(buf[..500] == [1; 500] && buf[500..1500] == [2; 1000] && buf[1500..] == [3; 100]);
        // Grown with a hole in what it holds.
        ring.write(1700, &[5; 50]);
        assert!(ring.reserve(2048, 4000, &mut account));
        let mut last = [0; 50];
        ring.read(1700, &mut last);
        assert_eq!(last, [5; 50]);
        // Beyond the end of a ring that was never written up to its end.
        let mut ring = Ring::default();
        assert!(ring.reserve(0, 2048, &mut account));
        ring.write(0, &[1; 1500]);
        ring.advance(1500);
        ring.write(1000, &[7; 50]);
        assert!(ring.reserve(2048, 4000, &mut account));
        ring.read(1000, &mut last);
        assert_eq!(last, [7; 50]);
    }
}
