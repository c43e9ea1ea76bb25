//! Verifying signatures of certificates and of handshakes.

mod ecdsa;
mod ed25519;
#[cfg(feature = "rsa")]
mod rsa;

use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::SignatureVerificationAlgorithm;

/// Why a signature did not hold is told to nobody.
type Verified = Result<(), rustls::pki_types::InvalidSignature>;

/// What is verified. The first of a scheme is the one of TLS 1.3, where the scheme names the curve.
pub(crate) static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        ecdsa::P256_SHA256,
        ecdsa::P256_SHA384,
        #[cfg(feature = "p384")]
        ecdsa::P384_SHA256,
        #[cfg(feature = "p384")]
        ecdsa::P384_SHA384,
        ed25519::ED25519,
        #[cfg(feature = "rsa")]
        rsa::PSS_SHA256,
        #[cfg(feature = "rsa")]
        rsa::PSS_SHA384,
        #[cfg(feature = "rsa")]
        rsa::PSS_SHA512,
        #[cfg(feature = "rsa")]
        rsa::PKCS1_SHA256,
        #[cfg(feature = "rsa")]
        rsa::PKCS1_SHA384,
        #[cfg(feature = "rsa")]
        rsa::PKCS1_SHA512,
    ],
    mapping: &[
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &[
                ecdsa::P256_SHA256,
                #[cfg(feature = "p384")]
                ecdsa::P384_SHA256,
            ],
        ),
        #[cfg(feature = "p384")]
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[ecdsa::P384_SHA384, ecdsa::P256_SHA384]),
        (SignatureScheme::ED25519, &[ed25519::ED25519]),
        #[cfg(feature = "rsa")]
        (SignatureScheme::RSA_PSS_SHA256, &[rsa::PSS_SHA256]),
        #[cfg(feature = "rsa")]
        (SignatureScheme::RSA_PSS_SHA384, &[rsa::PSS_SHA384]),
        #[cfg(feature = "rsa")]
        (SignatureScheme::RSA_PSS_SHA512, &[rsa::PSS_SHA512]),
        #[cfg(feature = "rsa")]
        (SignatureScheme::RSA_PKCS1_SHA256, &[rsa::PKCS1_SHA256]),
        #[cfg(feature = "rsa")]
        (SignatureScheme::RSA_PKCS1_SHA384, &[rsa::PKCS1_SHA384]),
        #[cfg(feature = "rsa")]
        (SignatureScheme::RSA_PKCS1_SHA512, &[rsa::PKCS1_SHA512]),
    ],
};

type Algorithm = &'static dyn SignatureVerificationAlgorithm;
