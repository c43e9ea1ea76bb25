//! Another certificate while the server runs: connections that there are keep theirs. It comes from the disk, or is made where the
//! one that was made before ends soon.

use super::disk::{self, Disk};
use super::keys::{KeysError, Pair};
use super::made::Maker;
use alloc::string::{String, ToString};
use core::cell::Cell;
use fata::log::{info, warn};
use fata::time::{Duration, SystemTime, sleep};
use fata_tls::{ServerConfig, TlsAcceptor};

/// How long nobody looks at the clock at most, which may be set.
const HOUR: Duration = Duration::from_secs(3600);
/// And at least: a certificate's dates are whole seconds.
const SECOND: Duration = Duration::from_secs(1);

/// How often the running pair was replaced, and was not.
#[derive(Debug, Default)]
pub struct Reloads {
    /// Another pair came and is shown from then on.
    pub done: Cell<u64>,
    /// Pairs, or states of the disk, that cannot be used.
    pub refused: Cell<u64>,
    /// When the certificate ends, seconds since 1970; 0 where it does not say.
    pub expires: Cell<u64>,
}

/// Has an acceptor show the pair of a disk, and one made here that does not end soon.
pub struct Keeper<F> {
    /// The disk that has the pair, or would have it.
    pub disk: Option<Disk>,
    /// How often it is looked at; zero: never.
    pub every: Duration,
    /// Makes another pair.
    pub maker: Maker,
    /// Shows it.
    pub acceptor: TlsAcceptor,
    /// Makes a pair's configuration ready.
    pub finish: F,
}

/// What was found and cannot be used.
#[derive(PartialEq)]
struct Refused {
    found: Option<Pair>,
    why: String,
}

/// What is shown after a look.
struct Shown {
    pair: Pair,
    is_other: bool,
}

impl<F: Fn(ServerConfig) -> ServerConfig> Keeper<F> {
    /// Whether there is anything to do but once, for a pair that is shown.
    pub fn is_needed(&self, shown: &Pair) -> bool {
        self.disk_to_look_at().is_some() || shown.until_due(SystemTime::now()).is_some()
    }

    fn disk_to_look_at(&self) -> Option<&Disk> {
        self.disk.as_ref().filter(|_| !self.every.is_zero())
    }

    /// Looks again and again. What cannot be used is said and counted once, and the pair before stays.
    pub async fn run(self, mut shown: Pair, reloads: &Reloads) {
        let mut refused: Option<Refused> = None;
        loop {
            sleep(self.pause(&shown, refused.is_some())).await;
            match self.look(&shown).await {
                Ok(Shown { pair, is_other }) => {
                    if is_other {
                        info!("keys: another certificate is shown from now on");
                        reloads.done.set(reloads.done.get().wrapping_add(1));
                        reloads.expires.set(pair.expires());
                    }
                    (shown, refused) = (pair, None);
                }
                Err(now) => {
                    if refused.as_ref() != Some(&now) {
                        warn!("keys: {}; the certificate before stays", now.why);
                        reloads.refused.set(reloads.refused.get().wrapping_add(1));
                        refused = Some(now);
                    }
                }
            }
        }
    }

    /// How long to wait for the next look.
    fn pause(&self, shown: &Pair, has_refused: bool) -> Duration {
        let look = if self.disk_to_look_at().is_some() { self.every } else { HOUR };
        match shown.until_due(SystemTime::now()) {
            Some(left) if !has_refused => look.min(left.max(SECOND)),
            _ => look,
        }
    }

    /// Finds what is to be shown now, and shows it.
    async fn look(&self, shown: &Pair) -> Result<Shown, Refused> {
        let found = match self.disk_to_look_at() {
            Some(disk) => {
                disk::read(disk).await.map_err(|error| Refused { found: None, why: error.to_string() })?
            }
            None => shown.clone(),
        };
        match self.show(&found, shown).await {
            Ok(Some(made)) => Ok(Shown { pair: made, is_other: true }),
            Ok(None) => Ok(Shown { is_other: !found.has_chain_of(shown), pair: found }),
            Err(error) => Err(Refused { why: error.to_string(), found: Some(found) }),
        }
    }

    /// Shows what was found, or what had to be made in its place, which it gives then.
    async fn show(&self, found: &Pair, shown: &Pair) -> Result<Option<Pair>, KeysError> {
        // Half of another pair beside half of ours is somebody at work: nothing is written over that.
        let config = found.config()?;
        if found.is_due(SystemTime::now()) {
            let made = match &self.disk {
                Some(disk) => disk::remake(disk, &self.maker).await?,
                None => self.maker.make()?,
            };
            self.acceptor.replace((self.finish)(made.config()?))?;
            return Ok(Some(made));
        }
        if !found.has_chain_of(shown) {
            found.check_dates(SystemTime::now())?;
            self.acceptor.replace((self.finish)(config))?;
        }
        Ok(None)
    }
}
