//! Doubles: read as C's `strtod` does, written as its `%.17g`.

use super::big::{Big, parse_decimal};
use super::push_int;
use alloc::vec::Vec;

/// Powers of ten that are doubles.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// Digits that are written.
const DIGITS: i32 = 17;

/// The infinity that a text names, with its sign.
pub(super) fn infinity(text: &[u8]) -> Option<f64> {
    let (name, infinity) = match text {
        [b'-', name @ ..] => (name, f64::NEG_INFINITY),
        [b'+', name @ ..] => (name, f64::INFINITY),
        name => (name, f64::INFINITY),
    };
    let is_name = name.eq_ignore_ascii_case(b"inf") || name.eq_ignore_ascii_case(b"infinity");
    is_name.then_some(infinity)
}

/// A double: decimal, or an infinity; `None` for anything else, hexadecimal ones too.
#[inline(never)]
pub fn parse_double(text: &[u8]) -> Option<f64> {
    if let Some(infinity) = infinity(text) {
        return Some(infinity);
    }
    let decimal = parse_decimal(text)?;
    let is_negative = decimal.is_negative;
    let magnitude = match decimal.small {
        // Both are doubles, and so is what comes of them, rounded once.
        Some(small) if small < 1 << 53 && decimal.exponent.unsigned_abs() < 23 => {
            let ten = TENS[decimal.exponent.unsigned_abs() as usize];
            if decimal.exponent < 0 { small as f64 / ten } else { small as f64 * ten }
        }
        _ => {
            let (mantissa, exponent) = decimal.round(53, -1074);
            scale(mantissa, exponent)
        }
    };
    Some(if is_negative { -magnitude } else { magnitude })
}

/// m · 2^e, of which it is known that it is a double or too large.
fn scale(mut mantissa: u64, mut exponent: i32) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    // Put as the format has it: 53 bits, or the least exponent.
    while mantissa >> 52 == 0 && exponent > -1074 {
        mantissa <<= 1;
        exponent -= 1;
    }
    if exponent > 971 {
        return f64::INFINITY;
    }
    let is_normal = mantissa >> 52 != 0;
    let biased = if is_normal { (exponent + 1075) as u64 } else { 0 };
    f64::from_bits(biased << 52 | mantissa & ((1 << 52) - 1))
}

/// Appends a double as `%.17g` has it; infinities as `inf` and `-inf`.
#[inline(never)]
pub fn push_double(to: &mut Vec<u8>, number: f64) {
    if number.is_nan() {
        return to.extend_from_slice(b"nan");
    }
    if number.is_sign_negative() {
        to.push(b'-');
    }
    let number = number.abs();
    if number.is_infinite() {
        return to.extend_from_slice(b"inf");
    }
    if number < 1e17 && number as i64 as f64 == number {
        return push_int(to, number as i64);
    }
    let (digits, exponent) = digits(number);
    let mut text = Vec::with_capacity(DIGITS as usize);
    push_int(&mut text, digits as i64);
    let used = text.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    text.truncate(used);
    lay_out(to, &text, exponent);
}

/// Digits, of which the first stands for 10^exponent.
fn lay_out(to: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    let (first, rest) = digits.split_at(1);
    match exponent {
        -4..0 => {
            to.extend_from_slice(b"0.");
            to.extend(core::iter::repeat_n(b'0', (-1 - exponent) as usize));
            to.extend_from_slice(digits);
        }
        0..DIGITS => {
            let whole = exponent as usize + 1;
            let (before, after) = digits.split_at(whole.min(digits.len()));
            to.extend_from_slice(before);
            to.extend(core::iter::repeat_n(b'0', whole - before.len()));
            if !after.is_empty() {
                to.push(b'.');
                to.extend_from_slice(after);
            }
        }
        _ => {
            to.extend_from_slice(first);
            if !rest.is_empty() {
                to.push(b'.');
                to.extend_from_slice(rest);
            }
            to.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
            if exponent.unsigned_abs() < 10 {
                to.push(b'0');
            }
            push_int(to, i64::from(exponent.unsigned_abs()));
        }
    }
}

/// The 17 digits of a number, and the power of ten of the first.
fn digits(number: f64) -> (u64, i32) {
    let bits = number.to_bits();
    let (biased, fraction) = ((bits >> 52) as i32, bits & ((1 << 52) - 1));
    let (mantissa, exponent) =
        if biased == 0 { (fraction, -1074) } else { (fraction | 1 << 52, biased - 1075) };
    // log10(2) is 0.30103; at most one too small for the number of bits that it has.
    let top = exponent + 63 - mantissa.leading_zeros() as i32;
    let mut ten = (i64::from(top) * 30_103).div_euclid(100_000) as i32;
    loop {
        let digits = scaled(mantissa, exponent, DIGITS - 1 - ten);
        if digits < 100_000_000_000_000_000 {
            return (digits, ten);
        }
        ten += 1;
    }
}

/// m · 2^e · 10^t, rounded; of two as near the even one.
fn scaled(mantissa: u64, exponent: i32, ten: i32) -> u64 {
    let (mut above, mut below) = (Big::new(mantissa), Big::new(1));
    if ten < 0 {
        below.times_ten(ten.unsigned_abs())
    } else {
        above.times_ten(ten.unsigned_abs())
    }
    if exponent < 0 {
        below.shift_left(exponent.unsigned_abs());
    } else {
        above.shift_left(exponent.unsigned_abs());
    }
    let (quotient, exponent, is_more) = above.divide(below, 70);
    // The quotient has about 57 bits before its point.
    let (rounded, exponent) = super::big::round(quotient, exponent, is_more, 64, 0);
    if exponent > 0 { u64::MAX } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn text(number: f64) -> String {
        let mut text = Vec::new();
        push_double(&mut text, number);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn doubles_are_written_with_17_digits() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (0.1, "0.10000000000000001"),
            (-1.5, "-1.5"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (1e-4, "0.0001"),
            (1e-5, "1.0000000000000001e-05"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (999_999.999_999_999_9, "999999.99999999988"),
        ] {
            assert_eq!(text(number), expected);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut random = 1_u64;
        for _ in 0..3000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = f64::from_bits(random.rotate_left(17));
            if number.is_nan() {
                continue;
            }
            let said = text(number);
            assert_eq!(parse_double(said.as_bytes()).map(f64::to_bits), Some(number.to_bits()), "{said}");
            if number.is_finite() {
                assert_eq!(said.parse(), Ok(number));
                let scientific = std::format!("{number:.16e}");
                let short = std::format!("{number:e}");
                assert_eq!(parse_double(scientific.as_bytes()), Some(number));
                assert_eq!(parse_double(short.as_bytes()), Some(number));
            }
        }
    }

    #[test]
    fn what_is_no_double_is_not_read() {
        for bad in ["", "-", ".", "1e", "1e+", "e1", "nan", " 1", "1 ", "1x", "1..2", "0x10", "infx"] {
            assert_eq!(parse_double(bad.as_bytes()), None, "{bad}");
        }
        for (text, number) in [
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1E3", 1000.0),
            ("1e400", f64::INFINITY),
            ("1e-400", 0.0),
            ("-inf", f64::NEG_INFINITY),
        ] {
            assert_eq!(parse_double(text.as_bytes()), Some(number), "{text}");
        }
    }
}
