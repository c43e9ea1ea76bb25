//! X25519 (RFC 7748).

use super::invalid;
use crate::provider::random::{Ready, missing};
use alloc::boxed::Box;
use p256::elliptic_curve::rand_core::CryptoRng;
use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup};
use x25519_dalek::{EphemeralSecret, PublicKey};

/// X25519.
pub static X25519: &dyn SupportedKxGroup = &Group;

#[derive(Debug)]
struct Group;

impl SupportedKxGroup for Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(Exchange::new(&mut Ready::new().map_err(missing)?)))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange {
    secret: EphemeralSecret,
    public: PublicKey,
}

impl Exchange {
    fn new(random: &mut impl CryptoRng) -> Self {
        let secret = EphemeralSecret::random_from_rng(random);
        let public = PublicKey::from(&secret);
        Exchange { secret, public }
    }
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer: [u8; 32] = peer.try_into().map_err(|_| invalid())?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(peer));
        // All zeroes, from a point of small order: everyone knows it (RFC 7748, section 6.1).
        if !shared.was_contributory() {
            return Err(invalid());
        }
        Ok(shared.as_bytes().as_slice().into())
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// An exchange with the secret that `random` gives, for vectors.
#[cfg(test)]
pub(crate) fn with_secret(random: &mut impl CryptoRng) -> Box<dyn ActiveKeyExchange> {
    Box::new(Exchange::new(random))
}
