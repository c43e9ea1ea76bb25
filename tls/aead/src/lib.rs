//! AES-128-GCM, AES-256-GCM (SP 800-38D) and ChaCha20-Poly1305 (RFC 8439) in place, with the nonces and tags of TLS.
//!
//! A crate of its own because the ciphers' crates are generic: their loops are compiled where their types are named, and as that is
//! optimised. The workspace's profile has this crate optimised for speed (more than twice as fast) while what is
//! around it stays small.
#![no_std]
#![forbid(unsafe_code)]

use aes_gcm::KeyInit;
use aes_gcm::aead::AeadInOut;

/// Octets of a nonce.
pub const NONCE_LEN: usize = 12;
/// Octets of a tag.
pub const TAG_LEN: usize = 16;

/// A cipher and its key, which is zeroed when this is dropped.
pub trait Aead: Sized + Send + Sync + 'static {
    /// Octets of a key.
    const KEY_LEN: usize;

    /// With this key; nothing if it is not [`KEY_LEN`](Self::KEY_LEN) octets.
    fn new(key: &[u8]) -> Option<Self>;

    /// Encrypts `data` where it is, and gives the tag; nothing if it is longer than the cipher allows. No nonce may be used twice
    /// with one key.
    fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> Option<[u8; TAG_LEN]>;

    /// Decrypts `data`, which ends with its tag, where it is, and gives the length of what was encrypted; nothing if it is not
    /// what was sealed. Then it is as it was.
    fn open(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> Option<usize>;
}

macro_rules! aead {
    ($(#[$doc:meta])* $name:ident, $cipher:ty, $key_len:literal) => {
        $(#[$doc])*
        pub struct $name($cipher);

        impl Aead for $name {
            const KEY_LEN: usize = $key_len;

            fn new(key: &[u8]) -> Option<Self> {
                <$cipher>::new_from_slice(key).ok().map(Self)
            }

            // Not inlined: one copy for all that seal.
            #[inline(never)]
            fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> Option<[u8; TAG_LEN]> {
                let tag = self.0.encrypt_inout_detached(nonce.into(), aad, data.into()).ok()?;
                Some(tag.into())
            }

            #[inline(never)]
            fn open(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> Option<usize> {
                let (text, tag) = data.split_last_chunk_mut::<TAG_LEN>()?;
                self.0.decrypt_inout_detached(nonce.into(), aad, (&mut *text).into(), (&*tag).into()).ok()?;
                Some(text.len())
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

aead! {
    /// AES-128-GCM.
    Aes128Gcm, aes_gcm::Aes128Gcm, 16
}
aead! {
    /// AES-256-GCM.
    Aes256Gcm, aes_gcm::Aes256Gcm, 32
}
aead! {
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305, chacha20poly1305::ChaCha20Poly1305, 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::ZeroizeOnDrop;

    /// Fails to compile if a crate's feature is lost.
    #[test]
    fn keys_are_zeroed_when_they_are_dropped() {
        fn zeroed<T: ZeroizeOnDrop>() {}
        zeroed::<aes_gcm::Aes128Gcm>();
        zeroed::<aes_gcm::Aes256Gcm>();
        zeroed::<chacha20poly1305::ChaCha20Poly1305>();
    }

    /// Wycheproof's vectors are run by fata-tls.
    fn seals_and_opens<A: Aead>() {
        assert!(A::new(&[1; 33][..A::KEY_LEN + 1]).is_none() && A::new(&[1; 15]).is_none());
        let key = A::new(&[1; 32][..A::KEY_LEN]).unwrap();
        let mut data = *b"to be sealed, and sixteen octets";
        let text = data.len() - TAG_LEN;
        let tag = key.seal(&[2; NONCE_LEN], b"beside", &mut data[..text]).unwrap();
        data[text..].copy_from_slice(&tag);
        let sealed = data;
        assert_eq!(key.open(&[2; NONCE_LEN], b"besides", &mut data), None);
        assert_eq!(data, sealed, "what does not open is left");
        assert_eq!(key.open(&[2; NONCE_LEN], b"beside", &mut data), Some(text));
        assert_eq!(data[..text], b"to be sealed, and sixteen octets"[..text]);
        assert_eq!(key.open(&[2; NONCE_LEN], b"beside", &mut [0; TAG_LEN - 1]), None);
    }

    #[test]
    fn what_was_sealed_opens() {
        seals_and_opens::<Aes128Gcm>();
        seals_and_opens::<Aes256Gcm>();
        seals_and_opens::<ChaCha20Poly1305>();
    }
}
