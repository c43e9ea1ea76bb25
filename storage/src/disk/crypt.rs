//! A disk whose sectors are encrypted with AES-XTS (IEEE 1619).
//!
//! Each sector is a data unit, and its number on this disk the tweak. That is what `cryptsetup open --type plain --cipher aes-xts-plain64`
//! does with sectors of 512 octets. It keeps content from who has the disk; it does not notice a sector that was changed,
//! or put back as it was earlier.

use super::checked;
use aes::cipher::KeyInit;
use aes::{Aes128, Aes256};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::fmt;
use fata_libos::block::{BlockDevice, BlockError, Buffer, Disk, Geometry, InFlight, Outcome, Request};
use xts_mode::{Xts128, get_tweak_default};

enum Cipher {
    Aes128(Box<Xts128<Aes128>>),
    Aes256(Box<Xts128<Aes256>>),
}

/// Why a key was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is not one of AES-128-XTS (32 octets) or AES-256-XTS (64).
    #[error("a key of {octets} octets: 32 or 64 are needed")]
    Length {
        /// Its length.
        octets: usize,
    },
    /// Its halves are equal, which makes XTS weak.
    #[error("the halves of the key are equal")]
    EqualHalves,
}

impl Cipher {
    fn new(key: &[u8]) -> Result<Self, KeyError> {
        let length = |_| KeyError::Length { octets: key.len() };
        let (data, tweak) = key.split_at(key.len() / 2);
        let cipher = match key.len() {
            32 => Self::Aes128(Box::new(Xts128::new(
                Aes128::new_from_slice(data).map_err(length)?,
                Aes128::new_from_slice(tweak).map_err(length)?,
            ))),
            64 => Self::Aes256(Box::new(Xts128::new(
                Aes256::new_from_slice(data).map_err(length)?,
                Aes256::new_from_slice(tweak).map_err(length)?,
            ))),
            octets => return Err(KeyError::Length { octets }),
        };
        if data == tweak { Err(KeyError::EqualHalves) } else { Ok(cipher) }
    }

    fn encrypt(&self, octets: &mut [u8], size: usize, first: u64) {
        for (number, sector) in (u128::from(first)..).zip(octets.chunks_exact_mut(size)) {
            match self {
                Self::Aes128(xts) => xts.encrypt_sector(sector, get_tweak_default(number)),
                Self::Aes256(xts) => xts.encrypt_sector(sector, get_tweak_default(number)),
            }
        }
    }

    fn decrypt(&self, octets: &mut [u8], size: usize, first: u64) {
        for (number, sector) in (u128::from(first)..).zip(octets.chunks_exact_mut(size)) {
            match self {
                Self::Aes128(xts) => xts.decrypt_sector(sector, get_tweak_default(number)),
                Self::Aes256(xts) => xts.decrypt_sector(sector, get_tweak_default(number)),
            }
        }
    }
}

/// An encrypted disk.
#[derive(Clone)]
pub struct Crypt {
    disk: Disk,
    cipher: Rc<Cipher>,
}

impl Crypt {
    /// What `disk` holds under a key of 32 octets (AES-128) or 64 (AES-256). Any key is taken for any disk: a wrong one gives
    /// octets without meaning.
    pub fn new(disk: &Disk, key: &[u8]) -> Result<Self, KeyError> {
        Ok(Self { disk: disk.clone(), cipher: Rc::new(Cipher::new(key)?) })
    }

    /// The content as a disk.
    pub fn disk(self) -> Disk {
        Disk::new(self)
    }

    async fn read(self, sector: u64, buffer: Buffer) -> Outcome {
        let size = self.disk.sector_size();
        let mut outcome = self.disk.submit(Request::Read { sector, buffer }).await;
        if let (Ok(()), Some(buffer)) = (outcome.result, &mut outcome.buffer) {
            self.cipher.decrypt(buffer, size, sector);
        }
        outcome
    }

    /// Writes a copy, as the caller gets his buffer back as he gave it.
    async fn write(self, sector: u64, buffer: Buffer) -> Outcome {
        let octets = buffer.len();
        let Some(mut copy) = Buffer::try_zeroed(octets) else {
            return Outcome { result: Err(BlockError::NoMemory { sector, octets }), buffer: Some(buffer) };
        };
        copy.copy_from_slice(&buffer);
        self.cipher.encrypt(&mut copy, self.disk.sector_size(), sector);
        let Outcome { result, .. } = self.disk.submit(Request::Write { sector, buffer: copy }).await;
        Outcome { result, buffer: Some(buffer) }
    }
}

impl BlockDevice for Crypt {
    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn submit(&self, request: Request) -> InFlight {
        checked(self.geometry(), request, |request| match request {
            Request::Read { sector, buffer } => Box::pin(self.clone().read(sector, buffer)),
            Request::Write { sector, buffer } => Box::pin(self.clone().write(sector, buffer)),
            other => self.disk.submit(other),
        })
    }
}

impl fmt::Debug for Crypt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, encrypted", self.disk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|two| u8::from_str_radix(core::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    }

    /// IEEE 1619-2007, annex B: vectors 2 and 4 (its first 32 octets).
    #[test]
    fn the_vectors_of_the_standard() {
        let key = [[0x11; 16], [0x22; 16]].concat();
        let mut unit = vec![0x44; 32];
        let cipher = Cipher::new(&key).unwrap();
        cipher.encrypt(&mut unit, 32, 0x33_3333_3333);
        assert_eq!(unit, octets("c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0"));
        cipher.decrypt(&mut unit, 32, 0x33_3333_3333);
        assert_eq!(unit, [0x44; 32]);

        let key = octets("2718281828459045235360287471352631415926535897932384626433832795");
        let mut unit: Vec<u8> = (0..512).map(|n| n as u8).collect();
        Cipher::new(&key).unwrap().encrypt(&mut unit, 512, 0);
        assert_eq!(unit[..32], octets("27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c"));
    }

    /// IEEE 1619-2007, annex B: vectors 10 and 11 (their first and last 32 octets), with keys of 256 bits.
    #[test]
    fn the_vectors_of_the_standard_with_long_keys() {
        let key = octets(concat!(
            "2718281828459045235360287471352662497757247093699959574966967627",
            "3141592653589793238462643383279502884197169399375105820974944592"
        ));
        let vectors = [
            (
                0xff,
                "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b",
                "773dad38014bd2092fa755c824bb5e54c4f36ffda9fcea70b9c6e693e148c151",
            ),
            (
                0xffff,
                "77a31251618a15e6b92d1d66dffe7b50b50bad552305ba0217a610688eff7e11",
                "54fbff89eeaeea791f4a7ab1f9868294a4f9e27b42af8100cb9d59cef9645803",
            ),
        ];
        let cipher = Cipher::new(&key).unwrap();
        let plain: Vec<u8> = (0..512).map(|n| n as u8).collect();
        for (number, first, last) in vectors {
            let mut unit = plain.clone();
            cipher.encrypt(&mut unit, 512, number);
            assert_eq!(unit[..32], octets(first), "data unit {number:#x}");
            assert_eq!(unit[480..], octets(last), "data unit {number:#x}");
            cipher.decrypt(&mut unit, 512, number);
            assert_eq!(unit, plain);
        }
    }

    #[test]
    fn keys_that_are_none() {
        for len in [0, 16, 31, 33, 48, 128] {
            let key: Vec<u8> = (0..len as u8).collect();
            assert_eq!(Cipher::new(&key).err(), Some(KeyError::Length { octets: len }));
        }
        assert_eq!(Cipher::new(&[5; 64]).err(), Some(KeyError::EqualHalves));
    }
}
