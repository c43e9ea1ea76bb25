//! Records of TLS 1.2: AES-GCM (RFC 5288) and ChaCha20-Poly1305 (RFC 7905).

use super::aead::keyed;
use super::alerts::rename;
use alloc::boxed::Box;
use core::marker::PhantomData;
use fata_aead::{Aead as Cipher, TAG_LEN};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, KeyBlockShape, MessageDecrypter,
    MessageEncrypter, NONCE_LEN, Nonce, OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload,
    Tls12AeadAlgorithm, UnsupportedOperationError, make_tls12_aad,
};
use rustls::{ConnectionTrafficSecrets, Error};

/// Octets of a record's text, at most (RFC 5246, section 6.2.1).
const MAX_TEXT: usize = 1 << 14;

/// Records with one cipher, `EXPLICIT` octets of whose nonce go with each record: 8 of AES-GCM, none of ChaCha20-Poly1305.
pub(crate) struct Aead<A, const EXPLICIT: usize>(PhantomData<fn() -> A>);

impl<A, const EXPLICIT: usize> Aead<A, EXPLICIT> {
    pub(crate) const fn new() -> Self {
        Aead(PhantomData)
    }
}

impl<A: Cipher, const EXPLICIT: usize> Tls12AeadAlgorithm for Aead<A, EXPLICIT> {
    fn encrypter(&self, key: AeadKey, iv: &[u8], explicit: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(Records::<A, EXPLICIT>::new(&key, iv, explicit))
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        Box::new(Records::<A, EXPLICIT>::new(&key, iv, &[]))
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        KeyBlockShape {
            enc_key_len: A::KEY_LEN,
            fixed_iv_len: NONCE_LEN - EXPLICIT,
            explicit_nonce_len: EXPLICIT,
        }
    }

    fn extract_keys(
        &self,
        _: AeadKey,
        _: &[u8],
        _: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        // For records made outside of rustls, which nothing here does.
        Err(UnsupportedOperationError)
    }
}

struct Records<A, const EXPLICIT: usize> {
    key: A,
    /// What the number of a record is added to: the part of the nonce that the keys give, and what else rustls gives to begin
    /// with. The sum's last octets go with the record where the cipher has it so.
    iv: Iv,
}

impl<A: Cipher, const EXPLICIT: usize> Records<A, EXPLICIT> {
    /// Octets of a record beside its text.
    const OVERHEAD: usize = EXPLICIT + TAG_LEN;

    fn new(key: &AeadKey, fixed: &[u8], explicit: &[u8]) -> Self {
        let mut iv = [0; NONCE_LEN];
        iv.iter_mut().zip(fixed.iter().chain(explicit)).for_each(|(to, from)| *to = *from);
        Records { key: keyed(key), iv: Iv::new(iv) }
    }
}

impl<A: Cipher, const EXPLICIT: usize> MessageEncrypter for Records<A, EXPLICIT> {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let len = message.payload.len();
        let mut payload = PrefixedPayload::with_capacity(self.encrypted_payload_len(len));
        let nonce = Nonce::new(&self.iv, seq).0;
        payload.extend_from_slice(&nonce[NONCE_LEN - EXPLICIT..]);
        payload.extend_from_chunks(&message.payload);
        let aad = make_tls12_aad(seq, message.typ, message.version, len);
        let text = &mut payload.as_mut()[EXPLICIT..];
        rename(message.typ, text);
        let tag = self.key.seal(&nonce, &aad, text).ok_or(Error::EncryptError)?;
        payload.extend_from_slice(&tag);
        Ok(OutboundOpaqueMessage::new(message.typ, message.version, payload))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len + Self::OVERHEAD
    }
}

impl<A: Cipher, const EXPLICIT: usize> MessageDecrypter for Records<A, EXPLICIT> {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        seq: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let len = message.payload.len().checked_sub(Self::OVERHEAD).ok_or(Error::DecryptError)?;
        let (explicit, sealed) = message.payload.split_at_mut(EXPLICIT);
        let mut nonce = Nonce::new(&self.iv, seq).0;
        nonce[NONCE_LEN - EXPLICIT..].copy_from_slice(explicit);
        let aad = make_tls12_aad(seq, message.typ, message.version, len);
        self.key.open(&nonce, &aad, sealed).ok_or(Error::DecryptError)?;
        if len > MAX_TEXT {
            return Err(Error::PeerSentOversizedRecord);
        }
        Ok(message.into_plain_message_range(EXPLICIT..EXPLICIT + len))
    }
}
