//! Connections to a server between two requests.

use alloc::vec::Vec;
use fata::time::{Duration, Instant};

/// For so long at most: servers close theirs after a while, nginx after 75 s.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// What can be sent only once gets a connection that has been silent for so long at most: its server has hardly begun to close it.
const IN_USE: Duration = Duration::from_secs(1);
/// A server that says for how long it keeps a connection is left so much of that.
const MARGIN: Duration = Duration::from_secs(1);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// What may be sent again, should it turn out to be closed (RFC 9110 section 9.2.2).
    Repeatable,
    /// Anything else.
    Once,
}

struct One<T> {
    connection: T,
    since: Instant,
    until: Instant,
}

/// The connections of a server that wait for a request.
pub struct Kept<T>(Vec<One<T>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Kept<T> {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one that was used last and is silent still; those that are not are closed.
    pub fn take(
        &mut self,
        wanted: For,
        now: Instant,
        mut is_silent: impl FnMut(&mut T) -> bool,
    ) -> Option<T> {
        loop {
            let last = self.0.last()?;
            if wanted == For::Once && now >= last.since + IN_USE {
                return None;
            }
            let mut one = self.0.pop()?;
            if now < one.until && is_silent(&mut one.connection) {
                return Some(one.connection);
            }
        }
    }

    /// Keeps one, unless so many are kept or there is no memory; `said` is for how long its server does.
    pub fn put(&mut self, connection: T, most: usize, said: Option<Duration>, now: Instant) {
        let time = said.map_or(KEPT_FOR, |said| said.saturating_sub(MARGIN).min(KEPT_FOR));
        if self.0.len() < most && !time.is_zero() && self.0.try_reserve(1).is_ok() {
            self.0.push(One { connection, since: now, until: now + time });
        }
    }

    /// Closes those whose time is over, and those that are not silent; when to look again.
    pub fn sweep(&mut self, now: Instant, mut is_silent: impl FnMut(&mut T) -> bool) -> Option<Instant> {
        self.0.retain_mut(|one| now < one.until && is_silent(&mut one.connection));
        self.0.iter().map(|one| one.until).min()
    }

    /// Closes all.
    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

/// For how long a server keeps a connection, as its field `Keep-Alive` says: `timeout=5, max=100`.
pub fn said_time(value: &str) -> Option<Duration> {
    let mut parameters = value.split(',').filter_map(|parameter| parameter.trim().split_once('='));
    let (_, time) = parameters.find(|(name, _)| name.eq_ignore_ascii_case("timeout"))?;
    time.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::default() + Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_one_used_last_that_is_silent() {
        let mut kept = Kept::default();
        for n in 0..5 {
            kept.put(n, 4, None, at(n * 10));
        }
        assert_eq!(kept.len(), 4);
        assert_eq!(kept.take(For::Repeatable, at(50), |&mut n| n != 3), Some(2));
        assert_eq!(kept.take(For::Once, at(1009), |_| true), Some(1));
        assert_eq!(kept.take(For::Once, at(1010), |_| true), None);
        assert_eq!(kept.len(), 1, "it is there for what may be repeated");
        assert_eq!(kept.take(For::Repeatable, at(30_000), |_| true), None);
        assert!(kept.is_empty());
    }

    #[test]
    fn as_long_as_its_server_says() {
        let seconds = Duration::from_secs;
        let mut kept = Kept::default();
        kept.put(1, 9, Some(seconds(5)), at(0));
        kept.put(2, 9, Some(seconds(100)), at(0));
        kept.put(3, 9, Some(seconds(1)), at(0));
        assert_eq!(kept.len(), 2);
        assert_eq!(kept.sweep(at(3999), |_| true), Some(at(4000)));
        assert_eq!(kept.sweep(at(4000), |_| true), Some(at(30_000)));
        assert_eq!(kept.sweep(at(5000), |_| false), None);
        for (value, time) in [
            ("timeout=5", Some(5)),
            ("max=1, Timeout=60", Some(60)),
            ("timeout=x", None),
            ("5", None),
            ("", None),
        ] {
            assert_eq!(said_time(value), time.map(seconds), "{value}");
        }
    }
}
