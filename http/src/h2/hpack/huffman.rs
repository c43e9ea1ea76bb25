//! The Huffman code of strings (RFC 7541 section 5.2 and appendix B).
//!
//! The code is canonical: codes of one length are consecutive numbers in the order of their symbols, and each length goes on
//! where the one before has ended. So how many codes each length has, and the symbols in order, are all of it.

use super::Unreadable::{self, Malformed};
use alloc::vec::Vec;

/// The longest code, bits.
const LONGEST: usize = 30;

/// How many codes there are of each length. The end of the string (30 ones) is not counted: it may not occur.
static COUNTS: [u8; LONGEST + 1] =
    [0, 0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19, 29, 0, 3];

/// Symbols in the order of their codes.
static SYMBOLS: [u8; 256] = [
    48, 49, 50, 97, 99, 101, 105, 111, 115, 116, 32, 37, 45, 46, 47, 51, 52, 53, 54, 55, 56, 57, 61, 65, 95,
    98, 100, 102, 103, 104, 108, 109, 110, 112, 114, 117, 58, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77,
    78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 89, 106, 107, 113, 118, 119, 120, 121, 122, 38, 42, 44, 59, 88,
    90, 33, 34, 40, 41, 63, 39, 43, 124, 35, 62, 0, 36, 64, 91, 93, 126, 94, 125, 60, 96, 123, 92, 195, 208,
    128, 130, 131, 162, 184, 194, 224, 226, 153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230,
    129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190,
    196, 198, 228, 232, 233, 1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158,
    165, 166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239, 9, 142, 144, 145, 148, 159, 171, 206,
    215, 225, 236, 237, 199, 207, 234, 235, 192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242,
    243, 255, 203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254,
    2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127,
    220, 249, 10, 13, 22,
];

/// Octets of the shortest code are 5 bits each.
const MOST_FOR_FIVE: usize = 8;

/// Decodes `octets` behind `out`.
pub(crate) fn decode(octets: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
    out.try_reserve(octets.len() * MOST_FOR_FIVE / 5).map_err(|_| Unreadable::NoMemory)?;
    let mut bits = Bits { rest: octets, held: 0, len: 0 };
    loop {
        bits.fill();
        if bits.len < 8 && bits.is_all_ones() {
            return Ok(());
        }
        out.push(bits.symbol().ok_or(Malformed)?);
    }
}

/// Bits that were read, the first of them the highest.
struct Bits<'a> {
    rest: &'a [u8],
    held: u64,
    len: usize,
}

impl Bits<'_> {
    /// Holds as many as any code has, while there are so many.
    fn fill(&mut self) {
        while self.len <= 56
            && let Some((&octet, rest)) = self.rest.split_first()
        {
            self.held |= u64::from(octet) << (56 - self.len);
            (self.rest, self.len) = (rest, self.len + 8);
        }
    }

    /// True if there are none, too.
    fn is_all_ones(&self) -> bool {
        self.held.leading_ones() as usize >= self.len
    }

    /// Takes one symbol.
    fn symbol(&mut self) -> Option<u8> {
        let (mut first, mut before) = (0_u64, 0_usize);
        for (len, &count) in COUNTS.iter().enumerate().skip(5) {
            let at = (self.held >> (64 - len)).wrapping_sub(first);
            if at < u64::from(count) && len <= self.len {
                self.held <<= len;
                self.len -= len;
                return SYMBOLS.get(before + at as usize).copied();
            }
            before += usize::from(count);
            first = (first + u64::from(count)) << 1;
        }
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The code of a symbol and its length.
    fn code(symbol: u8) -> (u64, usize) {
        let at = SYMBOLS.iter().position(|&s| s == symbol).unwrap();
        let (mut first, mut before) = (0, 0);
        for (len, &count) in COUNTS.iter().enumerate() {
            let count = usize::from(count);
            if at < before + count {
                return (first + (at - before) as u64, len);
            }
            before += count;
            first = (first + count as u64) << 1;
        }
        unreachable!("all symbols have codes")
    }

    pub(crate) fn encode(octets: &[u8]) -> Vec<u8> {
        let (mut out, mut held, mut len) = (Vec::new(), 0_u64, 0);
        for &octet in octets {
            let (bits, n) = code(octet);
            (held, len) = (held << n | bits, len + n);
            while len >= 8 {
                len -= 8;
                out.push((held >> len) as u8);
            }
        }
        if len > 0 {
            out.push((held << (8 - len)) as u8 | 0xff >> len);
        }
        out
    }

    fn decoded(octets: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mut out = Vec::new();
        decode(octets, &mut out).map(|()| out)
    }

    #[test]
    fn codes_of_the_rfc() {
        for (symbol, bits, len) in [
            (b'0', 0, 5),
            (b't', 0x9, 5),
            (b' ', 0x14, 6),
            (b':', 0x5c, 7),
            (b'&', 0xf8, 8),
            (b'?', 0x3fc, 10),
            (b'|', 0x7fc, 11),
            (b'>', 0xffb, 12),
            (0, 0x1ff8, 13),
            (b'\\', 0x7fff0, 19),
            (255, 0x3ffffee, 26),
            (249, 0xffffffe, 28),
            (10, 0x3ffffffc, 30),
            (22, 0x3ffffffe, 30),
        ] {
            assert_eq!(code(symbol), (bits, len), "{symbol}");
        }
    }

    #[test]
    fn padding_is_ones_and_less_than_an_octet() {
        assert_eq!(decoded(&[]), Ok(vec![]));
        assert_eq!(decoded(&[0x07]), Ok(b"0".to_vec()));
        for wrong in [
            &[0x00][..],
            &[0x06],
            &[0x07, 0xff],
            &[0xff],
            &[0xff; 4],
            &[0xff; 5],
            &[0x07, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(decoded(wrong), Err(Malformed), "{wrong:x?}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(octets: Vec<u8>) {
            prop_assert_eq!(decoded(&encode(&octets)), Ok(octets));
        }

        #[test]
        fn whatever_decodes_is_what_its_text_encodes_to(octets in prop::collection::vec(any::<u8>(), 0..6)) {
            if let Ok(text) = decoded(&octets) {
                prop_assert_eq!(encode(&text), octets);
            }
        }
    }
}
