//! Ed25519 (RFC 8032, keys RFC 8410).

use super::{Key, offered, unusable};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use ed25519_dalek::Signer as _;
use p256::pkcs8::PrivateKeyInfoRef;
use rustls::pki_types::{SubjectPublicKeyInfoDer, alg_id};
use rustls::sign::{Signer, SigningKey, public_key_to_spki};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

pub(super) fn from_pkcs8(info: PrivateKeyInfoRef<'_>) -> Result<Key, Error> {
    let key = ed25519_dalek::SigningKey::try_from(info)
        .map_err(|_| unusable("private key is not one of Ed25519"))?;
    Ok(Arc::new(Ed25519(Arc::new(key))))
}

/// A key, which is zeroed when the last of its holders drops it.
#[derive(Clone)]
struct Ed25519(Arc<ed25519_dalek::SigningKey>);

impl fmt::Debug for Ed25519 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519")
    }
}

impl SigningKey for Ed25519 {
    fn choose_scheme(&self, schemes: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered(schemes, self.clone())
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(public_key_to_spki(&alg_id::ED25519, self.0.verifying_key().as_bytes()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for Ed25519 {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).to_bytes().into())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}
