//! Certificates that sign themselves: those that are made where there is none, when one is valid, and when another is due.

use super::{Pair, PairError};
use alloc::string::String;
use fata_libos::time::{Duration, SystemTime};
use fata_tls::issue::{self, Validity};

/// A certificate made here is valid from so long before it was made, for clients whose clocks are slow.
const EARLIER: Duration = Duration::from_secs(86_400);
/// Another one is made so long before it ends, or when half of its time is over, whichever is later.
const AHEAD: Duration = Duration::from_secs(30 * 86_400);
/// What the chain of a pair begins with that was made here. Text outside of its sections is none of PEM's (RFC 7468 section 2).
const MARK: &str = "Made by the server that shows it, which makes another one before it ends. Without this line it does not.\n";

/// How pairs are made.
#[derive(Clone, Debug)]
pub struct Maker {
    /// What they are for: names and addresses, with commas between.
    pub names: String,
    /// How long they are valid.
    pub valid: Duration,
}

impl Maker {
    /// Makes a pair that has signed itself. By a clock that cannot be right none is made.
    pub fn make(&self) -> Result<Pair, PairError> {
        let now = issue::now()?.since_unix();
        let from = now.saturating_sub(EARLIER.saturating_sub(issue::BACKDATED));
        let to = now.saturating_add(self.valid);
        let (from, to) = (SystemTime::from_unix(from), SystemTime::from_unix(to));
        let names: alloc::vec::Vec<&str> = self.names.split(',').collect();
        let made = issue::self_signed(&names, from, to)?;
        Ok(Pair::new([MARK, &made.chain_pem].concat(), made.key_pem))
    }
}

impl Pair {
    /// Whether it is valid at that time, by its dates.
    pub fn check_dates(&self, now: SystemTime) -> Result<(), PairError> {
        let Validity { not_before, not_after } = Validity::of(&self.chain)?;
        match () {
            () if now > not_after => Err(PairError::Expired(now)),
            () if now < not_before => Err(PairError::Early(now)),
            () => Ok(()),
        }
    }

    /// When it ends, seconds since 1970; 0 where it does not say.
    pub fn expires(&self) -> u64 {
        Validity::of(&self.chain).map_or(0, |dates| dates.not_after.since_unix().as_secs())
    }

    /// How long it is until another one is to be made in its place; `None` for one that was not made here.
    pub fn until_due(&self, now: SystemTime) -> Option<Duration> {
        if !self.chain.starts_with(MARK) {
            return None;
        }
        let Validity { not_before, not_after } = Validity::of(&self.chain).ok()?;
        // A clock that was wrong then, or is now: with another one clients get along at least now.
        if now < not_before {
            return Some(Duration::ZERO);
        }
        let (from, to) = (not_before.since_unix(), not_after.since_unix());
        let ahead = AHEAD.min(to.saturating_sub(from.saturating_add(EARLIER)) / 2);
        Some(to.saturating_sub(ahead).saturating_sub(now.since_unix()))
    }

    /// Whether another one is to be made in its place.
    pub fn is_due(&self, now: SystemTime) -> bool {
        self.until_due(now).is_some_and(|left| left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::from_unix(Duration::from_secs(seconds))
    }

    #[test]
    fn another_is_due_before_the_end() {
        const DAY: u64 = 86_400;
        crate::testing::run("", async |_| {
            let now = SystemTime::now().since_unix().as_secs();
            let maker =
                |days: u64| Maker { names: "localhost".into(), valid: Duration::from_secs(days * DAY) };
            let long = maker(800).make().unwrap();
            assert!(long.config().is_ok() && long.check_dates(at(now)).is_ok());
            assert!(!long.is_due(at(now)) && !long.is_due(at(now + 769 * DAY)));
            assert!(long.is_due(at(now + 771 * DAY)) && long.is_due(at(now + 900 * DAY)));
            assert!(long.is_due(at(now - 2 * DAY)), "before it begins");
            for seconds in [60, 1800, 3600, 86_400] {
                let maker = Maker { names: "localhost".into(), valid: Duration::from_secs(seconds) };
                let made = maker.make().unwrap();
                assert!(
                    !made.is_due(at(now + seconds / 3)) && made.is_due(at(now + seconds * 2 / 3)),
                    "{seconds}"
                );
            }
            let short = maker(2).make().unwrap();
            assert!(!short.is_due(at(now)) && short.is_due(at(now + DAY + 60)));
            let own = Pair::new(long.chain.replace(MARK, ""), long.key.clone());
            assert_eq!(own.until_due(at(now + 900 * DAY)), None, "somebody's own");
        });
    }
}
