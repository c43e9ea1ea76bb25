//! The `Range` field (RFC 9110 section 14): one range of octets. Several are answered with the whole, which is allowed.

use crate::framing::elements;

/// What to send of a representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// From the first to before the second.
    Octets(usize, usize),
    Unsatisfiable,
}

/// Reads a field's value for a representation of `len` octets. What is not understood asks for nothing.
pub(crate) fn parse(value: &[u8], len: usize) -> Part {
    let Some(set) = value.split_at_checked(6).filter(|(unit, _)| unit.eq_ignore_ascii_case(b"bytes=")) else {
        return Part::Whole;
    };
    let mut specs = elements(set.1);
    match (specs.next(), specs.next()) {
        (Some(spec), None) => one(spec, len).unwrap_or(Part::Whole),
        _ => Part::Whole,
    }
}

fn one(spec: &[u8], len: usize) -> Option<Part> {
    let dash = spec.iter().position(|&b| b == b'-')?;
    let (first, last) = (number(&spec[..dash]), number(&spec[dash + 1..]));
    let (start, end) = match (first, last) {
        (Number::Value(a), Number::Value(b)) if a <= b => (a, b.saturating_add(1).min(len)),
        (Number::Value(a), Number::Missing) => (a, len),
        (Number::Missing, Number::Value(n)) => (len - n.min(len), len),
        _ => return None,
    };
    Some(if start < end { Part::Octets(start, end) } else { Part::Unsatisfiable })
}

enum Number {
    Missing,
    Wrong,
    /// One too large to count is as good as the largest.
    Value(usize),
}

fn number(text: &[u8]) -> Number {
    if text.is_empty() {
        return Number::Missing;
    }
    if !text.iter().all(u8::is_ascii_digit) {
        return Number::Wrong;
    }
    let add = |n: usize, d: &u8| n.saturating_mul(10).saturating_add(usize::from(d - b'0'));
    Number::Value(text.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_hundred_octets() {
        for (value, part) in [
            ("bytes=0-0", Part::Octets(0, 1)),
            ("bytes=0-99", Part::Octets(0, 100)),
            ("Bytes=10-19", Part::Octets(10, 20)),
            ("bytes= 10-19 ,", Part::Octets(10, 20)),
            ("bytes=90-", Part::Octets(90, 100)),
            ("bytes=90-1000", Part::Octets(90, 100)),
            ("bytes=99-99999999999999999999999", Part::Octets(99, 100)),
            ("bytes=-1", Part::Octets(99, 100)),
            ("bytes=-1000", Part::Octets(0, 100)),
            ("bytes=100-", Part::Unsatisfiable),
            ("bytes=100-200", Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=5", Part::Whole),
            ("bytes=9-1", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=1-+2", Part::Whole),
            ("bytes=--1", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("bytes", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(parse(value.as_bytes(), 100), part, "{value}");
        }
        assert_eq!(parse(b"bytes=0-", 0), Part::Unsatisfiable);
        assert_eq!(parse(b"bytes=-5", 0), Part::Unsatisfiable);
    }
}
