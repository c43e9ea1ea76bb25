//! The extended precision of the x87, 64 bits of mantissa: what `INCRBYFLOAT` adds in.

use super::big::{Big, parse_decimal, round};
use super::double::infinity;
use alloc::vec::Vec;

/// Bits of the mantissa.
const BITS: u32 = 64;
/// The exponents of the least and the largest numbers, as m · 2^e.
const LEAST: i32 = -16_445;
const MOST: i32 = 16_320;
/// Digits behind the point that are written.
const DECIMALS: usize = 17;

/// A number: m · 2^e.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    is_negative: bool,
    mantissa: u64,
    exponent: i32,
}

impl Extended {
    /// Reads a decimal number. `None` for what is none, too large, or infinite.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let decimal = parse_decimal(text)?;
        let is_negative = decimal.is_negative;
        let (mantissa, exponent) = decimal.round(BITS, LEAST);
        Self { is_negative, mantissa, exponent }.in_range()
    }

    /// Whether a text names an infinity, which can be read but not added.
    pub fn is_infinity(text: &[u8]) -> bool {
        infinity(text).is_some()
    }

    fn in_range(self) -> Option<Self> {
        let bits = BITS - self.mantissa.leading_zeros();
        (self.exponent + bits as i32 - BITS as i32 <= MOST).then_some(self)
    }

    /// The sum, rounded. `None` where it is too large.
    pub fn plus(self, other: Self) -> Option<Self> {
        let (large, small) = if self.top() >= other.top() { (self, other) } else { (other, self) };
        if small.mantissa == 0 {
            return Some(large);
        }
        // The larger one's highest bit at 126, so that a sum has room.
        let up = 126 - (63 - large.mantissa.leading_zeros());
        let exponent = large.exponent - up as i32;
        let a = u128::from(large.mantissa) << up;
        let (b, is_more) = aligned(small, exponent);
        let (sum, is_negative) = if large.is_negative == small.is_negative {
            (a + b, large.is_negative)
        } else if a >= b {
            // What was cut off is taken away too: one unit less, and something more.
            (a - b - u128::from(is_more), large.is_negative)
        } else {
            (b - a, small.is_negative)
        };
        let (mantissa, exponent) = round(sum, exponent, is_more, BITS, LEAST);
        Self { is_negative: is_negative && mantissa > 0, mantissa, exponent }.in_range()
    }

    fn top(self) -> i32 {
        match self.mantissa {
            0 => i32::MIN,
            mantissa => self.exponent + 64 - mantissa.leading_zeros() as i32,
        }
    }

    /// Appends it as `%.17Lf` has it, without zeroes at the end.
    pub fn push(self, to: &mut Vec<u8>) {
        let digits = self.scaled().into_decimal();
        if digits.is_empty() {
            return to.push(b'0');
        }
        if self.is_negative {
            to.push(b'-');
        }
        let whole = digits.len().saturating_sub(DECIMALS);
        let (before, after) = digits.split_at(whole);
        to.extend_from_slice(if before.is_empty() { b"0" } else { before });
        let Some(last) = after.iter().rposition(|digit| *digit != b'0') else { return };
        to.push(b'.');
        to.extend(core::iter::repeat_n(b'0', DECIMALS - after.len()));
        to.extend_from_slice(&after[..=last]);
    }

    /// Times 10^17, rounded to a whole number.
    fn scaled(self) -> Big {
        if self.exponent >= 0 {
            let mut big = Big::new(self.mantissa);
            big.shift_left(self.exponent.unsigned_abs());
            big.times_ten(DECIMALS as u32);
            return big;
        }
        // At most 121 bits.
        let scaled = u128::from(self.mantissa) * 10_u128.pow(DECIMALS as u32);
        let shift = self.exponent.unsigned_abs();
        let (quotient, half_up) = match shift {
            128.. => (0, false),
            _ => {
                let (quotient, rest) = (scaled >> shift, scaled & ((1 << shift) - 1));
                let half = 1 << (shift - 1);
                (quotient, rest > half || rest == half && quotient & 1 == 1)
            }
        };
        let rounded = quotient + u128::from(half_up);
        let mut big = Big::new((rounded >> 64) as u64);
        big.shift_left(64);
        big.add(rounded as u64);
        big
    }
}

/// A number as a multiple of 2^exponent, and whether something of it was cut off.
fn aligned(number: Extended, exponent: i32) -> (u128, bool) {
    let mantissa = u128::from(number.mantissa);
    match number.exponent - exponent {
        up @ 0.. => (mantissa << up.min(127), false),
        down => {
            let down = down.unsigned_abs();
            if down >= 128 { (0, true) } else { (mantissa >> down, mantissa & ((1 << down) - 1) != 0) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn sum(a: &str, b: &str) -> String {
        let (a, b) = (Extended::parse(a.as_bytes()).unwrap(), Extended::parse(b.as_bytes()).unwrap());
        let mut text = Vec::new();
        a.plus(b).unwrap().push(&mut text);
        String::from_utf8(text).unwrap()
    }

    /// The sums are those of redis-server 7.0.15.
    #[test]
    fn sums_are_those_of_long_doubles() {
        for (a, b, expected) in [
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("10.6", "-5", "5.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("3", "-3", "0"),
            ("-1.5", "1", "-0.5"),
            ("1", "-1.00000000000000001", "-0.00000000000000001"),
        ] {
            assert_eq!(sum(a, b), expected, "{a} + {b}");
        }
        assert!(Extended::parse(b"1e5000").is_none() && Extended::parse(b"inf").is_none());
    }
}
