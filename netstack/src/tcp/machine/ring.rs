//! Octets in a ring that grows with what it holds and is given back when it holds nothing.

use super::Account;
use crate::memory::zeroed;
use alloc::vec::Vec;

/// The least that is allocated, octets.
const LEAST: usize = 2048;
/// What a connection may have even where memory is scarce, octets.
const ALWAYS: usize = 4096;

/// See the module. The capacity is a power of two, or nothing.
#[derive(Debug, Default)]
pub(super) struct Ring {
    data: Vec<u8>,
    head: usize,
}

impl Ring {
    /// What is allocated, octets.
    pub(super) fn capacity(&self) -> usize {
        self.data.len()
    }

    /// Makes room for `octets` from the head on, of which the first `used` hold something; false if there is no memory for
    /// it.
    pub(super) fn reserve(&mut self, used: usize, octets: usize, account: &mut Account) -> bool {
        if octets <= self.data.len() {
            return true;
        }
        let capacity = octets.next_power_of_two().max(LEAST);
        if capacity > ALWAYS && account.is_scarce() || !account.grow(capacity - self.data.len()) {
            return false;
        }
        let Some(mut data) = zeroed(capacity) else {
            account.shrink(capacity - self.data.len());
            return false;
        };
        self.read(0, &mut data[..used]);
        (self.data, self.head) = (data, 0);
        true
    }

    /// Gives everything back.
    pub(super) fn release(&mut self, account: &mut Account) {
        account.shrink(self.data.len());
        (self.data, self.head) = (Vec::new(), 0);
    }

    fn at(&self, offset: usize) -> usize {
        (self.head + offset) & (self.data.len() - 1)
    }

    /// Writes so far from the head; there is room.
    pub(super) fn write(&mut self, offset: usize, octets: &[u8]) {
        if octets.is_empty() {
            return;
        }
        let at = self.at(offset);
        let first = octets.len().min(self.data.len() - at);
        self.data[at..at + first].copy_from_slice(&octets[..first]);
        self.data[..octets.len() - first].copy_from_slice(&octets[first..]);
    }

    /// Reads from so far behind the head.
    pub(super) fn read(&self, offset: usize, buf: &mut [u8]) {
        if buf.is_empty() {
            return;
        }
        let at = self.at(offset);
        let first = buf.len().min(self.data.len() - at);
        let rest = buf.len() - first;
        buf[..first].copy_from_slice(&self.data[at..at + first]);
        buf[first..].copy_from_slice(&self.data[..rest]);
    }

    /// Moves the head on.
    pub(super) fn advance(&mut self, octets: usize) {
        if octets > 0 {
            self.head = self.at(octets);
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
        ring.release(&mut account);
        assert_eq!(ring.capacity(), 0);
        ring.write(0, &[]);
        ring.read(0, &mut []);
        ring.advance(0);
    }
}
