//! Connections between two requests, and requests that wait for one.

use super::url::Origin;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::task::{Poll, Waker};
use fata_libos::time::{Duration, Instant};

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) all: usize,
    pub(super) per_origin: usize,
    pub(super) waiting: usize,
    pub(super) idle_time: Duration,
}

struct Idle<T> {
    origin: Origin,
    connection: T,
    until: Instant,
}

/// A request without a connection.
struct Waiter {
    ticket: Ticket,
    origin: Origin,
    waker: Waker,
}

/// Names one that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// As many wait as may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Connections that wait for a request, a count of those in use, requests that wait for a connection.
pub(super) struct Pool<T> {
    bounds: Bounds,
    idle: Vec<Idle<T>>,
    in_use: Vec<Origin>,
    queue: VecDeque<Waiter>,
    next: u64,
}

impl<T> Pool<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, idle: Vec::new(), in_use: Vec::new(), queue: VecDeque::new(), next: 0 }
    }

    /// Counts one more in use, or has it wait until there are fewer. Who has come first goes first, but for those who wait for an
    /// origin that has all it may.
    pub(super) fn enter(
        &mut self,
        origin: &Origin,
        ticket: &mut Option<Ticket>,
        waker: &Waker,
    ) -> Poll<Result<(), Full>> {
        let at = self.queue.iter().position(|waiter| Some(waiter.ticket) == *ticket);
        let mut ahead = self.queue.iter().take(at.unwrap_or(self.queue.len()));
        let is_first = !ahead.any(|waiter| self.has_room(&waiter.origin));
        if is_first && self.has_room(origin) {
            if let Some(at) = at {
                self.queue.remove(at);
            }
            *ticket = None;
            self.in_use.push(origin.clone());
            // Where there is more room, who is next has asked too early.
            self.wake();
            return Poll::Ready(Ok(()));
        }
        match at {
            Some(at) => self.queue[at].waker.clone_from(waker),
            None if self.queue.len() >= self.bounds.waiting => return Poll::Ready(Err(Full)),
            None => {
                let new = Ticket(self.next);
                self.next += 1;
                *ticket = Some(new);
                self.queue.push_back(Waiter { ticket: new, origin: origin.clone(), waker: waker.clone() });
            }
        }
        Poll::Pending
    }

    /// One that waits does so no longer.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.queue.retain(|waiter| waiter.ticket != ticket);
        self.wake();
    }

    fn has_room(&self, origin: &Origin) -> bool {
        self.in_use.len() < self.bounds.all && count(self.in_use.iter(), origin) < self.bounds.per_origin
    }

    fn wake(&self) {
        for waiter in &self.queue {
            waiter.waker.wake_by_ref();
        }
    }

    /// The connection to there that was used last, for one that is counted.
    pub(super) fn take(&mut self, origin: &Origin, now: Instant) -> Option<T> {
        self.sweep(now);
        let at = self.idle.iter().rposition(|idle| idle.origin == *origin)?;
        Some(self.idle.remove(at).connection)
    }

    /// Makes room for a new connection, for one that is counted: those that have waited longest give way.
    pub(super) fn make_room(&mut self, origin: &Origin) {
        let of_origin = count(self.in_use.iter().chain(self.idle.iter().map(|idle| &idle.origin)), origin);
        let mut too_many = of_origin.saturating_sub(self.bounds.per_origin);
        self.idle.retain(|idle| {
            let goes = too_many > 0 && idle.origin == *origin;
            too_many -= usize::from(goes);
            !goes
        });
        let too_many = (self.in_use.len() + self.idle.len()).saturating_sub(self.bounds.all);
        self.idle.drain(..too_many.min(self.idle.len()));
    }

    /// One in use has ended.
    pub(super) fn close(&mut self, origin: &Origin) {
        if let Some(at) = self.in_use.iter().position(|other| other == origin) {
            self.in_use.swap_remove(at);
            self.wake();
        }
    }

    /// One in use waits from now on.
    pub(super) fn put(&mut self, origin: Origin, connection: T, now: Instant) {
        self.close(&origin);
        self.idle.push(Idle { origin, connection, until: now + self.bounds.idle_time });
    }

    /// Closes those that have waited for too long; when the next one will have.
    pub(super) fn sweep(&mut self, now: Instant) -> Option<Instant> {
        self.idle.retain(|idle| now < idle.until);
        self.idle.first().map(|idle| idle.until)
    }

    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use.len()
    }
}

fn count<'a>(origins: impl Iterator<Item = &'a Origin>, origin: &Origin) -> usize {
    origins.filter(|other| *other == origin).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Url;

    fn origin(host: &str) -> Origin {
        format!("http://{host}/").parse::<Url>().unwrap().origin().clone()
    }

    fn at(seconds: u64) -> Instant {
        Instant::default() + Duration::from_secs(seconds)
    }

    fn pool() -> Pool<u32> {
        Pool::new(Bounds { all: 3, per_origin: 2, waiting: 2, idle_time: Duration::from_secs(10) })
    }

    fn enter(pool: &mut Pool<u32>, origin: &Origin, ticket: &mut Option<Ticket>) -> Poll<Result<(), Full>> {
        pool.enter(origin, ticket, Waker::noop())
    }

    /// With a connection of its own.
    fn open(pool: &mut Pool<u32>, origin: &Origin) {
        assert_eq!(enter(pool, origin, &mut None), Poll::Ready(Ok(())));
        pool.make_room(origin);
    }

    #[test]
    fn the_last_one_used_is_used_again() {
        let (mut pool, a, b) = (pool(), origin("a"), origin("b"));
        for origin in [&a, &a, &b] {
            open(&mut pool, origin);
        }
        for (origin, connection) in [(&a, 1), (&a, 2), (&b, 3)] {
            pool.put(origin.clone(), connection, at(0));
        }
        for expected in [Some(2), Some(1)] {
            assert_eq!(enter(&mut pool, &a, &mut None), Poll::Ready(Ok(())));
            assert_eq!(pool.take(&a, at(1)), expected);
        }
        assert_eq!(pool.take(&a, at(1)), None);
        assert_eq!((pool.idle(), pool.in_use()), (1, 2));
    }

    #[test]
    fn bounds() {
        let (mut pool, a, b, c) = (pool(), origin("a"), origin("b"), origin("c"));
        let [mut third, mut fourth, mut fifth] = [None; 3];
        open(&mut pool, &a);
        open(&mut pool, &a);
        assert_eq!(enter(&mut pool, &a, &mut third), Poll::Pending, "two per origin");
        open(&mut pool, &b);
        assert_eq!(enter(&mut pool, &c, &mut fourth), Poll::Pending, "three together");
        assert_eq!(enter(&mut pool, &c, &mut fifth), Poll::Ready(Err(Full)), "two wait");
        assert_eq!(fifth, None);
        pool.put(a.clone(), 1, at(0));
        assert_eq!(enter(&mut pool, &c, &mut fourth), Poll::Pending, "another has come first");
        assert_eq!(enter(&mut pool, &a, &mut third), Poll::Ready(Ok(())));
        pool.make_room(&a);
        assert_eq!((pool.idle(), pool.in_use()), (0, 3), "the one that waits gives way");
        pool.close(&a);
        pool.close(&a);
        pool.close(&a);
        assert_eq!(pool.in_use(), 1, "closing what is not there is nothing");
        assert_eq!(enter(&mut pool, &c, &mut fourth), Poll::Ready(Ok(())));
    }

    #[test]
    fn who_cannot_go_stops_nobody() {
        let (mut pool, a, b) = (pool(), origin("a"), origin("b"));
        open(&mut pool, &a);
        open(&mut pool, &a);
        let (mut first, mut second) = (None, None);
        assert_eq!(enter(&mut pool, &a, &mut first), Poll::Pending);
        assert_eq!(enter(&mut pool, &b, &mut second), Poll::Ready(Ok(())));
        pool.leave(first.unwrap());
        pool.close(&a);
        open(&mut pool, &a);
    }

    #[test]
    fn one_origin_has_no_more_than_its_own() {
        let (mut pool, a) = (pool(), origin("a"));
        open(&mut pool, &a);
        open(&mut pool, &a);
        pool.put(a.clone(), 1, at(0));
        open(&mut pool, &a);
        assert_eq!((pool.idle(), pool.in_use()), (0, 2));
    }

    #[test]
    fn waiting_has_an_end() {
        let (mut pool, a) = (pool(), origin("a"));
        open(&mut pool, &a);
        open(&mut pool, &a);
        pool.put(a.clone(), 1, at(0));
        pool.put(a.clone(), 2, at(5));
        assert_eq!(pool.sweep(at(9)), Some(at(10)));
        assert_eq!(pool.sweep(at(10)), Some(at(15)));
        assert_eq!(pool.take(&a, at(14)), Some(2));
        assert_eq!(pool.sweep(at(14)), None);
    }
}
