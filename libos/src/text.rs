//! Text, in less code than `core::str` has for all kinds of patterns.

/// What is before and what is after the first `mark`, which is ASCII.
#[inline(never)]
pub(crate) fn split_once(text: &str, mark: u8) -> Option<(&str, &str)> {
    let at = text.as_bytes().iter().position(|b| *b == mark)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}
