//! Account and certificate on a block device of their own, in two places that are written in turn.

use alloc::vec::Vec;
use fata_acme::{State, Storage};
use fata_libos::block::Disk;
use fata_storage::slots::{Found, Slots, SlotsError};

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
        let Some(Found { mut value, remains }) = self.0.read_with_remains().await? else { return Ok(None) };
        // The keeper zeroes what it is given.
        if remains.is_empty() {
            return Ok(Some(core::mem::take(&mut *value)));
        }
        log::warn!(
            "the last state of the account and the certificate is damaged: what is left of it goes with the one before"
        );
        // Its reader takes of each part what is whole.
        Ok(Some([value.as_slice(), remains.as_slice()].concat()))
    }

    async fn save(&mut self, octets: &[u8]) -> Result<(), DiskError> {
        Ok(self.0.write(octets).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_acme::{Account, Certificate, Issued, Names, Url};
    use fata_libos::testing::run;
    use fata_libos::time::{Duration, SystemTime};
    use fata_storage::slots::HEAD;
    use fata_storage::testing::SimDisk;
    use fata_tls::issue::{PrivateKey, self_signed};

    /// The first sector of the second place, of 128 sectors.
    const SECOND: u64 = 64 * 512;

    fn days(days: u64) -> SystemTime {
        SystemTime::from_unix(SystemTime::now().since_unix() + Duration::from_secs(days * 86_400))
    }

    async fn read(disk: &SimDisk) -> (Option<PrivateKey>, Option<Issued>) {
        let octets = OnDisk::new(&disk.disk()).unwrap().load().await.unwrap().unwrap();
        let state = State::from_octets(&octets).0;
        (
            state.account.map(|(_, account)| account.key),
            state.certificate.map(|certificate| certificate.issued),
        )
    }

    /// As it is after a first start, and after the first renewal: an account, then a certificate, then another one. Whatever octet of the
    /// last is damaged, the account is there and so is a certificate, and where that part was not hit it is the last one.
    #[test]
    fn damage_costs_neither_the_account_nor_all_certificates() {
        run(async {
            let disk = SimDisk::new(512, 128);
            let authority = Url::new("https://a.test/dir").unwrap();
            let account = Account::generate().unwrap();
            let mut state = State { account: Some((authority.clone(), account.clone())), certificate: None };
            let mut places = OnDisk::new(&disk.disk()).unwrap();
            let mut place = 0;
            places.save(&state.to_octets().unwrap()).await.unwrap();
            for valid in [10, 20] {
                place = SECOND - place;
                let issued = self_signed(&["a.test"], SystemTime::now(), days(valid)).unwrap();
                let chain = issued.chain_pem.clone();
                let names = Names::parse(&["a.test"]).unwrap();
                state.certificate = Some(Certificate { authority: authority.clone(), names, issued });
                let octets = state.to_octets().unwrap();
                places.save(&octets).await.unwrap();
                let certificate = octets.windows(17).position(|w| w == b"part certificate ").unwrap();
                for at in (0..HEAD + octets.len()).step_by(37).chain([0, 8, 16, HEAD - 1, HEAD]) {
                    let damaged = disk.copy();
                    damaged.flip(place + at as u64, 4);
                    let (key, kept) = read(&damaged).await;
                    assert_eq!(key.map(|key| key.public()), Some(account.key.public()), "octet {at}");
                    let kept = kept.map(|kept| kept.chain_pem);
                    match at {
                        // What does not begin as one is somebody else's.
                        0..8 => {}
                        _ if at < HEAD + certificate => assert_eq!(kept.as_ref(), Some(&chain), "octet {at}"),
                        _ => assert_eq!(kept.is_some(), valid == 20, "octet {at}"),
                    }
                }
            }
        });
    }
}
