//! Random bytes for rustls and for the crates, from the one generator of the appliance.
//!
//! It may have none: where the machine has no source, and in a copy of a guest whose sources have failed. That is an error
//! to the peer who wants a key, so that the crates are given generators that may fail, or octets that were drawn before.

use core::convert::Infallible;
use fata_libos::entropy::{self, EntropyError};
use p256::elliptic_curve::rand_core::{TryCryptoRng, TryRng};
use rustls::Error;
use rustls::crypto::{GetRandomFailed, SecureRandom};
use zeroize::Zeroizing;

/// [`fata_libos::entropy`], as each of the two sides wants it.
#[derive(Debug)]
pub(crate) struct Random;

/// What a peer gets whose handshake wants octets that are not there.
pub(crate) fn missing(_: EntropyError) -> Error {
    Error::FailedToGetRandomBytes
}

impl SecureRandom for Random {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        entropy::try_fill(bytes).map_err(|_| GetRandomFailed)
    }
}

impl TryRng for Random {
    type Error = EntropyError;

    fn try_next_u32(&mut self) -> Result<u32, EntropyError> {
        let mut octets = [0; 4];
        entropy::try_fill(&mut octets).map(|()| u32::from_le_bytes(octets))
    }

    fn try_next_u64(&mut self) -> Result<u64, EntropyError> {
        let mut octets = [0; 8];
        entropy::try_fill(&mut octets).map(|()| u64::from_le_bytes(octets))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        entropy::try_fill(bytes)
    }
}

impl TryCryptoRng for Random {}

/// The generator after it has said that it has octets, for crates that know none that fails: it fails later only if the
/// guest is copied within the call.
pub(crate) struct Ready(());

impl Ready {
    /// If there are octets.
    pub(crate) fn new() -> Result<Self, EntropyError> {
        entropy::try_fill(&mut Zeroizing::new([0; 1])[..]).map(|()| Self(()))
    }
}

impl TryRng for Ready {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(entropy::u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(entropy::u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        entropy::fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Ready {}
