//! The dynamic table (RFC 7541 sections 2.3.2 and 4).

use super::Unreadable;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// What an entry counts beside its octets.
const OVERHEAD: usize = 32;

/// Entries that the peer has put there, the newest with the smallest index. All of their octets are in one buffer, the
/// oldest first: a table takes not much more memory than the size that bounds it.
pub(crate) struct Dynamic {
    octets: Vec<u8>,
    /// Lengths of name and value, the oldest first.
    entries: VecDeque<(u16, u16)>,
    max_size: usize,
}

impl Dynamic {
    pub(crate) fn new(max_size: usize) -> Self {
        Self { octets: Vec::new(), entries: VecDeque::new(), max_size }
    }

    /// Octets as the RFC counts them.
    pub(crate) fn size(&self) -> usize {
        self.octets.len() + OVERHEAD * self.entries.len()
    }

    /// Changes the size that the table may have.
    pub(crate) fn resize(&mut self, max_size: usize) {
        self.max_size = max_size;
        self.evict_to(max_size);
    }

    /// The entry with that index, from 0.
    pub(crate) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let at = self.entries.len().checked_sub(index.checked_add(1)?)?;
        let behind: usize = self.entries.range(at + 1..).map(|&entry| octets(entry)).sum();
        let &(name, value) = self.entries.get(at)?;
        let end = self.octets.len().checked_sub(behind)?;
        let start = end.checked_sub(octets((name, value)))?;
        Some(self.octets.get(start..end)?.split_at(name.into()))
    }

    /// Adds an entry, which pushes the oldest out. One that is larger than the table empties it.
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Unreadable> {
        let size = name.len() + value.len() + OVERHEAD;
        let (Some(room), Ok(name_len), Ok(value_len)) =
            (self.max_size.checked_sub(size), u16::try_from(name.len()), u16::try_from(value.len()))
        else {
            self.evict_to(0);
            return Ok(());
        };
        self.evict_to(room);
        self.make_room(name.len() + value.len())?;
        self.octets.extend_from_slice(name);
        self.octets.extend_from_slice(value);
        self.entries.push_back((name_len, value_len));
        Ok(())
    }

    /// Makes room for another entry, never more than the table may have.
    fn make_room(&mut self, octets: usize) -> Result<(), Unreadable> {
        let (held, grown) = (self.octets.len(), self.octets.len() + octets);
        let is_short = grown > self.octets.capacity();
        let wanted = if is_short { (2 * held).clamp(grown, self.max_size.max(grown)) } else { held };
        let made = self.octets.try_reserve_exact(wanted - held).and_then(|()| self.entries.try_reserve(1));
        made.map_err(|_| Unreadable::NoMemory)
    }

    fn evict_to(&mut self, size: usize) {
        let (mut left, mut gone) = (self.size(), 0);
        while left > size
            && let Some(entry) = self.entries.pop_front()
        {
            gone += octets(entry);
            left -= octets(entry) + OVERHEAD;
        }
        self.octets.drain(..gone);
    }
}

fn octets((name, value): (u16, u16)) -> usize {
    usize::from(name) + usize::from(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_newest_is_first_and_the_oldest_goes() {
        let mut table = Dynamic::new(3 * 34);
        for name in [b"a", b"b", b"c", b"d"] {
            table.add(name, b"1").unwrap();
        }
        assert_eq!(table.get(0), Some((&b"d"[..], &b"1"[..])));
        assert_eq!(table.get(2), Some((&b"b"[..], &b"1"[..])));
        assert_eq!((table.get(3), table.get(usize::MAX)), (None, None));
        table.resize(40);
        assert_eq!((table.size(), table.get(1)), (34, None));
        table.add(b"much", b"too large").unwrap();
        assert_eq!((table.size(), table.get(0)), (0, None));
    }

    proptest! {
        #[test]
        fn as_a_list_is(
            max in 0_usize..300,
            entries in prop::collection::vec((".{0,40}", ".{0,40}"), 0..20),
        ) {
            let (mut table, mut list) = (Dynamic::new(max), Vec::new());
            for (name, value) in &entries {
                table.add(name.as_bytes(), value.as_bytes()).unwrap();
                list.insert(0, (name.as_bytes(), value.as_bytes()));
                let mut size = 0;
                list.retain(|(n, v)| {
                    size += n.len() + v.len() + OVERHEAD;
                    size <= max
                });
                prop_assert!(table.size() <= max);
                let own: Vec<_> = (0..).map_while(|n| table.get(n)).collect();
                prop_assert_eq!(&own, &list);
            }
        }
    }
}
