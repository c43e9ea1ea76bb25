//! Commands typed by hand: words on a line, quoted where need be.

use alloc::vec::Vec;

/// Splits a line into words, appended to `octets`; their places go to `ranges`. `None` where quotes are not balanced.
///
/// In double quotes `\xHH`, `\n`, `\r`, `\t`, `\b`, `\a` stand for an octet, another character behind `\` for itself; in
/// single quotes only `\'`.
pub fn split(line: &[u8], octets: &mut Vec<u8>, ranges: &mut Vec<(u32, u32)>) -> Option<()> {
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(());
        }
        let from = octets.len() as u32;
        rest = word(rest, octets)?;
        ranges.push((from, octets.len() as u32));
    }
}

/// One word; what is behind it.
fn word<'a>(mut rest: &'a [u8], octets: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let Some((&first, behind)) = rest.split_first() else { return Some(rest) };
        match first {
            b'"' | b'\'' => {
                rest = quoted(behind, first, octets)?;
                return rest.first().is_none_or(u8::is_ascii_whitespace).then_some(rest);
            }
            _ if first.is_ascii_whitespace() || first == 0 => return Some(behind),
            _ => {
                octets.push(first);
                rest = behind;
            }
        }
    }
}

fn quoted<'a>(mut rest: &'a [u8], quote: u8, octets: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (&first, behind) = rest.split_first()?;
        rest = behind;
        if first == quote {
            return Some(rest);
        }
        let octet = match (first, quote) {
            (b'\\', b'"') => escaped(&mut rest)?,
            (b'\\', _) if rest.first() == Some(&b'\'') => {
                rest = &rest[1..];
                b'\''
            }
            _ => first,
        };
        octets.push(octet);
    }
}

/// The octet that stands behind a backslash.
fn escaped(rest: &mut &[u8]) -> Option<u8> {
    if let [b'x', high, low, behind @ ..] = *rest
        && let (Some(high), Some(low)) = (digit(*high), digit(*low))
    {
        *rest = behind;
        return Some(high << 4 | low);
    }
    let (&first, behind) = rest.split_first()?;
    *rest = behind;
    Some(match first {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    })
}

fn digit(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn words(line: &str) -> Option<Vec<Vec<u8>>> {
        let (mut octets, mut ranges) = (Vec::new(), Vec::new());
        split(line.as_bytes(), &mut octets, &mut ranges)?;
        Some(ranges.iter().map(|(from, to)| octets[*from as usize..*to as usize].to_vec()).collect())
    }

    #[test]
    fn words_are_told_apart() {
        assert_eq!(words("  set  a b "), Some(vec![b"set".to_vec(), b"a".to_vec(), b"b".to_vec()]));
        assert_eq!(words(r#"a "b c\x41\n" '\'d'"#).unwrap()[1..], [b"b cA\n".to_vec(), b"'d".to_vec()]);
        assert_eq!(words(""), Some(vec![]));
        assert_eq!(words("\"\""), Some(vec![vec![]]));
        for bad in ["\"a", "'a", "\"a\"b", "\"\\"] {
            assert_eq!(words(bad), None, "{bad}");
        }
    }
}
