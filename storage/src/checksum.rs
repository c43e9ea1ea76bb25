//! CRC-32C (Castagnoli), the checksum of everything in formats of ours.

use alloc::boxed::Box;
use crc::{CRC_32_ISCSI, Crc, Table};
use spin::Once;

/// Made when the first is needed: these are 16 KiB, which an image is not to hold.
static TABLES: Once<Box<Crc<u32, Table<16>>>> = Once::new();

fn tables() -> &'static Crc<u32, Table<16>> {
    TABLES.call_once(|| Box::new(Crc::<u32, Table<16>>::new(&CRC_32_ISCSI)))
}

pub(crate) fn crc32c(octets: &[u8]) -> u32 {
    tables().checksum(octets)
}

/// The checksum of octets under a number: the same octets have another one elsewhere.
pub(crate) fn crc32c_at(number: u64, octets: &[u8]) -> u32 {
    let mut digest = tables().digest();
    digest.update(&number.to_le_bytes());
    digest.update(octets);
    digest.finalize()
}

/// Appends the checksum of what is there.
pub(crate) fn seal(block: &mut alloc::vec::Vec<u8>) {
    let crc = crc32c(block);
    block.extend_from_slice(&crc.to_le_bytes());
}

/// The octets before the checksum at the end of `block`, if it is right.
pub(crate) fn unseal(block: &[u8]) -> Option<&[u8]> {
    let (body, crc) = block.split_last_chunk::<4>()?;
    (crc32c(body) == u32::from_le_bytes(*crc)).then_some(body)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_value_of_the_catalogue() {
        assert_eq!(super::crc32c(b"123456789"), 0xe306_9283);
    }
}
