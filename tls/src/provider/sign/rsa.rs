//! RSA (RFC 8017).
//!
//! Signing is blinded: what the private key works on is multiplied with a random number first, which is taken out of the result
//! after it, so that what the work takes in time says nothing about a message that an attacker chose. Its result is checked with
//! the public key before it is given out: one wrong result of the Chinese remainder theorem would give the key away.
//!
//! RUSTSEC-2023-0071 ("Marvin") is about decryption, whose padding a remote can ask about. TLS of this provider decrypts nothing
//! with RSA: no suite has its key exchange.

use super::{Key, offered, unusable};
use crate::provider::random::{Ready, missing};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use p256::pkcs8::PrivateKeyInfoRef;
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPublicKey};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, Pss, RsaPrivateKey};
use rustls::pki_types::{SubjectPublicKeyInfoDer, alg_id};
use rustls::sign::{Signer, SigningKey, public_key_to_spki};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// What a key signs with, the first that the peer knows.
const SCHEMES: [SignatureScheme; 6] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// Bits of a modulus, at least: what nobody verifies need not be signed.
const MIN_BITS: u32 = 2048;

const MALFORMED: &str = "RSA private key is damaged, or of more than two primes, or of more than 8192 bits";

pub(super) fn from_pkcs8(info: PrivateKeyInfoRef<'_>) -> Result<Key, Error> {
    key(RsaPrivateKey::try_from(info).map_err(|_| unusable(MALFORMED))?)
}

pub(super) fn from_pkcs1(der: &[u8]) -> Result<Key, Error> {
    key(RsaPrivateKey::from_pkcs1_der(der).map_err(|_| unusable(MALFORMED))?)
}

fn key(key: RsaPrivateKey) -> Result<Key, Error> {
    if key.n().bits_vartime() < MIN_BITS {
        return Err(unusable("RSA private key of fewer than 2048 bits"));
    }
    let public = key.as_public_key().to_pkcs1_der().map_err(|_| unusable(MALFORMED))?;
    let public = public_key_to_spki(&alg_id::RSA_ENCRYPTION, public.as_bytes());
    Ok(Arc::new(Rsa { key: Arc::new(key), public }))
}

/// A key, which is zeroed when the last of its holders drops it.
struct Rsa {
    key: Arc<RsaPrivateKey>,
    public: SubjectPublicKeyInfoDer<'static>,
}

impl fmt::Debug for Rsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RSA")
    }
}

impl SigningKey for Rsa {
    fn choose_scheme(&self, schemes: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        SCHEMES.iter().find_map(|&scheme| offered(schemes, WithScheme { key: self.key.clone(), scheme }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public.clone())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

struct WithScheme {
    key: Arc<RsaPrivateKey>,
    scheme: SignatureScheme,
}

impl fmt::Debug for WithScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scheme.fmt(f)
    }
}

impl WithScheme {
    fn signed(&self, mut random: Ready, message: &[u8]) -> rsa::Result<Vec<u8>> {
        let Self { key, scheme } = self;
        match *scheme {
            SignatureScheme::RSA_PSS_SHA256 => {
                key.sign_with_rng(&mut random, Pss::<Sha256>::new(), &Sha256::digest(message))
            }
            SignatureScheme::RSA_PSS_SHA384 => {
                key.sign_with_rng(&mut random, Pss::<Sha384>::new(), &Sha384::digest(message))
            }
            SignatureScheme::RSA_PSS_SHA512 => {
                key.sign_with_rng(&mut random, Pss::<Sha512>::new(), &Sha512::digest(message))
            }
            SignatureScheme::RSA_PKCS1_SHA256 => {
                key.sign_with_rng(&mut random, Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message))
            }
            SignatureScheme::RSA_PKCS1_SHA384 => {
                key.sign_with_rng(&mut random, Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message))
            }
            _ => key.sign_with_rng(&mut random, Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message)),
        }
    }
}

impl Signer for WithScheme {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.signed(Ready::new().map_err(missing)?, message).map_err(|_| unusable("RSA did not sign"))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
