//! Integers with a prefix (RFC 7541 section 5.1).

use super::Unreadable::{self, Malformed};
use alloc::vec::Vec;

/// More is no length or index that we could use: a header block is at most 64 KiB.
const MAX: u32 = 1 << 24;

/// Takes an integer off `input`, whose first octet has it in its low `bits`.
pub(crate) fn take(input: &mut &[u8], bits: u8) -> Result<usize, Unreadable> {
    let mask = prefix_mask(bits);
    let mut value = u32::from(take_octet(input)? & mask);
    if value < u32::from(mask) {
        return Ok(value as usize);
    }
    let mut shift = 0;
    loop {
        let octet = take_octet(input)?;
        // Four octets more than the prefix hold all that is allowed; padding with zeros has no use.
        if shift > 21 {
            return Err(Malformed);
        }
        value += u32::from(octet & 0x7f) << shift;
        if value > MAX {
            return Err(Malformed);
        }
        if octet < 0x80 {
            return Ok(value as usize);
        }
        shift += 7;
    }
}

/// Puts an integer behind `out`, `first` being what the first octet has above its low `bits`.
pub(crate) fn put(out: &mut Vec<u8>, first: u8, bits: u8, value: usize) {
    let mask = prefix_mask(bits);
    if value < usize::from(mask) {
        return out.push(first | value as u8);
    }
    out.push(first | mask);
    let mut rest = value - usize::from(mask);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn prefix_mask(bits: u8) -> u8 {
    (0xff_u16 >> (8 - u32::from(bits.clamp(1, 8)))) as u8
}

pub(crate) fn take_octet(input: &mut &[u8]) -> Result<u8, Unreadable> {
    let (&first, rest) = input.split_first().ok_or(Malformed)?;
    *input = rest;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn examples_of_the_rfc() {
        // RFC 7541 appendix C.1.
        for (octets, bits, value) in [
            (&[0b0000_1010][..], 5, 10),
            (&[0b0001_1111, 0b1001_1010, 0b0000_1010], 5, 1337),
            (&[0b0010_1010], 8, 42),
        ] {
            let mut input = octets;
            assert_eq!((take(&mut input, bits), input.len()), (Ok(value), 0));
            let mut out = Vec::new();
            put(&mut out, 0, bits, value);
            assert_eq!(out, octets);
        }
    }

    #[test]
    fn what_is_too_large_or_not_whole() {
        for octets in [
            &[][..],
            &[0x7f],
            &[0x7f, 0x80],
            &[0x7f, 0xff, 0xff, 0xff, 0x7f],
            &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x00],
            &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ] {
            assert_eq!(take(&mut &octets[..], 7), Err(Malformed), "{octets:x?}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(value in 0..MAX as usize, bits in 4_u8..=8) {
            let mut out = Vec::new();
            put(&mut out, 0, bits, value);
            prop_assert_eq!(take(&mut &out[..], bits), Ok(value));
        }
    }
}
