//! Whether a server is thought to answer: from checks, and from what becomes of requests.

use fata::time::{Duration, Instant};

/// When opinions change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Good checks in a row until one that was down is up.
    pub rise: u32,
    /// Bad ones in a row, or connections that were not to be had, until one that was up is down.
    pub fall: u32,
    /// Where nothing is checked: for so long one that is down gets nothing; then it is tried again.
    pub pause: Duration,
    /// Whether there are checks: then nothing else brings it up.
    pub checks: Checks,
}

/// Whether a server is asked again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// It is.
    Active,
    /// What becomes of requests is all there is.
    Passive,
}

/// What has become of a check, or of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A check had the answer that is expected.
    GoodCheck,
    /// It had not.
    BadCheck,
    /// A request got a connection.
    Connected,
    /// It got none.
    NoConnection,
}

/// A change of opinion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is up from now on.
    Up,
    /// It is down from now on.
    Down,
}

/// What is thought of a server. It begins as one that is up: the first requests need not wait for the first checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    rules: Rules,
    is_up: bool,
    /// Of what speaks against the state, how many in a row.
    streak: u32,
    /// When it went down, where nothing is checked.
    down_until: Option<Instant>,
}

impl Health {
    /// Of a server of which nothing is known.
    pub fn new(rules: Rules) -> Self {
        Self { rules, is_up: true, streak: 0, down_until: None }
    }

    /// Whether it may have requests.
    pub fn is_up(&self, now: Instant) -> bool {
        self.is_up || self.down_until.is_some_and(|until| now >= until)
    }

    /// Takes note of what has become of something; what has changed by that.
    pub fn note(&mut self, seen: Seen, now: Instant) -> Option<Change> {
        let is_checked = self.rules.checks == Checks::Active;
        let is_good = match seen {
            Seen::GoodCheck => true,
            Seen::BadCheck | Seen::NoConnection => false,
            // With checks it does not excuse those that went wrong: a server may take connections and answer nothing.
            Seen::Connected if is_checked => return None,
            Seen::Connected => true,
        };
        if !is_good && self.down_until.is_some() {
            self.down_until = Some(now + self.rules.pause);
        }
        if is_good == self.is_up {
            self.streak = 0;
            return None;
        }
        self.streak += 1;
        let is_enough = match (is_good, is_checked) {
            (true, true) => self.streak >= self.rules.rise,
            (true, false) => true,
            (false, _) => self.streak >= self.rules.fall,
        };
        if !is_good && !is_checked && is_enough {
            self.down_until = Some(now + self.rules.pause);
        }
        if !is_enough {
            return None;
        }
        (self.is_up, self.streak) = (is_good, 0);
        if is_good {
            self.down_until = None;
        }
        Some(if is_good { Change::Up } else { Change::Down })
    }

    /// One that is down and tried again gets one request at a time: who tries it says so, and others wait for what becomes of that.
    pub fn begin_trial(&mut self, now: Instant) {
        if !self.is_up && self.down_until.is_some_and(|until| now >= until) {
            self.down_until = Some(now + self.rules.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Seen::*;

    const RULES: Rules = Rules { rise: 2, fall: 3, pause: Duration::from_secs(10), checks: Checks::Active };

    fn at(seconds: u64) -> Instant {
        Instant::default() + Duration::from_secs(seconds)
    }

    fn run(rules: Rules, seen: &[Seen]) -> Vec<Option<Change>> {
        let mut health = Health::new(rules);
        seen.iter().map(|&seen| health.note(seen, at(0))).collect()
    }

    #[test]
    fn checks_rise_and_fall() {
        let (up, down) = (Some(Change::Up), Some(Change::Down));
        for (seen, changes) in [
            (&[BadCheck, BadCheck, BadCheck, BadCheck][..], &[None, None, down, None][..]),
            (
                &[BadCheck, BadCheck, GoodCheck, BadCheck, BadCheck, BadCheck],
                &[None, None, None, None, None, down],
            ),
            (&[BadCheck, NoConnection, BadCheck, GoodCheck, GoodCheck], &[None, None, down, None, up]),
            (
                &[BadCheck, BadCheck, BadCheck, GoodCheck, BadCheck, GoodCheck, GoodCheck],
                &[None, None, down, None, None, None, up],
            ),
            // Connections that succeed say nothing against checks, nor for a server that is down.
            (
                &[BadCheck, Connected, BadCheck, Connected, BadCheck, Connected],
                &[None, None, None, None, down, None],
            ),
        ] {
            assert_eq!(run(RULES, seen), changes, "{seen:?}");
        }
    }

    #[test]
    fn without_checks_it_is_tried_again() {
        let mut health = Health::new(Rules { checks: Checks::Passive, ..RULES });
        for (seen, change) in [
            (NoConnection, None),
            (NoConnection, None),
            (Connected, None),
            (NoConnection, None),
            (NoConnection, None),
            (NoConnection, Some(Change::Down)),
        ] {
            assert_eq!(health.note(seen, at(0)), change);
        }
        assert!(!health.is_up(at(9)));
        assert!(health.is_up(at(10)));
        health.begin_trial(at(10));
        assert!(!health.is_up(at(11)), "one at a time");
        assert_eq!(health.note(NoConnection, at(12)), None);
        assert!(!health.is_up(at(21)) && health.is_up(at(22)));
        assert_eq!(health.note(Connected, at(22)), Some(Change::Up));
        assert!(health.is_up(at(22)));
    }
}
