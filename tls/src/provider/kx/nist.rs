//! ECDH on the curves of NIST (SP 800-56A; points as in RFC 8446, section 4.2.8.2).

use super::invalid;
use crate::provider::random::{Random, missing};
use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;
use p256::NistP256;
use p256::elliptic_curve::ecdh::EphemeralSecret;
use p256::elliptic_curve::rand_core::TryCryptoRng;
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, Sec1Point, ToSec1Point};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, Generate, PublicKey};
use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup};

/// P-256.
pub static SECP256R1: &dyn SupportedKxGroup = &Group::<NistP256>(NamedGroup::secp256r1, PhantomData);
/// P-384.
#[cfg(feature = "p384")]
pub static SECP384R1: &dyn SupportedKxGroup = &Group::<p384::NistP384>(NamedGroup::secp384r1, PhantomData);

struct Group<C>(NamedGroup, PhantomData<fn() -> C>);

impl<C> fmt::Debug for Group<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<C> SupportedKxGroup for Group<C>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(Exchange::<C>::new(self.0, &mut Random).map_err(missing)?))
    }

    fn name(&self) -> NamedGroup {
        self.0
    }
}

struct Exchange<C: CurveArithmetic>
where
    FieldBytesSize<C>: ModulusSize,
{
    group: NamedGroup,
    secret: EphemeralSecret<C>,
    public: Sec1Point<C>,
}

impl<C> Exchange<C>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    fn new<R: TryCryptoRng>(group: NamedGroup, random: &mut R) -> Result<Self, R::Error> {
        let secret = EphemeralSecret::try_generate_from_rng(random)?;
        let public = secret.public_key().to_sec1_point(false);
        Ok(Exchange { group, secret, public })
    }
}

impl<C> ActiveKeyExchange for Exchange<C>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        // TLS knows points in full only; the crate reads shortened ones too.
        if peer.len() != self.public.len() {
            return Err(invalid());
        }
        // Not on the curve, or its zero: refused here, so that no shared secret is zero.
        let peer = PublicKey::<C>::from_sec1_bytes(peer).map_err(|_| invalid())?;
        let shared = self.secret.diffie_hellman(&peer);
        Ok(shared.raw_secret_bytes().as_slice().into())
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        self.group
    }
}

/// An exchange with the secret that `random` gives, for vectors.
#[cfg(test)]
pub(crate) fn with_secret<C>(
    group: NamedGroup,
    random: &mut impl p256::elliptic_curve::rand_core::CryptoRng,
) -> Box<dyn ActiveKeyExchange>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let Ok(exchange) = Exchange::<C>::new(group, random);
    Box::new(exchange)
}
