//! Connections between two requests.

use super::url::Origin;
use alloc::vec::Vec;
use fata_libos::time::{Duration, Instant};

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) all: usize,
    pub(super) per_origin: usize,
    pub(super) idle_time: Duration,
}

struct Idle<T> {
    origin: Origin,
    connection: T,
    until: Instant,
}

/// Connections that wait, and a count of those in use.
pub(super) struct Pool<T> {
    bounds: Bounds,
    idle: Vec<Idle<T>>,
    in_use: Vec<Origin>,
}

impl<T> Pool<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, idle: Vec::new(), in_use: Vec::new() }
    }

    /// The connection to there that was used last. It is in use from now on.
    pub(super) fn take(&mut self, origin: &Origin, now: Instant) -> Option<T> {
        self.sweep(now);
        let at = self.idle.iter().rposition(|idle| idle.origin == *origin)?;
        let idle = self.idle.remove(at);
        self.in_use.push(idle.origin);
        Some(idle.connection)
    }

    /// Counts one more in use. Where that is too many together, those that have waited longest give way; false if
    /// that does not help.
    pub(super) fn open(&mut self, origin: &Origin) -> bool {
        let in_use = self.in_use.iter().filter(|other| *other == origin).count();
        if in_use >= self.bounds.per_origin || self.in_use.len() >= self.bounds.all {
            return false;
        }
        let most_idle = self.bounds.all - self.in_use.len() - 1;
        if self.idle.len() > most_idle {
            self.idle.drain(..self.idle.len() - most_idle);
        }
        self.in_use.push(origin.clone());
        true
    }

    /// One in use has ended.
    pub(super) fn close(&mut self, origin: &Origin) {
        if let Some(at) = self.in_use.iter().position(|other| other == origin) {
            self.in_use.swap_remove(at);
        }
    }

    /// One in use waits from now on.
    pub(super) fn put(&mut self, origin: Origin, connection: T, now: Instant) {
        self.close(&origin);
        let of_origin = self.idle.iter().filter(|idle| idle.origin == origin).count();
        if of_origin >= self.bounds.per_origin
            && let Some(oldest) = self.idle.iter().position(|idle| idle.origin == origin)
        {
            self.idle.remove(oldest);
        }
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
        Pool::new(Bounds { all: 3, per_origin: 2, idle_time: Duration::from_secs(10) })
    }

    #[test]
    fn the_last_one_used_is_used_again() {
        let (mut pool, a, b) = (pool(), origin("a"), origin("b"));
        assert!(pool.open(&a) && pool.open(&a) && pool.open(&b));
        for (origin, connection) in [(&a, 1), (&a, 2), (&b, 3)] {
            pool.put(origin.clone(), connection, at(0));
        }
        assert_eq!(pool.take(&a, at(1)), Some(2));
        assert_eq!(pool.take(&a, at(1)), Some(1));
        assert_eq!(pool.take(&a, at(1)), None);
        assert_eq!((pool.idle(), pool.in_use()), (1, 2));
    }

    #[test]
    fn bounds() {
        let (mut pool, a, b, c) = (pool(), origin("a"), origin("b"), origin("c"));
        assert!(pool.open(&a) && pool.open(&a));
        assert!(!pool.open(&a), "two per origin");
        assert!(pool.open(&b));
        assert!(!pool.open(&c), "three together");
        pool.put(a.clone(), 1, at(0));
        assert!(pool.open(&c), "one that waits gives way");
        assert_eq!((pool.idle(), pool.take(&a, at(0))), (0, None));
        pool.close(&a);
        pool.close(&a);
        assert_eq!(pool.in_use(), 2, "closing what is not there is nothing");
    }

    #[test]
    fn waiting_has_an_end() {
        let (mut pool, a) = (pool(), origin("a"));
        assert!(pool.open(&a) && pool.open(&a));
        pool.put(a.clone(), 1, at(0));
        pool.put(a.clone(), 2, at(5));
        assert_eq!(pool.sweep(at(9)), Some(at(10)));
        assert_eq!(pool.sweep(at(10)), Some(at(15)));
        assert_eq!(pool.take(&a, at(14)), Some(2));
        assert_eq!(pool.sweep(at(14)), None);
    }
}
