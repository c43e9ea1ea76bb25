//! Whether a server is thought to answer: from checks, and from what becomes of requests.

use fata::time::{Duration, Instant};

/// When opinions change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Good checks in a row until one that was down is up.
    pub rise: u32,
    /// Bad ones in a row, or connections that were not to be had, until one that was up is down; where nothing is checked, also requests without an
    /// answer.
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
    /// A request got no connection.
    NoConnection,
    /// A request got a connection, but no answer.
    NoAnswer,
    /// A request that began then got an answer.
    Answered(Instant),
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
    /// Since when it is down.
    down_since: Option<Instant>,
    /// Of what speaks against the state, how many in a row.
    streak: u32,
    /// Where nothing is checked: until when one that is down gets nothing.
    paused_until: Option<Instant>,
}

impl Health {
    /// Of a server of which nothing is known.
    pub fn new(rules: Rules) -> Self {
        Self { rules, down_since: None, streak: 0, paused_until: None }
    }

    /// Whether it may have requests: one that is down may have one, to see whether it is still.
    pub fn is_up(&self, now: Instant) -> bool {
        self.down_since.is_none() || self.paused_until.is_some_and(|until| now >= until)
    }

    /// Since when it is down, if it is, whether it is tried now or not.
    pub fn down_since(&self) -> Option<Instant> {
        self.down_since
    }

    /// Takes note of what has become of something; what has changed by that.
    pub fn note(&mut self, seen: Seen, now: Instant) -> Option<Change> {
        let is_good = match (seen, self.rules.checks) {
            (Seen::GoodCheck, _) => true,
            (Seen::BadCheck | Seen::NoConnection, _) => false,
            // Checks are the better judges: an answer may be slow to one request, and come to the next.
            (Seen::NoAnswer | Seen::Answered(_), Checks::Active) => return None,
            (Seen::NoAnswer, Checks::Passive) => false,
            // What had begun before it went down says nothing of it now: a server that leaves answers that as well.
            (Seen::Answered(began), Checks::Passive)
                if self.down_since.is_some_and(|since| began < since) =>
            {
                return None;
            }
            (Seen::Answered(_), Checks::Passive) => true,
        };
        if !is_good && self.paused_until.is_some() {
            self.paused_until = Some(now + self.rules.pause);
        }
        if is_good == self.down_since.is_none() {
            self.streak = 0;
            return None;
        }
        self.streak += 1;
        let enough = match (is_good, self.rules.checks) {
            (true, Checks::Active) => self.rules.rise,
            (true, Checks::Passive) => 1,
            (false, _) => self.rules.fall,
        };
        if self.streak < enough {
            return None;
        }
        self.streak = 0;
        self.down_since = (!is_good).then_some(now);
        self.paused_until =
            (!is_good && self.rules.checks == Checks::Passive).then_some(now + self.rules.pause);
        Some(if is_good { Change::Up } else { Change::Down })
    }

    /// One that is down and tried again gets one request at a time: who tries it says so, and others wait for what becomes of that.
    pub fn begin_trial(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| now >= until) {
            self.paused_until = Some(now + self.rules.pause);
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
            // What becomes of requests excuses no bad check, and condemns nobody.
            (
                &[BadCheck, Answered(at(0)), BadCheck, NoAnswer, NoAnswer, BadCheck],
                &[None, None, None, None, None, down],
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
            (NoAnswer, None),
            (Answered(at(0)), None),
            (NoAnswer, None),
            (NoConnection, None),
            (NoConnection, Some(Change::Down)),
        ] {
            assert_eq!(health.note(seen, at(1)), change);
        }
        assert!(!health.is_up(at(10)) && health.is_up(at(11)));
        assert_eq!(health.note(Answered(at(0)), at(11)), None, "it had begun before");
        health.begin_trial(at(11));
        assert!(!health.is_up(at(12)), "one at a time");
        assert_eq!(health.note(NoConnection, at(13)), None);
        assert!(!health.is_up(at(22)) && health.is_up(at(23)));
        assert_eq!(health.note(Answered(at(23)), at(24)), Some(Change::Up));
        assert!(health.is_up(at(24)) && health.down_since().is_none());
    }
}
