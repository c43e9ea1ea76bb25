//! Numbers as Redis reads and writes them.

mod big;
mod double;
mod extended;

pub use double::{parse_double, push_double};
pub use extended::Extended;

use alloc::vec::Vec;

/// A whole number in its one form: no sign but `-`, no zeroes in front, no space.
#[inline(never)]
pub fn parse_int(text: &[u8]) -> Option<i64> {
    let (digits, is_negative) = match text {
        [b'0'] => return Some(0),
        [b'-', digits @ ..] => (digits, true),
        digits => (digits, false),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) || digits.len() > 19 {
        return None;
    }
    let mut number = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // 19 digits fit.
        number = number * 10 + u64::from(digit - b'0');
    }
    if is_negative {
        (number <= i64::MIN.unsigned_abs()).then(|| (number as i64).wrapping_neg())
    } else {
        i64::try_from(number).ok()
    }
}

/// Appends a whole number.
#[inline(never)]
pub fn push_int(to: &mut Vec<u8>, number: i64) {
    if number < 0 {
        to.push(b'-');
    }
    push_natural(to, number.unsigned_abs());
}

/// Appends a number without a sign.
pub fn push_natural(to: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    to.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn whole_numbers_have_one_form() {
        for number in [0, 1, -1, 9, 10, 99, 100, -1234, i64::MAX, i64::MIN, i64::MIN + 1] {
            let mut text = Vec::new();
            push_int(&mut text, number);
            assert_eq!(text, number.to_string().as_bytes());
            assert_eq!(parse_int(&text), Some(number));
        }
        for bad in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            " 1",
            "1 ",
            "9223372036854775808",
            "-9223372036854775809",
            "1a",
            "99999999999999999999",
        ] {
            assert_eq!(parse_int(bad.as_bytes()), None, "{bad}");
        }
    }
}
