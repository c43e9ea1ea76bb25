//! RSA (RFC 8017, certificates RFC 3279 and 4055) with keys of 2048 to 8192 bits.

use super::{Algorithm, Verified};
use core::fmt;
use core::marker::PhantomData;
use rsa::RsaPublicKey;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::pkcs8::AssociatedOid;
use rsa::traits::{PublicKeyParts, SignatureScheme};
use rsa::{Pkcs1v15Sign, Pss};
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::digest::FixedOutputReset;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// Bits of a modulus. More takes a verifier's time without end; less can be factored.
const BITS: core::ops::RangeInclusive<u32> = 2048..=8192;

/// PKCS #1 v1.5 with SHA-256.
pub(super) static PKCS1_SHA256: Algorithm = &Rsa::<Pkcs1v15<Sha256>>(alg_id::RSA_PKCS1_SHA256, PhantomData);
/// PKCS #1 v1.5 with SHA-384.
pub(super) static PKCS1_SHA384: Algorithm = &Rsa::<Pkcs1v15<Sha384>>(alg_id::RSA_PKCS1_SHA384, PhantomData);
/// PKCS #1 v1.5 with SHA-512.
pub(super) static PKCS1_SHA512: Algorithm = &Rsa::<Pkcs1v15<Sha512>>(alg_id::RSA_PKCS1_SHA512, PhantomData);
/// PSS with SHA-256, its MGF1, and a salt of 32 octets.
pub(super) static PSS_SHA256: Algorithm = &Rsa::<Pss<Sha256>>(alg_id::RSA_PSS_SHA256, PhantomData);
/// PSS with SHA-384, its MGF1, and a salt of 48 octets.
pub(super) static PSS_SHA384: Algorithm = &Rsa::<Pss<Sha384>>(alg_id::RSA_PSS_SHA384, PhantomData);
/// PSS with SHA-512, its MGF1, and a salt of 64 octets.
pub(super) static PSS_SHA512: Algorithm = &Rsa::<Pss<Sha512>>(alg_id::RSA_PSS_SHA512, PhantomData);

/// How a hash becomes a number to sign.
trait Padding {
    fn verify(key: &RsaPublicKey, message: &[u8], signature: &[u8]) -> rsa::Result<()>;
}

struct Pkcs1v15<D>(PhantomData<D>);

impl<D: Digest + AssociatedOid> Padding for Pkcs1v15<D> {
    fn verify(key: &RsaPublicKey, message: &[u8], signature: &[u8]) -> rsa::Result<()> {
        Pkcs1v15Sign::new::<D>().verify(key, &D::digest(message), signature)
    }
}

impl<D: Digest + FixedOutputReset> Padding for Pss<D> {
    fn verify(key: &RsaPublicKey, message: &[u8], signature: &[u8]) -> rsa::Result<()> {
        SignatureScheme::verify(Pss::<D>::new(), key, &D::digest(message), signature)
    }
}

struct Rsa<P>(AlgorithmIdentifier, PhantomData<fn() -> P>);

impl<P> fmt::Debug for Rsa<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RSA {:?}", self.0)
    }
}

impl<P: Padding> SignatureVerificationAlgorithm for Rsa<P> {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Verified {
        let key = RsaPublicKey::from_pkcs1_der(public_key).map_err(|_| InvalidSignature)?;
        if !BITS.contains(&key.n().bits_vartime()) {
            return Err(InvalidSignature);
        }
        P::verify(&key, message, signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0
    }
}
