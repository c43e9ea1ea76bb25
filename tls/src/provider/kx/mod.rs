//! Key exchange (RFC 8446, section 4.2.8.2; RFC 8422 for TLS 1.2).

pub(crate) mod nist;
pub(crate) mod x25519;

pub use nist::SECP256R1;
#[cfg(feature = "p384")]
pub use nist::SECP384R1;
use rustls::crypto::SupportedKxGroup;
use rustls::{Error, PeerMisbehaved};
pub use x25519::X25519;

/// All groups, in the order of preference.
pub(crate) static ALL: &[&dyn SupportedKxGroup] = &[
    X25519,
    SECP256R1,
    #[cfg(feature = "p384")]
    SECP384R1,
];

/// What a peer gets whose share is no public key.
fn invalid() -> Error {
    PeerMisbehaved::InvalidKeyShare.into()
}
