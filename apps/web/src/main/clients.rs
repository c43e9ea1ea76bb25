//! Certificates that clients show. `no_clients.rs` has the same names where the image has no code for them.

use super::disk::Keys;
use crate::params;
use alloc::format;
use fata::https::{Clients, Shown};
use fata::prelude::*;
use web_site::content::CLIENT_AUTHORITIES;

/// Whether clients are asked for certificates.
#[cfg(feature = "acme")]
pub fn are_asked(env: &Env) -> bool {
    env.param(params::CLIENT_CERTIFICATES) != "off"
}

/// Whether who shows none is refused.
#[cfg(feature = "acme")]
pub fn are_required(env: &Env) -> bool {
    env.param(params::CLIENT_CERTIFICATES) == "require"
}

/// Asks for them, where the boot parameters say so: authorities of the disk `keys`, or those of the image.
pub async fn ask(env: &Env, keys: &Keys, shown: &Shown) -> Result<()> {
    let error = |what: &dyn core::fmt::Display| format!("boot parameter client-certificates: {what}");
    let which = Clients::which(env.param(params::CLIENT_CERTIFICATES)).map_err(|what| error(&what))?;
    let Some(which) = which else { return Ok(()) };
    let of_disk = match keys.store().await? {
        Some(store) => Clients::of_disk(&store, which).await.map_err(|what| error(&what))?,
        None => None,
    };
    let (clients, place) = match (of_disk, CLIENT_AUTHORITIES) {
        (Some(clients), _) => (clients, "of the disk keys"),
        (None, Some(authorities)) => (Clients::new(which, authorities), "of the image"),
        (None, None) => return Err(error(&"neither a disk keys nor the image has client-ca.pem").into()),
    };
    shown.ask_clients(clients).map_err(|what| error(&what))?;
    println!(env, "web: clients show certificates that client-ca.pem {place} has signed");
    Ok(())
}
