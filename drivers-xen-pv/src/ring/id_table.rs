//! What is in flight, under the identifiers that a peer echoes.

use alloc::vec::Vec;

/// The peer answered with an identifier that is not in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdFault {
    /// No request ever had the identifier.
    #[error("response with id {seen}, expected an id below {limit}")]
    Unknown {
        /// The identifier seen.
        seen: u64,
        /// Identifiers lie below.
        limit: u64,
    },
    /// No request in flight has it: it was answered before, or never asked.
    #[error("response with id {seen}, which is not among the {in_flight} in flight")]
    NotInFlight {
        /// The identifier seen.
        seen: u64,
        /// Requests in flight.
        in_flight: usize,
    },
}

/// A bounded table of requests in flight; an identifier is the place in it.
#[derive(Debug)]
pub struct IdTable<T> {
    places: Vec<Option<T>>,
    free: Vec<u16>,
}

impl<T> IdTable<T> {
    /// An empty table for `size` requests in flight.
    pub fn new(size: u16) -> Self {
        Self { places: (0..size).map(|_| None).collect(), free: (0..size).rev().collect() }
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Requests that can be put in now.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Puts a request in and returns its identifier; gives it back when the table is full.
    pub fn insert(&mut self, request: T) -> Result<u16, T> {
        let Some(id) = self.free.pop() else { return Err(request) };
        self.places[usize::from(id)] = Some(request);
        Ok(id)
    }

    /// Takes out the request that the peer's identifier means.
    pub fn take(&mut self, id: u64) -> Result<T, IdFault> {
        let limit = self.places.len() as u64;
        let in_flight = self.in_flight();
        let place = usize::try_from(id).ok().and_then(|i| self.places.get_mut(i));
        let place = place.ok_or(IdFault::Unknown { seen: id, limit })?;
        let request = place.take().ok_or(IdFault::NotInFlight { seen: id, in_flight })?;
        self.free.push(id as u16);
        Ok(request)
    }

    /// The requests in flight.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten()
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten()
    }

    /// Takes out all requests, to be given up or sent again.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        let Self { places, free } = self;
        free.clear();
        free.extend((0..places.len() as u16).rev());
        places.iter_mut().filter_map(Option::take)
    }
}

#[cfg(test)]
mod tests {
    use super::{IdFault, IdTable};
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn says_what_was_seen() {
        let mut table = IdTable::new(4);
        let id = table.insert('a').unwrap();
        assert_eq!(table.take(4), Err(IdFault::Unknown { seen: 4, limit: 4 }));
        assert_eq!(table.take(u64::MAX), Err(IdFault::Unknown { seen: u64::MAX, limit: 4 }));
        let other = u64::from(id) + 1;
        assert_eq!(table.take(other), Err(IdFault::NotInFlight { seen: other, in_flight: 1 }));
        assert_eq!(table.take(u64::from(id)), Ok('a'));
        assert_eq!(
            table.take(u64::from(id)),
            Err(IdFault::NotInFlight { seen: u64::from(id), in_flight: 0 })
        );
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(steps in prop::collection::vec((any::<bool>(), 0u64..10), 0..200)) {
            let mut table = IdTable::new(8);
            let mut model = HashMap::new();
            for (n, (insert, id)) in steps.into_iter().enumerate() {
                if insert {
                    match table.insert(n) {
                        Ok(id) => prop_assert_eq!(model.insert(u64::from(id), n), None),
                        Err(_) => prop_assert_eq!(model.len(), 8),
                    }
                } else {
                    prop_assert_eq!(table.take(id).ok(), model.remove(&id));
                }
                prop_assert_eq!(table.in_flight(), model.len());
            }
            let mut left: Vec<_> = table.drain().collect();
            let mut expected: Vec<_> = model.into_values().collect();
            left.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(left, expected);
            prop_assert_eq!(table.free(), 8);
        }
    }
}
