//! The cipher suites.

use super::{hash, hmac, tls13};
use fata_aead::{Aes128Gcm, Aes256Gcm, ChaCha20Poly1305};
use rustls::crypto::CipherSuiteCommon;
use rustls::{CipherSuite, SupportedCipherSuite, Tls13CipherSuite};

/// How many records of 2^14 octets AES-GCM may protect with one key (RFC 8446, section 5.5, rounded down to a power of two):
/// rustls changes the key of TLS 1.3 before that, and ends a connection of TLS 1.2.
const GCM_RECORDS: u64 = 1 << 24;
/// The same of ChaCha20-Poly1305, which has no such limit.
const CHACHA_RECORDS: u64 = u64::MAX;

/// All suites, in the order of preference.
pub(crate) static ALL: &[SupportedCipherSuite] = &[
    TLS13_AES_128_GCM_SHA256,
    TLS13_AES_256_GCM_SHA384,
    TLS13_CHACHA20_POLY1305_SHA256,
    #[cfg(feature = "tls12")]
    tls12::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    #[cfg(all(feature = "tls12", feature = "rsa"))]
    tls12::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    #[cfg(feature = "tls12")]
    tls12::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    #[cfg(all(feature = "tls12", feature = "rsa"))]
    tls12::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    #[cfg(feature = "tls12")]
    tls12::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    #[cfg(all(feature = "tls12", feature = "rsa"))]
    tls12::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

macro_rules! tls13 {
    ($name:ident, $hash:ident, $hkdf:ident, $cipher:ty, $records:ident) => {
        #[doc = concat!("`", stringify!($name), "` (RFC 8446, appendix B.4).")]
        pub static $name: SupportedCipherSuite = SupportedCipherSuite::Tls13(&Tls13CipherSuite {
            common: CipherSuiteCommon {
                suite: CipherSuite::$name,
                hash_provider: &hash::$hash,
                confidentiality_limit: $records,
            },
            hkdf_provider: &hmac::$hkdf,
            aead_alg: &tls13::Aead::<$cipher>::new(),
            quic: None,
        });
    };
}

tls13!(TLS13_AES_128_GCM_SHA256, SHA256, HKDF_SHA256, Aes128Gcm, GCM_RECORDS);
tls13!(TLS13_AES_256_GCM_SHA384, SHA384, HKDF_SHA384, Aes256Gcm, GCM_RECORDS);
tls13!(TLS13_CHACHA20_POLY1305_SHA256, SHA256, HKDF_SHA256, ChaCha20Poly1305, CHACHA_RECORDS);

#[cfg(feature = "tls12")]
pub mod tls12 {
    //! The suites of TLS 1.2.

    use super::*;
    use crate::provider::tls12::Aead;
    use rustls::crypto::KeyExchangeAlgorithm;
    use rustls::crypto::tls12::PrfUsingHmac;
    use rustls::{SignatureScheme, Tls12CipherSuite};

    /// Schemes of a server with a key on an elliptic curve: the suites count Ed25519 as one (RFC 8422, section 5.10).
    const ECDSA: &[SignatureScheme] = &[
        SignatureScheme::ED25519,
        SignatureScheme::ECDSA_NISTP256_SHA256,
        #[cfg(feature = "p384")]
        SignatureScheme::ECDSA_NISTP384_SHA384,
    ];
    /// Schemes of a server with an RSA key.
    #[cfg(feature = "rsa")]
    const RSA: &[SignatureScheme] = &[
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::RSA_PSS_SHA384,
        SignatureScheme::RSA_PSS_SHA512,
        SignatureScheme::RSA_PKCS1_SHA256,
        SignatureScheme::RSA_PKCS1_SHA384,
        SignatureScheme::RSA_PKCS1_SHA512,
    ];

    macro_rules! tls12 {
        ($name:ident, $sign:ident, $hash:ident, $hmac:ident, $aead:expr, $records:ident, $rfc:literal) => {
            #[doc = concat!("`", stringify!($name), "` (RFC ", $rfc, ").")]
            pub static $name: SupportedCipherSuite = SupportedCipherSuite::Tls12(&Tls12CipherSuite {
                common: CipherSuiteCommon {
                    suite: CipherSuite::$name,
                    hash_provider: &hash::$hash,
                    confidentiality_limit: $records,
                },
                kx: KeyExchangeAlgorithm::ECDHE,
                sign: $sign,
                prf_provider: &PrfUsingHmac(&hmac::$hmac),
                aead_alg: &$aead,
            });
        };
    }

    const AES_128: Aead<Aes128Gcm, 8> = Aead::new();
    const AES_256: Aead<Aes256Gcm, 8> = Aead::new();
    const CHACHA20: Aead<ChaCha20Poly1305, 0> = Aead::new();

    tls12!(TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ECDSA, SHA256, HMAC_SHA256, AES_128, GCM_RECORDS, "5289");
    tls12!(TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, ECDSA, SHA384, HMAC_SHA384, AES_256, GCM_RECORDS, "5289");
    tls12!(
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ECDSA,
        SHA256,
        HMAC_SHA256,
        CHACHA20,
        CHACHA_RECORDS,
        "7905"
    );
    #[cfg(feature = "rsa")]
    tls12!(TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, RSA, SHA256, HMAC_SHA256, AES_128, GCM_RECORDS, "5289");
    #[cfg(feature = "rsa")]
    tls12!(TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, RSA, SHA384, HMAC_SHA384, AES_256, GCM_RECORDS, "5289");
    #[cfg(feature = "rsa")]
    tls12!(
        TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        RSA,
        SHA256,
        HMAC_SHA256,
        CHACHA20,
        CHACHA_RECORDS,
        "7905"
    );
}
