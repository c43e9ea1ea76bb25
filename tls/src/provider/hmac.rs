//! HMAC (RFC 2104), and what rustls makes of it: HKDF (RFC 5869) and the PRF of TLS 1.2 (RFC 5246, section 5).

use alloc::boxed::Box;
use core::marker::PhantomData;
use hmac::{EagerHash, KeyInit, Mac};
use rustls::crypto::hmac::{Hmac, Key, Tag};
use rustls::crypto::tls13::HkdfUsingHmac;
use sha2::{Digest, Sha256, Sha384};

/// HMAC with SHA-256.
pub(crate) static HMAC_SHA256: Algorithm<Sha256> = Algorithm(PhantomData);
/// HMAC with SHA-384.
pub(crate) static HMAC_SHA384: Algorithm<Sha384> = Algorithm(PhantomData);
/// HKDF with SHA-256.
pub(crate) static HKDF_SHA256: HkdfUsingHmac<'static> = HkdfUsingHmac(&HMAC_SHA256);
/// HKDF with SHA-384.
pub(crate) static HKDF_SHA384: HkdfUsingHmac<'static> = HkdfUsingHmac(&HMAC_SHA384);

pub(crate) struct Algorithm<D>(PhantomData<fn() -> D>);

impl<D> Hmac for Algorithm<D>
where
    D: EagerHash + Digest + 'static,
    hmac::Hmac<D>: Mac + KeyInit + Clone + Send + Sync,
{
    fn with_key(&self, key: &[u8]) -> Box<dyn Key> {
        let keyed = <hmac::Hmac<D> as KeyInit>::new_from_slice(key);
        Box::new(Keyed(keyed.expect("HMAC takes keys of any length")))
    }

    fn hash_output_len(&self) -> usize {
        <D as Digest>::output_size()
    }
}

/// The state after the key's block: a tag costs two compressions fewer than from the key.
struct Keyed<M>(M);

impl<M: Mac + Clone + Send + Sync> Key for Keyed<M> {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> Tag {
        let mut mac = self.0.clone();
        mac.update(first);
        middle.iter().for_each(|part| mac.update(part));
        mac.update(last);
        Tag::new(&mac.finalize().into_bytes())
    }

    fn tag_len(&self) -> usize {
        M::output_size()
    }
}
