//! Records of TLS 1.3 (RFC 8446, section 5.2).

use super::aead::{Cipher, Keyed, TAG_LEN};
use alloc::boxed::Box;
use core::marker::PhantomData;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, Nonce,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError, make_tls13_aad,
};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion};

/// Records with one cipher.
pub(crate) struct Aead<A>(PhantomData<fn() -> A>);

impl<A> Aead<A> {
    pub(crate) const fn new() -> Self {
        Aead(PhantomData)
    }
}

impl<A: Cipher> Tls13AeadAlgorithm for Aead<A> {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Records { key: Keyed::<A>::new(&key), iv })
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Records { key: Keyed::<A>::new(&key), iv })
    }

    fn key_len(&self) -> usize {
        Keyed::<A>::key_len()
    }

    fn extract_keys(&self, _: AeadKey, _: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        // For records made outside of rustls, which nothing here does.
        Err(UnsupportedOperationError)
    }
}

struct Records<A> {
    key: Keyed<A>,
    iv: Iv,
}

impl<A: Cipher> MessageEncrypter for Records<A> {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let total = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(total);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&[message.typ.into()]);
        let nonce = Nonce::new(&self.iv, seq).0;
        let tag =
            self.key.seal(&nonce, &make_tls13_aad(total), payload.as_mut()).ok_or(Error::EncryptError)?;
        payload.extend_from_slice(&tag);
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, payload))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len + size_of::<u8>() + TAG_LEN
    }
}

impl<A: Cipher> MessageDecrypter for Records<A> {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        seq: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let nonce = Nonce::new(&self.iv, seq).0;
        let aad = make_tls13_aad(message.payload.len());
        let len = self.key.open(&nonce, &aad, &mut message.payload).ok_or(Error::DecryptError)?;
        message.payload.truncate(len);
        message.into_tls13_unpadded_message()
    }
}
