//! The names of `clients.rs` in an image that has no code for clients' certificates.

use super::disk::Keys;
use fata::https::Shown;
use fata::prelude::*;

/// They are not.
#[cfg(feature = "acme")]
pub fn are_asked(_: &Env) -> bool {
    false
}

/// As above.
#[cfg(feature = "acme")]
pub fn are_required(_: &Env) -> bool {
    false
}

/// That the boot parameters want them is an error: nobody is let in who should not be.
#[cfg_attr(not(feature = "disk"), allow(unused_variables, reason = "its manifest has no such parameter"))]
pub async fn ask(env: &Env, _: &Keys, _: &Shown) -> Result<()> {
    #[cfg(feature = "disk")]
    if env.param(crate::params::CLIENT_CERTIFICATES) != "off" {
        return Err(
            "boot parameter client-certificates: this image has no code for it (feature client-certificates)"
                .into(),
        );
    }
    Ok(())
}
