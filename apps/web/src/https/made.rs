//! What is known of certificates here: those that are made where there is none, and when one is valid.

use super::keys::{KeysError, Pair};
use fata::time::{Duration, SystemTime};
use fata_tls::issue::{self, Validity};

/// A certificate made here is valid from so long before it was made, for clients whose clocks are slow.
const EARLIER: Duration = Duration::from_secs(86_400);
/// And for so long: no client accepts more (the browsers' limit is 825 days for roots of a user's own).
const VALID: Duration = Duration::from_secs(800 * 86_400);

impl Pair {
    /// Whether it is valid at that time, by its dates.
    pub fn check_dates(&self, now: SystemTime) -> Result<(), KeysError> {
        let Validity { not_before, not_after } = Validity::of(&self.chain)?;
        match () {
            () if now > not_after => Err(KeysError::Expired),
            () if now < not_before => Err(KeysError::Early),
            () => Ok(()),
        }
    }

    /// Makes one that has signed itself.
    pub fn make(names: &[&str]) -> Result<Self, KeysError> {
        let now = SystemTime::now().since_unix();
        let (from, to) = (now.saturating_sub(EARLIER), now + VALID);
        let (from, to) = (SystemTime::from_unix(from), SystemTime::from_unix(to));
        let made = issue::self_signed(names, from, to)?;
        Ok(Self { chain: made.chain_pem, key: made.key_pem })
    }

    /// When it ends, seconds since 1970; 0 where it does not say.
    pub fn expires(&self) -> u64 {
        Validity::of(&self.chain).map_or(0, |dates| dates.not_after.since_unix().as_secs())
    }
}
