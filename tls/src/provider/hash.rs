//! SHA-256 and SHA-384 of transcripts (FIPS 180-4).

use alloc::boxed::Box;
use core::marker::PhantomData;
use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use sha2::{Digest, Sha256, Sha384};

/// SHA-256.
pub(crate) static SHA256: Sha<Sha256> = Sha(HashAlgorithm::SHA256, PhantomData);
/// SHA-384.
pub(crate) static SHA384: Sha<Sha384> = Sha(HashAlgorithm::SHA384, PhantomData);

pub(crate) struct Sha<D>(HashAlgorithm, PhantomData<fn() -> D>);

impl<D: Digest + Clone + Send + Sync + 'static> Hash for Sha<D> {
    fn start(&self) -> Box<dyn Context> {
        Box::new(Transcript(D::new()))
    }

    fn hash(&self, data: &[u8]) -> Output {
        Output::new(&D::digest(data))
    }

    fn output_len(&self) -> usize {
        <D as Digest>::output_size()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.0
    }
}

struct Transcript<D>(D);

impl<D: Digest + Clone + Send + Sync + 'static> Context for Transcript<D> {
    fn fork_finish(&self) -> Output {
        Output::new(&self.0.clone().finalize())
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Transcript(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> Output {
        Output::new(&self.0.finalize())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}
