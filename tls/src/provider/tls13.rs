//! Records of TLS 1.3 (RFC 8446, section 5.2).

use super::aead::keyed;
use super::alerts::rename;
use alloc::boxed::Box;
use core::marker::PhantomData;
use fata_aead::{Aead as Cipher, TAG_LEN};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, Nonce,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError, make_tls13_aad,
};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, PeerMisbehaved, ProtocolVersion};

/// Records with one cipher.
pub(crate) struct Aead<A>(PhantomData<fn() -> A>);

impl<A> Aead<A> {
    pub(crate) const fn new() -> Self {
        Aead(PhantomData)
    }
}

impl<A: Cipher> Tls13AeadAlgorithm for Aead<A> {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Records { key: keyed::<A>(&key), iv })
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Records { key: keyed::<A>(&key), iv })
    }

    fn key_len(&self) -> usize {
        A::KEY_LEN
    }

    fn extract_keys(&self, _: AeadKey, _: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        // For records made outside of rustls, which nothing here does.
        Err(UnsupportedOperationError)
    }
}

struct Records<A> {
    key: A,
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
        rename(message.typ, payload.as_mut());
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
        let Some(len) = self.key.open(&nonce, &aad, &mut message.payload) else {
            // The session sees by it that nobody needs the record any more.
            message.payload.fill(0);
            return Err(Error::DecryptError);
        };
        message.payload.truncate(len);
        let message = message.into_tls13_unpadded_message()?;
        match message.typ {
            ContentType::ApplicationData => Ok(message),
            ContentType::Alert | ContentType::Handshake if !message.payload.is_empty() => Ok(message),
            // Unknown types (section 5), and messages of no octets (section 5.4): rustls has another alert for them, or none.
            _ => Err(PeerMisbehaved::IllegalTlsInnerPlaintext.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_aead::Aes128Gcm;
    use rustls::crypto::cipher::OutboundChunks;

    /// The client's record of application data in RFC 8448, section 3, and what it is made with.
    const KEY: [u8; 16] = 0x1742_2dda_596e_d5d9_acd8_90e3_c63f_5051_u128.to_be_bytes();
    const IV: [u8; 12] = [0x5b, 0x78, 0x92, 0x3d, 0xee, 0x08, 0x57, 0x90, 0x33, 0xe5, 0x23, 0xd9];
    const RECORD: [u8; 72] = [
        0x17, 0x03, 0x03, 0x00, 0x43, 0xa2, 0x3f, 0x70, 0x54, 0xb6, 0x2c, 0x94, 0xd0, 0xaf, 0xfa, 0xfe, 0x82,
        0x28, 0xba, 0x55, 0xcb, 0xef, 0xac, 0xea, 0x42, 0xf9, 0x14, 0xaa, 0x66, 0xbc, 0xab, 0x3f, 0x2b, 0x98,
        0x19, 0xa8, 0xa5, 0xb4, 0x6b, 0x39, 0x5b, 0xd5, 0x4a, 0x9a, 0x20, 0x44, 0x1e, 0x2b, 0x62, 0x97, 0x4e,
        0x1f, 0x5a, 0x62, 0x92, 0xa2, 0x97, 0x70, 0x14, 0xbd, 0x1e, 0x3d, 0xea, 0xe6, 0x3a, 0xee, 0xbb, 0x21,
        0x69, 0x49, 0x15, 0xe4,
    ];

    fn records() -> Records<Aes128Gcm> {
        Records { key: Aes128Gcm::new(&KEY).unwrap(), iv: Iv::from(IV) }
    }

    #[test]
    fn a_record_is_as_in_rfc_8448() {
        let text: Vec<u8> = (0..50).collect();
        // In pieces, as rustls hands on what an application gave so.
        let (first, second) = text.split_at(20);
        let pieces = [first, second];
        let payload = OutboundChunks::new(&pieces);
        let message = OutboundPlainMessage {
            typ: ContentType::ApplicationData,
            version: ProtocolVersion::TLSv1_3,
            payload,
        };
        let sealed = records().encrypt(message, 0).unwrap();
        assert_eq!(sealed.encode(), RECORD);

        let mut payload = RECORD[5..].to_vec();
        let message =
            InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, &mut payload);
        let opened = records().decrypt(message, 0).unwrap();
        assert_eq!((opened.typ, opened.payload), (ContentType::ApplicationData, &text[..]));
    }

    #[test]
    fn what_is_no_record_of_the_peer_is_refused() {
        let refused = |payload: &[u8], seq| {
            let mut payload = payload.to_vec();
            let message = InboundOpaqueMessage::new(
                ContentType::ApplicationData,
                ProtocolVersion::TLSv1_2,
                &mut payload,
            );
            records().decrypt(message, seq).map(|_| ()).unwrap_err()
        };
        for len in 0..RECORD.len() - 5 {
            assert_eq!(refused(&RECORD[5..][..len], 0), Error::DecryptError);
        }
        assert_eq!(refused(&RECORD[5..], 1), Error::DecryptError);
    }
}
