//! Keys of ciphers as rustls gives them.

use fata_aead::{Aead, NONCE_LEN};
use rustls::crypto::cipher::AeadKey;

/// A cipher with its key, from rustls.
///
/// # Panics
/// If the key is not of the cipher's length, which rustls was told.
pub(crate) fn keyed<A: Aead>(key: &AeadKey) -> A {
    A::new(key.as_ref()).expect("rustls gives keys of the length that it is told")
}

const _: () = assert!(NONCE_LEN == rustls::crypto::cipher::NONCE_LEN);
