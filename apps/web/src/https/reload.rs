//! Another certificate while the server runs: connections that there are keep theirs.

use super::keys::{self, KeysError, Pair};
use alloc::string::{String, ToString};
use core::cell::Cell;
use fata::block::Disk;
use fata::log::{info, warn};
use fata::time::{Duration, SystemTime, sleep};
use fata_tls::{ServerConfig, TlsAcceptor};

/// How often the running pair was replaced, and was not.
#[derive(Debug, Default)]
pub struct Reloads {
    /// Another pair came and is shown from then on.
    pub done: Cell<u64>,
    /// What was found on the disk cannot be used.
    pub refused: Cell<u64>,
    /// When the certificate ends, seconds since 1970; 0 where it does not say.
    pub expires: Cell<u64>,
}

/// Looks at the disk again and again, and has `acceptor` show what it finds, made ready by `finish`. What cannot be used is said once,
/// and the pair before stays.
pub async fn watch(
    disk: Disk,
    mut shown: Pair,
    every: Duration,
    acceptor: TlsAcceptor,
    finish: impl Fn(ServerConfig) -> ServerConfig,
    reloads: &Reloads,
) {
    let mut said: Option<String> = None;
    loop {
        sleep(every).await;
        match look(&disk, &shown, &acceptor, &finish).await {
            Ok(None) => said = None,
            Ok(Some(pair)) => {
                info!("keys: another certificate is shown from now on");
                reloads.done.set(reloads.done.get().wrapping_add(1));
                reloads.expires.set(pair.expires());
                (shown, said) = (pair, None);
            }
            Err(error) => {
                let error = error.to_string();
                if said.as_ref() != Some(&error) {
                    warn!("keys: {error}; the certificate before stays");
                    reloads.refused.set(reloads.refused.get().wrapping_add(1));
                    said = Some(error);
                }
            }
        }
    }
}

/// The pair that is shown now, where it is another one.
async fn look(
    disk: &Disk,
    shown: &Pair,
    acceptor: &TlsAcceptor,
    finish: &impl Fn(ServerConfig) -> ServerConfig,
) -> Result<Option<Pair>, KeysError> {
    let pair = keys::read(disk).await?;
    if pair == *shown {
        return Ok(None);
    }
    pair.check_dates(SystemTime::now())?;
    acceptor.replace(finish(pair.config()?))?;
    Ok(Some(pair))
}
