//! Records that are sealed with the right keys, and say what they must not: a client whose cipher changes what it seals.

use rustls::crypto::CryptoProvider;
use rustls::crypto::cipher::{
    AeadKey, Iv, KeyBlockShape, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundOpaqueMessage,
    OutboundPlainMessage, Tls12AeadAlgorithm, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::{
    ConnectionTrafficSecrets, ContentType, Error, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite,
};
use std::cell::RefCell;

/// A text before it is sealed, and its type.
pub type Text = (ContentType, Vec<u8>);
/// Changes the text of number `n` of those that have been sealed since [`on`].
pub type Change = fn(usize, &mut Text);

thread_local! {
    static CHANGE: RefCell<Option<(usize, Change)>> = const { RefCell::new(None) };
}

/// From now on what this thread's clients seal is changed.
pub fn on(change: Change) {
    CHANGE.set(Some((0, change)));
}

/// From now on it is not.
pub fn off() {
    CHANGE.set(None);
}

/// Another provider's primitives, with ciphers that change what they seal.
pub fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    for suite in &mut provider.cipher_suites {
        *suite = match *suite {
            SupportedCipherSuite::Tls13(suite) => {
                let aead_alg: &'static dyn Tls13AeadAlgorithm = Box::leak(Box::new(Tls13(suite.aead_alg)));
                let Tls13CipherSuite { ref common, hkdf_provider, quic, .. } = *suite;
                let common = rustls::crypto::CipherSuiteCommon { ..*common };
                SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                    common,
                    hkdf_provider,
                    aead_alg,
                    quic,
                })))
            }
            SupportedCipherSuite::Tls12(suite) => {
                let aead_alg: &'static dyn Tls12AeadAlgorithm = Box::leak(Box::new(Tls12(suite.aead_alg)));
                let Tls12CipherSuite { ref common, kx, sign, prf_provider, .. } = *suite;
                let common = rustls::crypto::CipherSuiteCommon { ..*common };
                SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                    common,
                    kx,
                    sign,
                    prf_provider,
                    aead_alg,
                })))
            }
        };
    }
    provider
}

struct Tls13(&'static dyn Tls13AeadAlgorithm);

impl Tls13AeadAlgorithm for Tls13 {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Changing(self.0.encrypter(key, iv)))
    }
    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.0.decrypter(key, iv)
    }
    fn key_len(&self) -> usize {
        self.0.key_len()
    }
    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }
}

struct Tls12(&'static dyn Tls12AeadAlgorithm);

impl Tls12AeadAlgorithm for Tls12 {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(Changing(self.0.encrypter(key, iv, extra)))
    }
    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        self.0.decrypter(key, iv)
    }
    fn key_block_shape(&self) -> KeyBlockShape {
        self.0.key_block_shape()
    }
    fn extract_keys(
        &self,
        key: AeadKey,
        iv: &[u8],
        explicit: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv, explicit)
    }
}

struct Changing(Box<dyn MessageEncrypter>);

impl MessageEncrypter for Changing {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let mut text = (message.typ, message.payload.to_vec());
        CHANGE.with_borrow_mut(|change| {
            if let Some((n, change)) = change {
                change(*n, &mut text);
                *n += 1;
            }
        });
        let message = OutboundPlainMessage {
            typ: text.0,
            version: message.version,
            payload: OutboundChunks::Single(&text.1),
        };
        self.0.encrypt(message, seq)
    }
    fn encrypted_payload_len(&self, len: usize) -> usize {
        self.0.encrypted_payload_len(len)
    }
}
