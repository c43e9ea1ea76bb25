//! The time of day, by which certificates and tickets are valid.

use crate::Error;
use core::time::Duration;
use fata_libos::time::SystemTime;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// No clock that is set says less: 2026-01-01T00:00:00Z, before which none of this existed.
const OLDEST: SystemTime = SystemTime::from_unix(Duration::from_secs(1_767_225_600));

/// Whether the clock can be right.
pub(crate) fn check() -> Result<(), Error> {
    let now = SystemTime::recent();
    if now < OLDEST { Err(Error::Clock(now)) } else { Ok(()) }
}

/// The time of day, where the clock can be right.
#[cfg(feature = "issue")]
pub(crate) fn now() -> Result<SystemTime, SystemTime> {
    let now = SystemTime::now();
    if now < OLDEST { Err(now) } else { Ok(now) }
}

/// The wall clock, for who checks certificates: it says nothing where it is not set.
#[derive(Debug)]
pub(crate) struct CheckedClock;

/// The wall clock whatever it says: tickets do not last longer for it.
#[derive(Debug)]
pub(crate) struct AnyClock;

impl TimeProvider for CheckedClock {
    fn current_time(&self) -> Option<UnixTime> {
        check().ok().and_then(|()| AnyClock.current_time())
    }
}

impl TimeProvider for AnyClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(SystemTime::recent().since_unix()))
    }
}
