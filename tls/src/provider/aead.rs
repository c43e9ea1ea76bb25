//! AEAD in place, the same for each cipher and both versions of TLS.

use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aead::{AeadCore, AeadInOut, KeyInit};
use rustls::crypto::cipher::{AeadKey, NONCE_LEN};

/// Octets of a tag, of every cipher here.
pub(crate) const TAG_LEN: usize = 16;

/// A cipher with the nonces and tags of TLS.
pub(crate) trait Cipher:
    AeadInOut + AeadCore<NonceSize = U12, TagSize = U16> + KeyInit + Send + Sync + 'static
{
}

impl<A: AeadInOut + AeadCore<NonceSize = U12, TagSize = U16> + KeyInit + Send + Sync + 'static> Cipher for A {}

/// A cipher and its key, which is zeroed when this is dropped.
pub(crate) struct Keyed<A>(pub(super) A);

impl<A: Cipher> Keyed<A> {
    /// Octets of a key.
    pub(crate) fn key_len() -> usize {
        A::key_size()
    }

    pub(crate) fn new(key: &AeadKey) -> Self {
        Keyed(A::new_from_slice(key.as_ref()).expect("rustls gives keys of the length that it is told"))
    }

    /// Encrypts `data` where it is, and gives the tag; nothing if it is longer than the cipher allows.
    // Not inlined: one copy for both versions of TLS and for tickets.
    #[inline(never)]
    pub(crate) fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let tag = self.0.encrypt_inout_detached(nonce.into(), aad, data.into()).ok()?;
        Some(tag.into())
    }

    /// Decrypts `data`, which ends with its tag, where it is, and gives the length of what was encrypted; nothing if it is not
    /// what was sealed.
    #[inline(never)]
    pub(crate) fn open(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> Option<usize> {
        let (text, tag) = data.split_last_chunk_mut::<TAG_LEN>()?;
        self.0.decrypt_inout_detached(nonce.into(), aad, (&mut *text).into(), (&*tag).into()).ok()?;
        Some(text.len())
    }
}
