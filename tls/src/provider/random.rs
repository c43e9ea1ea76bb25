//! Random bytes for rustls and for the crates, from the one generator of the appliance.

use core::convert::Infallible;
use fata_libos::entropy;
use p256::elliptic_curve::rand_core::{TryCryptoRng, TryRng};
use rustls::crypto::{GetRandomFailed, SecureRandom};

/// [`fata_libos::entropy`], as each of the two sides wants it.
#[derive(Debug)]
pub(crate) struct Random;

impl SecureRandom for Random {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        entropy::try_fill(bytes).map_err(|_| GetRandomFailed)
    }
}

impl TryRng for Random {
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

impl TryCryptoRng for Random {}
