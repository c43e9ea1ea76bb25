//! Account and certificate on a block device of their own, in two places that are written in turn.

use alloc::vec::Vec;
use fata_acme::{State, Storage};
use fata_libos::block::Disk;
use fata_storage::slots::{Found, HEAD, Slots, SlotsError};

/// Octets of the smallest disk: two of the longest states there can be have room on it, so that whatever an authority gives out is kept.
const LEAST: u64 = 256 << 10;
const _: () = assert!(LEAST / 2 >= (State::MAX_LEN + HEAD) as u64);

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
    /// On this disk, which is for this alone: zeros at first, 256 KiB at least.
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
    use alloc::format;
    use alloc::string::ToString;
    use fata_acme::{Account, Certificate, Issued, Names, Url};
    use fata_libos::testing::run;
    use fata_libos::time::{Duration, SystemTime};
    use fata_storage::testing::SimDisk;
    use fata_tls::issue::{PrivateKey, self_signed};

    /// Where the second place begins, on a disk of so many sectors.
    const SECTORS: u64 = 512;
    const SECOND: u64 = SECTORS / 2 * 512;

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
            let disk = SimDisk::new(512, SECTORS);
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

    /// A chain as long as an authority's answer may be, for as many names as there may be, each as long as it may be.
    #[test]
    fn the_longest_state_has_room_on_the_smallest_disk() {
        run(async {
            let url =
                |what: char| Url::new(&format!("https://a.test/{}", what.to_string().repeat(2033))).unwrap();
            let names: Vec<_> =
                (0..100).map(|n| format!("{n:02}{}", format!(".{}", "a".repeat(61)).repeat(4))).collect();
            let names = Names::parse(&names).unwrap();
            let mut issued = self_signed(&["a.test"], SystemTime::now(), days(90)).unwrap();
            // As it came its lines were as long as they could be.
            issued.chain_pem =
                issued.chain_pem.repeat(fata_acme::MAX_BODY / 64 * 65 / issued.chain_pem.len());
            let mut account = Account::generate().unwrap();
            account.url = Some(url('c'));
            let certificate = Certificate { authority: url('b'), names, issued: issued.clone() };
            let state = State { account: Some((url('a'), account.clone())), certificate: Some(certificate) };
            let disk = SimDisk::new(512, LEAST / 512);
            let mut places = OnDisk::new(&disk.disk()).unwrap();
            for _ in 0..2 {
                places.save(&state.to_octets().unwrap()).await.unwrap();
                let (key, kept) = read(&disk).await;
                assert_eq!(key.map(|key| key.public()), Some(account.key.public()));
                assert_eq!(kept.map(|kept| kept.chain_pem), Some(issued.chain_pem.clone()));
            }
            let smaller = SimDisk::new(512, LEAST / 512 - 1);
            let refused = OnDisk::new(&smaller.disk()).unwrap_err();
            assert_eq!(refused, DiskError::TooSmall { octets: LEAST - 512 });
        });
    }
}
