//! Natural numbers of any size, as far as reading and writing fractions needs them.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// A natural number: its digits of 32 bits, the lowest first, no zero at the end.
pub struct Big(Vec<u32>);

impl Big {
    pub fn new(number: u64) -> Self {
        let mut big = Self(vec![number as u32, (number >> 32) as u32]);
        big.trim();
        big
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    pub fn bits(&self) -> u32 {
        self.0.last().map_or(0, |last| self.0.len() as u32 * 32 - last.leading_zeros())
    }

    /// Times `factor`, plus `addend`.
    pub fn multiply(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for digit in &mut self.0 {
            carry += u64::from(*digit) * u64::from(factor);
            *digit = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// Plus a number.
    pub fn add(&mut self, addend: u64) {
        let mut carry = u128::from(addend);
        for digit in &mut self.0 {
            carry += u128::from(*digit);
            *digit = carry as u32;
            carry >>= 32;
        }
        while carry > 0 {
            self.0.push(carry as u32);
            carry >>= 32;
        }
    }

    /// Times ten, so many times.
    pub fn times_ten(&mut self, mut times: u32) {
        while times >= 9 {
            self.multiply(1_000_000_000, 0);
            times -= 9;
        }
        self.multiply(10_u32.pow(times), 0);
    }

    pub fn shift_left(&mut self, bits: u32) {
        let (words, bits) = ((bits / 32) as usize, bits % 32);
        self.multiply(1 << bits, 0);
        if !self.0.is_empty() {
            self.0.splice(0..0, core::iter::repeat_n(0, words));
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// Less `other`, which is not larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = 0_i64;
        for (at, digit) in self.0.iter_mut().enumerate() {
            let less = i64::from(*digit) - i64::from(other.0.get(at).copied().unwrap_or(0)) + borrow;
            *digit = less as u32;
            borrow = less >> 32;
        }
        self.trim();
    }

    /// The quotient's first `bits` bits (at most 127) as q · 2^e, and whether something is left.
    pub fn divide(mut self, mut by: Self, bits: u32) -> (u128, i32, bool) {
        if self.0.is_empty() {
            return (0, 0, false);
        }
        let ahead = self.bits() as i32 - by.bits() as i32;
        if ahead > 0 {
            by.shift_left(ahead as u32)
        } else {
            self.shift_left(ahead.unsigned_abs())
        }
        let mut quotient = 0;
        for step in 0..bits {
            if step > 0 {
                self.multiply(2, 0);
            }
            quotient <<= 1;
            if self.compare(&by) != Ordering::Less {
                self.subtract(&by);
                quotient |= 1;
            }
        }
        (quotient, ahead + 1 - bits as i32, !self.0.is_empty())
    }

    /// The decimal digits.
    pub fn into_decimal(mut self) -> Vec<u8> {
        let mut digits = Vec::new();
        while !self.0.is_empty() {
            let mut rest = 0_u64;
            for digit in self.0.iter_mut().rev() {
                rest = rest << 32 | u64::from(*digit);
                *digit = (rest / 10) as u32;
                rest %= 10;
            }
            self.trim();
            digits.push(b'0' + rest as u8);
        }
        digits.reverse();
        digits
    }
}

/// A decimal fraction: digits · 10^exponent.
pub struct Decimal {
    pub is_negative: bool,
    pub digits: Big,
    /// The digits where there are few.
    pub small: Option<u64>,
    pub exponent: i32,
}

/// Digits that count; those behind them say only that there are more.
const MAX_DIGITS: usize = 1200;
/// Exponents beyond are as good as this one.
const MAX_EXPONENT: i32 = 6000;

/// Reads `[+-]digits[.digits][e[+-]digits]`, all of it.
pub fn parse_decimal(text: &[u8]) -> Option<Decimal> {
    let (text, is_negative) = match text {
        [b'-', rest @ ..] => (rest, true),
        [b'+', rest @ ..] => (rest, false),
        _ => (text, false),
    };
    let (mut digits, mut small, mut exponent, mut count) = (Big::new(0), Some(0_u64), 0_i32, 0);
    let (mut seen_point, mut seen_digit, mut at) = (false, false, 0);
    while let Some(&octet) = text.get(at) {
        match octet {
            b'.' if !seen_point => seen_point = true,
            b'0'..=b'9' => {
                seen_digit = true;
                let digit = u32::from(octet - b'0');
                if count < MAX_DIGITS {
                    count += usize::from(count > 0 || digit > 0);
                    digits.multiply(10, digit);
                    small = small.and_then(|n| n.checked_mul(10)?.checked_add(u64::from(digit)));
                    exponent -= i32::from(seen_point);
                } else {
                    // Something behind, which only matters where all before would be halfway.
                    if let Some(lowest) = digits.0.first_mut() {
                        *lowest |= u32::from(digit > 0);
                    }
                    exponent = exponent.saturating_add(i32::from(!seen_point));
                }
            }
            _ => break,
        }
        at += 1;
    }
    if !seen_digit {
        return None;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        exponent = exponent.saturating_add(parse_exponent(text.get(at + 1..)?)?);
    } else if at < text.len() {
        return None;
    }
    Some(Decimal { is_negative, digits, small, exponent: exponent.clamp(-MAX_EXPONENT, MAX_EXPONENT) })
}

fn parse_exponent(text: &[u8]) -> Option<i32> {
    let (digits, sign) = match text {
        [b'-', rest @ ..] => (rest, -1),
        [b'+', rest @ ..] => (rest, 1),
        _ => (text, 1),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |n: i32, digit: &u8| (n * 10 + i32::from(digit - b'0')).min(100_000);
    Some(digits.iter().fold(0, add) * sign)
}

impl Decimal {
    /// The nearest m · 2^e with at most `bits` bits in m, and e not below `least`; of two as near the even one.
    pub fn round(self, bits: u32, least: i32) -> (u64, i32) {
        let (mut above, mut below) = (self.digits, Big::new(1));
        let ten = self.exponent.unsigned_abs();
        if self.exponent < 0 {
            below.times_ten(ten)
        } else {
            above.times_ten(ten)
        }
        let (quotient, exponent, is_more) = above.divide(below, 68);
        round(quotient, exponent, is_more, bits, least)
    }
}

/// Rounds q · 2^e, to which something may be added that is less than one unit.
pub fn round(quotient: u128, exponent: i32, is_more: bool, bits: u32, least: i32) -> (u64, i32) {
    if quotient == 0 {
        return (0, 0);
    }
    let have = 128 - quotient.leading_zeros();
    let drop = have.saturating_sub(bits).max(least.saturating_sub(exponent).clamp(0, 128) as u32);
    if drop == 0 {
        return (quotient as u64, exponent);
    }
    if drop >= 128 {
        return (0, 0);
    }
    let (kept, rest, half) = (quotient >> drop, quotient & ((1 << drop) - 1), 1 << (drop - 1));
    let is_up = rest > half || rest == half && (is_more || kept & 1 == 1);
    let mut kept = kept + u128::from(is_up);
    let mut exponent = exponent + drop as i32;
    if kept >> bits != 0 {
        kept >>= 1;
        exponent += 1;
    }
    (kept as u64, exponent)
}
