//! Private keys: reading them, and signing with them.

mod ecdsa;
mod ed25519;
#[cfg(feature = "rsa")]
mod rsa;

use alloc::boxed::Box;
use alloc::sync::Arc;
use p256::pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use rustls::crypto::KeyProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureScheme};
use zeroize::Zeroizing;

/// `id-ecPublicKey` (RFC 5480).
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// `id-Ed25519` (RFC 8410).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// `rsaEncryption` (RFC 8017, appendix A.1).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

#[cfg(not(feature = "rsa"))]
const NO_RSA: &str = "an RSA private key, for which this image has no code (feature rsa)";

/// A key as rustls wants it.
type Key = Arc<dyn SigningKey>;

/// Reads private keys: PKCS#8 (RFC 5208 and 5958), SEC 1 (RFC 5915) and PKCS#1 (RFC 8017), without a password.
#[derive(Debug)]
pub(crate) struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Key, Error> {
        let key = Zeroizing::new(key);
        match &*key {
            PrivateKeyDer::Pkcs8(der) => pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Sec1(der) => ecdsa::from_sec1(der.secret_sec1_der()),
            #[cfg(feature = "rsa")]
            PrivateKeyDer::Pkcs1(der) => rsa::from_pkcs1(der.secret_pkcs1_der()),
            #[cfg(not(feature = "rsa"))]
            PrivateKeyDer::Pkcs1(_) => Err(unusable(NO_RSA)),
            _ => Err(unusable("private key of a form that is not known")),
        }
    }
}

fn pkcs8(der: &[u8]) -> Result<Key, Error> {
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| unusable("private key is not PKCS#8"))?;
    match info.algorithm.oid {
        EC => ecdsa::from_pkcs8(info),
        ED25519 => ed25519::from_pkcs8(info),
        #[cfg(feature = "rsa")]
        RSA => rsa::from_pkcs8(info),
        #[cfg(not(feature = "rsa"))]
        RSA => Err(unusable(NO_RSA)),
        _ => Err(unusable("private key of an algorithm that is not known")),
    }
}

fn unusable(why: &'static str) -> Error {
    Error::General(why.into())
}

/// `signer`, if the peer knows its scheme.
fn offered(schemes: &[SignatureScheme], signer: impl Signer + 'static) -> Option<Box<dyn Signer>> {
    schemes.contains(&signer.scheme()).then(|| Box::new(signer) as Box<dyn Signer>)
}
