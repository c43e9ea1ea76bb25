//! ECDSA (FIPS 186-5, certificates RFC 5480 and 5758).

use super::{Algorithm, Verified};
use core::fmt;
use core::marker::PhantomData;
use core::ops::Add;
use ecdsa::der::{MaxOverhead, MaxSize};
use ecdsa::signature::hazmat::PrehashVerifier;
use ecdsa::{EcdsaCurve, Signature, VerifyingKey};
use p256::NistP256;
use p256::elliptic_curve::array::ArraySize;
use p256::elliptic_curve::array::typenum::Unsigned;
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point, UncompressedPointSize};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize};
#[cfg(feature = "p384")]
use p384::NistP384;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest, Sha256, Sha384};

/// ECDSA on P-256 with SHA-256.
pub(super) static P256_SHA256: Algorithm =
    &Ecdsa::<NistP256, Sha256>(alg_id::ECDSA_P256, alg_id::ECDSA_SHA256, PhantomData);
/// ECDSA on P-256 with SHA-384.
pub(super) static P256_SHA384: Algorithm =
    &Ecdsa::<NistP256, Sha384>(alg_id::ECDSA_P256, alg_id::ECDSA_SHA384, PhantomData);
/// ECDSA on P-384 with SHA-256.
#[cfg(feature = "p384")]
pub(super) static P384_SHA256: Algorithm =
    &Ecdsa::<NistP384, Sha256>(alg_id::ECDSA_P384, alg_id::ECDSA_SHA256, PhantomData);
/// ECDSA on P-384 with SHA-384.
#[cfg(feature = "p384")]
pub(super) static P384_SHA384: Algorithm =
    &Ecdsa::<NistP384, Sha384>(alg_id::ECDSA_P384, alg_id::ECDSA_SHA384, PhantomData);

struct Ecdsa<C, D>(AlgorithmIdentifier, AlgorithmIdentifier, PhantomData<fn() -> (C, D)>);

impl<C, D> fmt::Debug for Ecdsa<C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.0, self.1)
    }
}

impl<C, D> SignatureVerificationAlgorithm for Ecdsa<C, D>
where
    C: EcdsaCurve + CurveArithmetic,
    D: Digest,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
    <FieldBytesSize<C> as Add>::Output: Add<MaxOverhead> + ArraySize,
    MaxSize<C>: ArraySize,
{
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Verified {
        // TLS knows points in full only (RFC 8422, section 5.1.1); the crate reads shortened ones too.
        if public_key.len() != UncompressedPointSize::<C>::USIZE {
            return Err(InvalidSignature);
        }
        let key = VerifyingKey::<C>::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = Signature::<C>::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify_prehash(&D::digest(message), &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.1
    }
}
