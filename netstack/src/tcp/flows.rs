//! The hash table of flows. It becomes larger only for more flows.
//!
//! Where many are beside each other, one that goes leaves a mark in its place, which counts as taken until the table is put in order. When no place is left,
//! hashbrown puts it in order only if half of it is empty, and else makes it twice as large, though there are no more flows than before. So some
//! of TIME-WAIT go before their time then, the oldest.

use super::{Flow, time_wait};
use crate::hash::Key;
use alloc::collections::VecDeque;
use core::mem;
use fata_libos::time::Instant;
use hashbrown::HashMap;

/// What may be in TIME-WAIT.
pub(super) trait Waits {
    /// Since when it is.
    fn since(&self) -> Option<Instant>;
}

/// See the module.
pub(super) struct Flows<P> {
    places: HashMap<Flow, P, Key>,
    /// Those of TIME-WAIT, oldest first; may name flows that are something else by now.
    waiting: VecDeque<(Instant, Flow)>,
    /// How many are in TIME-WAIT.
    waits: usize,
    /// How many the table takes without marks.
    room: usize,
}

impl<P: Waits> Flows<P> {
    pub(super) fn new(key: Key) -> Self {
        Self { places: HashMap::with_hasher(key), waiting: VecDeque::new(), waits: 0, room: 0 }
    }

    pub(super) fn all(&self) -> &HashMap<Flow, P, Key> {
        &self.places
    }

    /// Gives a flow its place; what was there before. For a flow that had none, [`make_room`](Self::make_room) has made sure that
    /// there is room, and for one of TIME-WAIT [`make_room_to_wait`](Self::make_room_to_wait) too.
    pub(super) fn insert(&mut self, flow: Flow, place: P) -> Option<P> {
        if let Some(since) = place.since() {
            self.waiting.push_back((since, flow));
            self.waits += 1;
        }
        // To insert would make room for another one first, also where there is none to come.
        let before = match self.places.get_mut(&flow) {
            Some(before) => Some(mem::replace(before, place)),
            None => self.places.insert(flow, place),
        };
        self.gone(before)
    }

    pub(super) fn remove(&mut self, flow: &Flow) -> Option<P> {
        let place = self.places.remove(flow);
        self.gone(place)
    }

    fn gone(&mut self, place: Option<P>) -> Option<P> {
        if place.as_ref().is_some_and(|place| place.since().is_some()) {
            self.waits -= 1;
        }
        place
    }

    /// How many are in TIME-WAIT.
    pub(super) fn in_time_wait(&self) -> usize {
        self.waits
    }

    /// Makes room for one more flow, if so many octets more `are_free`; false if there is no memory for it.
    pub(super) fn make_room(&mut self, are_free: impl FnOnce(usize) -> bool) -> bool {
        let is_full = self.places.len() == self.places.capacity();
        if !is_full {
            return true;
        }
        let half = self.room / 2;
        if self.places.len() < self.room && self.places.len().saturating_sub(self.waiting.len()) < half {
            while self.places.len() >= half && self.forget_oldest() {}
        }
        let grows = self.places.len() >= half;
        let more = if grows { 2 * self.room.max(1) * size_of::<(Flow, P)>() } else { 0 };
        let has_room = are_free(more) && self.places.try_reserve(1).is_ok();
        if has_room {
            // Less where marks are left.
            self.room = self.room.max(self.places.capacity());
        }
        has_room
    }

    /// Makes room for one more of TIME-WAIT, of which there are `most` then; false if there is no memory for it.
    pub(super) fn make_room_to_wait(&mut self, now: Instant, most: usize) -> bool {
        self.trim(now, most.saturating_sub(1));
        self.waiting.try_reserve(1).is_ok()
    }

    /// Forgets what has waited long enough, or is more than `most`.
    pub(super) fn trim(&mut self, now: Instant, most: usize) {
        let is_over = |since| now >= since + time_wait::LIFETIME;
        while self.waiting.front().is_some_and(|(since, _)| self.waiting.len() > most || is_over(*since)) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some((since, flow)) = self.waiting.pop_front() else { return false };
        if self.places.get(&flow).is_some_and(|place| place.since() == Some(since)) {
            self.remove(&flow);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{IpAddr, Ipv4Addr};
    use fata_libos::time::Duration;

    enum Mock {
        Live,
        Waiting(Instant),
    }

    impl Waits for Mock {
        fn since(&self) -> Option<Instant> {
            match self {
                Self::Live => None,
                Self::Waiting(since) => Some(*since),
            }
        }
    }

    fn flow(n: u32) -> Flow {
        let of = |bits| IpAddr::V4(Ipv4Addr::from_bits(bits));
        Flow { local: of(1), remote: of(n), local_port: 80, remote_port: 1024 }
    }

    /// Connections one after the other, some at once; what is larger in the end than when all the records of TIME-WAIT that there may be were there.
    fn sizes(live: u32, most: usize, connections: u32) -> (usize, usize) {
        let mut flows = Flows::new(Key::fixed());
        let mut early = 0;
        for n in 0..connections {
            let now = Instant::from_nanos(u64::from(n));
            assert!(flows.make_room(|_| true));
            assert!(flows.insert(flow(n), Mock::Live).is_none());
            if let Some(old) = n.checked_sub(live) {
                assert!(flows.make_room_to_wait(now, most));
                assert!(flows.insert(flow(old), Mock::Waiting(now)).is_some());
            }
            if n as usize == live as usize + most {
                early = flows.room;
            }
        }
        assert!(flows.all().len() > flows.room / 4);
        (early, flows.room)
    }

    #[test]
    fn the_table_does_not_grow_with_time() {
        for (live, most) in [(1, 1700), (16, 3500), (500, 3000), (3000, 4100)] {
            let (early, late) = sizes(live, most, 200_000);
            assert!(early > 0 && late == early, "{live} and {most}: {early} and {late}");
        }
    }

    #[test]
    fn it_grows_for_flows_that_live() {
        let mut flows = Flows::new(Key::fixed());
        for n in 0..10_000 {
            assert!(flows.make_room(|_| true) && flows.insert(flow(n), Mock::Live).is_none());
        }
        assert_eq!(flows.all().len(), 10_000);
        while flows.all().len() < flows.all().capacity() {
            let n = flows.all().len() as u32;
            flows.insert(flow(n), Mock::Live);
        }
        let mut asked = 0;
        assert!(!flows.make_room(|more| {
            asked = more;
            false
        }));
        assert!(asked >= flows.room * size_of::<(Flow, Mock)>(), "{asked}");
        assert_eq!(flows.room, flows.all().capacity());
    }

    #[test]
    fn what_waits_goes_in_its_time() {
        let mut flows = Flows::new(Key::fixed());
        let at = |seconds: u32| Instant::from_nanos(u64::from(seconds) * 1_000_000_000);
        for n in 0..10 {
            assert!(flows.make_room(|_| true) && flows.make_room_to_wait(at(n), 100));
            flows.insert(flow(n), Mock::Waiting(at(n)));
        }
        // One is something else by now.
        flows.insert(flow(0), Mock::Live);
        flows.trim(at(1) + time_wait::LIFETIME, usize::MAX);
        assert_eq!((flows.all().len(), flows.in_time_wait()), (9, 8));
        assert!(flows.all().contains_key(&flow(0)) && !flows.all().contains_key(&flow(1)));
        flows.trim(at(9) + Duration::from_secs(1), 3);
        assert_eq!(flows.all().len(), 4);
        assert!(flows.remove(&flow(9)).is_some());
        // The one that is something else, and of those that waited the last two.
        assert_eq!((flows.all().len(), flows.in_time_wait()), (3, 2));
        assert!(flows.insert(flow(8), Mock::Waiting(at(10))).is_some());
        assert_eq!((flows.all().len(), flows.in_time_wait()), (3, 2));
    }
}
