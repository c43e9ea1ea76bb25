//! Octets of the peer's as text. `core` and `alloc` have the like, but with tables and cases that make an image kilobytes larger.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// Text where octets should be some. Where they are not, `?` stands for each that is not ASCII.
pub(crate) fn lossy(mut bytes: Vec<u8>) -> String {
    if core::str::from_utf8(&bytes).is_err() {
        bytes.iter_mut().filter(|b| !b.is_ascii()).for_each(|b| *b = b'?');
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// A decimal number, and nothing else. One for all that XenStore says: what runs once costs an emulator its translation, and
/// `parse` is another function for each type.
#[inline(never)]
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    let mut number = None::<u64>;
    for digit in digits {
        let value = digit.wrapping_sub(b'0');
        if value > 9 {
            return None;
        }
        number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(value.into())?);
    }
    number
}

/// Text for a report, with `?` for what would end its line or move the cursor.
pub(crate) struct OneLine<'a>(pub(crate) &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(if c.is_control() { '?' } else { c }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_that_fit() {
        for (text, value) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("65535", Some(65_535)),
            ("18446744073709551615", Some(u64::MAX)),
        ] {
            assert_eq!(number(text.as_bytes()), value, "{text}");
        }
        for bad in ["", " 1", "+1", "-1", "1x", "/", ":", "18446744073709551616", "99999999999999999999"] {
            assert_eq!(number(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn text_stays_and_what_is_none_is_marked() {
        assert_eq!(lossy("gr\u{fc}n".into()), "gr\u{fc}n");
        assert_eq!(lossy(b"m\xffre".to_vec()), "m?re");
        assert_eq!(format!("{}", OneLine("a\nb\x1b[1m")), "a?b?[1m");
    }
}
