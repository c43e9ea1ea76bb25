//! ECDSA (FIPS 186-5, keys RFC 5915 and 5480).

use super::{Key, offered, unusable};
use crate::provider::random::Random;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Add;
use ecdsa::der::{MaxOverhead, MaxSize};
use ecdsa::signature::RandomizedSigner;
use ecdsa::{DigestAlgorithm, EcdsaCurve, Signature};
use p256::NistP256;
use p256::elliptic_curve::array::ArraySize;
use p256::elliptic_curve::ops::Invert;
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::subtle::CtOption;
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, Scalar, SecretKey};
use p256::pkcs8::PrivateKeyInfoRef;
#[cfg(feature = "p384")]
use p384::NistP384;
use rustls::pki_types::{AlgorithmIdentifier, SubjectPublicKeyInfoDer, alg_id};
use rustls::sign::{Signer, SigningKey, public_key_to_spki};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

#[cfg(feature = "p384")]
const MALFORMED: &str = "private key is on no curve that is known, or damaged";
#[cfg(not(feature = "p384"))]
const MALFORMED: &str =
    "private key is not on P-256, the one curve that this image has code for (feature p384), or damaged";

pub(super) fn from_pkcs8(info: PrivateKeyInfoRef<'_>) -> Result<Key, Error> {
    if let Ok(key) = SecretKey::<NistP256>::try_from(info.clone()) {
        return Ok(p256(key));
    }
    #[cfg(feature = "p384")]
    if let Ok(key) = SecretKey::<NistP384>::try_from(info) {
        return Ok(p384(key));
    }
    Err(unusable(MALFORMED))
}

pub(super) fn from_sec1(der: &[u8]) -> Result<Key, Error> {
    if let Ok(key) = SecretKey::<NistP256>::from_sec1_der(der) {
        return Ok(p256(key));
    }
    #[cfg(feature = "p384")]
    if let Ok(key) = SecretKey::<NistP384>::from_sec1_der(der) {
        return Ok(p384(key));
    }
    Err(unusable(MALFORMED))
}

fn p256(key: SecretKey<NistP256>) -> Key {
    Arc::new(Ecdsa {
        key: Arc::new(key.into()),
        scheme: SignatureScheme::ECDSA_NISTP256_SHA256,
        curve: alg_id::ECDSA_P256,
    })
}

#[cfg(feature = "p384")]
fn p384(key: SecretKey<NistP384>) -> Key {
    Arc::new(Ecdsa {
        key: Arc::new(key.into()),
        scheme: SignatureScheme::ECDSA_NISTP384_SHA384,
        curve: alg_id::ECDSA_P384,
    })
}

/// A key, which is zeroed when the last of its holders drops it.
struct Ecdsa<C: EcdsaCurve + CurveArithmetic> {
    key: Arc<ecdsa::SigningKey<C>>,
    scheme: SignatureScheme,
    curve: AlgorithmIdentifier,
}

impl<C: EcdsaCurve + CurveArithmetic> fmt::Debug for Ecdsa<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scheme.fmt(f)
    }
}

impl<C> SigningKey for Ecdsa<C>
where
    C: EcdsaCurve + CurveArithmetic + DigestAlgorithm,
    Scalar<C>: Invert<Output = CtOption<Scalar<C>>>,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
    <FieldBytesSize<C> as Add>::Output: Add<MaxOverhead> + ArraySize,
    MaxSize<C>: ArraySize,
{
    fn choose_scheme(&self, schemes: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered(schemes, Ecdsa { key: self.key.clone(), ..*self })
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(public_key_to_spki(&self.curve, self.key.verifying_key().to_sec1_point(false)))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl<C> Signer for Ecdsa<C>
where
    C: EcdsaCurve + CurveArithmetic + DigestAlgorithm,
    Scalar<C>: Invert<Output = CtOption<Scalar<C>>>,
    FieldBytesSize<C>: ModulusSize,
    <FieldBytesSize<C> as Add>::Output: Add<MaxOverhead> + ArraySize,
    MaxSize<C>: ArraySize,
{
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        // The nonce comes from key and message (RFC 6979) with random octets beside them (section 3.6): a bad generator gives no
        // key away, and equal messages are not signed with equal nonces.
        let signature: Result<Signature<C>, _> = self.key.try_sign_with_rng(&mut Random, message);
        let signature = signature.map_err(|_| unusable("ECDSA did not sign"))?;
        Ok(signature.to_der().as_bytes().into())
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
