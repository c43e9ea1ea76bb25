//! The cryptography that rustls asks for, from pure Rust crates.
//!
//! [`provider`] names what is offered, in the order of preference. Below it, each file has one of the roles that rustls gives a
//! provider: `hash` and `hmac` (HKDF and the PRF of TLS 1.2 are rustls' own, over HMAC), `aead` with `tls13` and `tls12` for
//! the records, `kx` for key exchange, `verify` and `sign` for signatures. Random bytes come from [`fata_libos::entropy`].
//!
//! What depends on secrets takes the same time whatever they are, as far as the crates below promise it: AES and GHASH by
//! AES-NI and PCLMULQDQ, which the processor is asked for at run time, else in bit-sliced software; ChaCha20-Poly1305; the
//! elliptic curves; signing with RSA, which is blinded too. What is secret is zeroed when it is dropped, by the crates' features of
//! that name.
//!
//! Why it is as it is: `docs/decisions/0038-tls-provider.md`.

mod aead;
mod alerts;
mod hash;
mod hmac;
mod kx;
mod random;
mod sign;
pub mod suites;
mod tickets;
#[cfg(feature = "tls12")]
mod tls12;
mod tls13;
#[cfg(all(test, feature = "p384", feature = "rsa"))]
mod vectors;
mod verify;

use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};

pub(crate) use alerts::named;
#[cfg(feature = "p384")]
pub use kx::SECP384R1;
pub use kx::{SECP256R1, X25519};
pub use tickets::Tickets;

/// All that this provider has.
///
/// Suites are in the order of Mozilla's "intermediate" configuration, with those of TLS 1.3 first. A server takes its
/// first that the client has too; where a client, without instructions for AES, puts ChaCha20 first, its order counts.
pub fn provider() -> CryptoProvider {
    CryptoProvider { signature_verification_algorithms: verify::ALGORITHMS, ..signing() }
}

/// What a server needs that asks for no certificates: without the code that checks signatures. Who asks for them has it by
/// [`checking`].
pub(crate) fn signing() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: suites::ALL.to_vec(),
        kx_groups: kx::ALL.to_vec(),
        signature_verification_algorithms: WebPkiSupportedAlgorithms { all: &[], mapping: &[] },
        secure_random: &random::Random,
        key_provider: &sign::Keys,
    }
}

/// A provider that checks signatures: as it does, or if it does not, as [`provider`].
#[cfg(feature = "client-certificates")]
pub(crate) fn checking(mut provider: CryptoProvider) -> CryptoProvider {
    if provider.signature_verification_algorithms.all.is_empty() {
        provider.signature_verification_algorithms = verify::ALGORITHMS;
    }
    provider
}

#[cfg(test)]
mod tests {
    use zeroize::ZeroizeOnDrop;

    /// Fails to compile if a crate's feature is lost.
    #[test]
    fn secrets_are_zeroed_when_they_are_dropped() {
        fn zeroed<T: ZeroizeOnDrop>() {}
        // HMAC has nothing else, and no mark of its own.
        zeroed::<sha2::Sha256>();
        zeroed::<sha2::Sha384>();
        zeroed::<x25519_dalek::EphemeralSecret>();
        zeroed::<x25519_dalek::SharedSecret>();
        zeroed::<p256::ecdh::EphemeralSecret>();
        zeroed::<p256::ecdh::SharedSecret>();
        zeroed::<p256::ecdsa::SigningKey>();
        zeroed::<ed25519_dalek::SigningKey>();
        #[cfg(feature = "rsa")]
        zeroed::<rsa::RsaPrivateKey>();
    }
}
