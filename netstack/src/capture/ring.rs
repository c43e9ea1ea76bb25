//! Octets in a ring, in which the oldest records give way to new ones.

use alloc::vec::Vec;

/// See the module.
pub(super) struct Ring {
    room: Vec<u8>,
    /// Where the oldest record begins.
    start: usize,
    /// Octets of all records.
    len: usize,
    overwritten: u64,
}

impl Ring {
    /// A ring in that room.
    pub(super) fn new(room: Vec<u8>) -> Self {
        Self { room, start: 0, len: 0, overwritten: 0 }
    }

    /// Octets that are kept.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Records that gave way.
    pub(super) fn overwritten(&self) -> u64 {
        self.overwritten
    }

    /// Makes room for a record of so many octets; false if there can be none. `record_len` tells a record's length from its
    /// first octets.
    pub(super) fn make_room(&mut self, octets: usize, record_len: fn([u8; 8]) -> usize) -> bool {
        if octets > self.room.len() {
            return false;
        }
        while self.room.len() - self.len < octets {
            let gone = record_len(core::array::from_fn(|n| self.room[self.place(n)]));
            self.start = self.place(gone);
            self.len -= gone;
            self.overwritten += 1;
        }
        true
    }

    /// Adds octets, for which there is room.
    pub(super) fn push(&mut self, octets: &[u8]) {
        let end = self.place(self.len);
        let before = octets.len().min(self.room.len() - end);
        self.room[end..end + before].copy_from_slice(&octets[..before]);
        self.room[..octets.len() - before].copy_from_slice(&octets[before..]);
        self.len += octets.len();
    }

    /// All octets, from the oldest.
    pub(super) fn octets(&self) -> [&[u8]; 2] {
        let before = self.len.min(self.room.len() - self.start);
        [&self.room[self.start..self.start + before], &self.room[..self.len - before]]
    }

    /// Where the octet `n` behind the start is.
    fn place(&self, n: usize) -> usize {
        let at = self.start + n;
        if at < self.room.len() { at } else { at - self.room.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record_len(head: [u8; 8]) -> usize {
        usize::from(head[4])
    }

    fn record(n: usize, len: usize) -> Vec<u8> {
        let mut record = vec![n as u8; len];
        record[4] = len as u8;
        record
    }

    proptest! {
        #[test]
        fn the_newest_records_are_there_whole(room in 40..300usize, lens in prop::collection::vec(8..60usize, 1..200)) {
            let mut ring = Ring::new(vec![0; room]);
            let mut kept = Vec::new();
            for (n, len) in lens.into_iter().enumerate() {
                let record = record(n, len);
                if !ring.make_room(len, record_len) {
                    prop_assert!(len > room);
                    continue;
                }
                record.chunks(7).for_each(|part| ring.push(part));
                kept.push(record);
                let all = ring.octets().concat();
                let gone = usize::try_from(ring.overwritten()).unwrap();
                prop_assert_eq!(&all, &kept[gone..].concat());
                prop_assert!(ring.len() == all.len() && all.len() <= room);
                // None gave way without need.
                if gone > 0 {
                    prop_assert!(all.len() + kept[gone - 1].len() > room);
                }
            }
        }
    }
}
