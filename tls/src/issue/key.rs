//! A private key on P-256 (FIPS 186-5), in PKCS#8 (RFC 5958, RFC 5915) and PEM (RFC 7468).

use super::der::{self, Der};
use super::{IssueError, der::SEQUENCE};
use crate::pem;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use ecdsa::signature::RandomizedSigner;
use fata_libos::entropy::{self, EntropyError};
use p256::elliptic_curve::rand_core::{TryCryptoRng, TryRng};
use p256::pkcs8::der::pem::LineEnding;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, ObjectIdentifier};
use p256::{SecretKey, ecdsa::Signature};
use rustls::pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

/// Octets of a coordinate, and of a private key.
const COORDINATE: usize = 32;
/// How often a private key is drawn: one of 2^32 is none.
const DRAWS: usize = 8;

/// `id-ecPublicKey` (RFC 5480, section 2.1.1).
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// `secp256r1` (RFC 5480, section 2.1.1.1).
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// `ecdsa-with-SHA256` (RFC 5758, section 3.2).
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// A private key, which is zeroed when it is dropped.
#[derive(Clone)]
pub struct PrivateKey(p256::ecdsa::SigningKey);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(P-256)")
    }
}

impl PrivateKey {
    /// A new one, of [`entropy::try_fill`].
    pub fn generate() -> Result<Self, IssueError> {
        let mut octets = Zeroizing::new([0; COORDINATE]);
        for _ in 0..DRAWS {
            entropy::try_fill(&mut *octets)?;
            if let Ok(key) = p256::ecdsa::SigningKey::from_slice(&*octets) {
                return Ok(Self(key));
            }
        }
        // A generator that gives no number below the order eight times gives none at all.
        Err(IssueError::NoEntropy(EntropyError::Failed))
    }

    /// From PKCS#8 in PEM (`-----BEGIN PRIVATE KEY-----`), as [`to_pem`](Self::to_pem) and `openssl genpkey` write it.
    pub fn from_pem(pem: &str) -> Result<Self, IssueError> {
        let key = pem::key(pem).map_err(|_| IssueError::BadKey)?;
        let PrivateKeyDer::Pkcs8(der) = &*key else { return Err(IssueError::BadKey) };
        let key = SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).map_err(|_| IssueError::BadKey)?;
        Ok(Self(key.into()))
    }

    /// PKCS#8 in PEM. The text is zeroed when it is dropped.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, IssueError> {
        let key = SecretKey::from(self.0.clone());
        key.to_pkcs8_pem(LineEnding::LF).map_err(|_| IssueError::Failed)
    }

    /// The signature of a message by ECDSA with SHA-256, in DER (RFC 3279, section 2.2.3), as X.509 has it.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IssueError> {
        Ok(self.signature(message)?.to_der().as_bytes().into())
    }

    /// The signature of a message, as `r` and `s` one behind the other: `ES256` (RFC 7518, section 3.4).
    pub fn sign_es256(&self, message: &[u8]) -> Result<[u8; 2 * COORDINATE], IssueError> {
        Ok(self.signature(message)?.to_bytes().into())
    }

    fn signature(&self, message: &[u8]) -> Result<Signature, IssueError> {
        // Random octets beside those of RFC 6979: the provider's signatures of handshakes say why.
        self.0.try_sign_with_rng(&mut Fallible, message).map_err(|_| match entropy::try_fill(&mut [0; 1]) {
            Err(error) => error.into(),
            Ok(()) => IssueError::Failed,
        })
    }

    /// The public key's coordinates `x` and `y`, the highest octets first (RFC 7518, section 6.2.1).
    pub fn public(&self) -> ([u8; COORDINATE], [u8; COORDINATE]) {
        let point = self.0.verifying_key().to_sec1_point(false);
        let (mut x, mut y) = ([0; COORDINATE], [0; COORDINATE]);
        // 4, x, y.
        for (to, from) in x.iter_mut().chain(&mut y).zip(point.as_bytes().iter().skip(1)) {
            *to = *from;
        }
        (x, y)
    }

    /// Puts the `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7).
    pub(super) fn public_info(&self, der: &mut Der) {
        der.nest(SEQUENCE, |der| {
            der.nest(SEQUENCE, |der| {
                der.oid(&EC);
                der.oid(&P256);
            });
            der.bits(self.0.verifying_key().to_sec1_point(false).as_bytes());
        });
    }

    /// Puts the `AlgorithmIdentifier` of its signatures: without parameters (RFC 5758, section 3.2).
    pub(super) fn algorithm(der: &mut Der) {
        der.nest(SEQUENCE, |der| der.oid(&ECDSA_SHA256));
    }

    /// What a certificate and a request are: `SEQUENCE` of what is signed, the algorithm, and the signature.
    pub(super) fn signed(&self, content: &[u8]) -> Result<Vec<u8>, IssueError> {
        let signature = self.sign(content)?;
        Ok(Der::of(der::SEQUENCE, |der| {
            der.raw(content);
            Self::algorithm(der);
            der.bits(&signature);
        }))
    }
}

/// The appliance's generator, whose absence is an error.
struct Fallible;

impl TryRng for Fallible {
    type Error = EntropyError;

    fn try_next_u32(&mut self) -> Result<u32, EntropyError> {
        let mut octets = [0; 4];
        entropy::try_fill(&mut octets)?;
        Ok(u32::from_le_bytes(octets))
    }

    fn try_next_u64(&mut self) -> Result<u64, EntropyError> {
        let mut octets = [0; 8];
        entropy::try_fill(&mut octets)?;
        Ok(u64::from_le_bytes(octets))
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), EntropyError> {
        entropy::try_fill(octets)
    }
}

impl TryCryptoRng for Fallible {}
