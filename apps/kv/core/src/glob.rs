//! Patterns with `*`, `?`, `[a-z]`, `[^a-z]` and `\` (Redis's `KEYS`; glob(7) is near).

/// Whether all of `text` is as `pattern` says. Takes at most the product of their lengths in steps.
#[inline(never)]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Behind the last star, and where in the text it was tried.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, t));
            p += 1;
            continue;
        }
        let step = match text.get(t) {
            None if p == pattern.len() => return true,
            None => return false,
            Some(octet) => one(pattern.get(p..).unwrap_or_default(), *octet),
        };
        match (step, &mut retry) {
            (Some(len), _) => {
                p += len;
                t += 1;
            }
            (None, Some((behind, tried))) => {
                *tried += 1;
                (p, t) = (*behind, *tried);
            }
            (None, None) => return false,
        }
    }
}

/// How much of the pattern stands for this octet, if it does.
fn one(pattern: &[u8], octet: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => in_class(class, octet),
        [b'\\', escaped, ..] => (*escaped == octet).then_some(2),
        [same, ..] => (*same == octet).then_some(1),
    }
}

/// A class without an end goes to the end of the pattern.
fn in_class(class: &[u8], octet: u8) -> Option<usize> {
    let is_not = class.first() == Some(&b'^');
    let (mut at, mut is_in) = (usize::from(is_not), false);
    loop {
        match class.get(at..).unwrap_or_default() {
            [] => break,
            [b'\\', escaped, ..] => {
                is_in |= *escaped == octet;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [from, b'-', to, ..] => {
                is_in |= (*from.min(to)..=*from.max(to)).contains(&octet);
                at += 3;
            }
            [same, ..] => {
                is_in |= *same == octet;
                at += 1;
            }
        }
    }
    (is_in != is_not).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("*", ""),
            ("a*", "a"),
            ("*a*b", "xaxxb"),
            ("h?llo", "hello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-b]llo", "hbllo"),
            ("h[b-a]llo", "hallo"),
            ("\\*", "*"),
            ("[\\]]", "]"),
            ("a[b", "ab"),
            ("", ""),
            ("***", "abc"),
            ("a*c*e", "abcde"),
        ] {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("a", ""), ("a", "b"), ("h[^e]llo", "hello"), ("a*c", "abcd"), ("?", ""), ("[]", "a")]
        {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }

    /// It must not take exponential time.
    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = "a*".repeat(60) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(2000).as_bytes()));
    }
}
