//! Account and certificate on a block device of their own, in two places that are written in turn.

use alloc::vec::Vec;
use fata_acme::{State, Storage};
use fata_libos::block::Disk;
use fata_storage::slots::{Slots, SlotsError};

/// Octets of the smallest disk: room for two states of 32 KiB, of which an account and a chain of five certificates have a third.
const LEAST: u64 = 64 << 10;

/// Where a [`State`] is kept. The disk has private keys then.
#[derive(Debug)]
pub struct OnDisk(Slots);

/// Why it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// The disk.
    #[error("{0}")]
    Slots(#[from] SlotsError),
    /// It is too small.
    #[error("it has {octets} octets, of {LEAST} at least")]
    TooSmall {
        /// What it has.
        octets: u64,
    },
}

impl OnDisk {
    /// On this disk, which is for this alone: zeros at first, 64 KiB at least.
    pub fn new(disk: &Disk) -> Result<Self, DiskError> {
        let octets = disk.geometry().octets();
        if octets < LEAST {
            return Err(DiskError::TooSmall { octets });
        }
        Ok(Self(Slots::new(disk, State::MAX_LEN)?))
    }
}

impl Storage for OnDisk {
    type Error = DiskError;

    async fn load(&mut self) -> Result<Option<Vec<u8>>, DiskError> {
        Ok(self.0.read().await?)
    }

    async fn save(&mut self, octets: &[u8]) -> Result<(), DiskError> {
        Ok(self.0.write(octets).await?)
    }
}
