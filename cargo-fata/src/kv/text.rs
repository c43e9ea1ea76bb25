//! Pairs as lines of text: key, tab, value. What is not a printable character of ASCII is escaped as Rust does in byte strings.

use anyhow::{Context, Result, bail, ensure};

/// The line of a pair, or of a key alone.
pub fn line(key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let mut line = escaped(key);
    if let Some(value) = value {
        line.push(b'\t');
        line.extend(escaped(value));
    }
    line.push(b'\n');
    line
}

fn escaped(octets: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(octets.len());
    for octet in octets {
        match octet {
            // Neither ends anything here.
            b'"' | b'\'' => text.push(*octet),
            _ => text.extend(octet.escape_ascii()),
        }
    }
    text
}

/// The pair of a line.
pub fn pair(line: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let tab = line.iter().position(|octet| *octet == b'\t').context("no tab between key and value")?;
    Ok((unescape(&line[..tab])?, unescape(&line[tab + 1..])?))
}

/// What was escaped.
pub fn unescape(text: &[u8]) -> Result<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(octet) = rest.next() {
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        octets.push(match rest.next() {
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(same @ (b'\\' | b'"' | b'\'')) => same,
            Some(b'x') => 16 * digit(rest.next())? + digit(rest.next())?,
            _ => bail!("\\ before an octet that makes no escape"),
        });
    }
    Ok(octets)
}

fn digit(octet: Option<u8>) -> Result<u8> {
    let digit = octet.and_then(|octet| char::from(octet).to_digit(16));
    ensure!(digit.is_some(), "\\x without two hexadecimal digits");
    Ok(digit.unwrap_or_default() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let text = line(&all, Some(&all));
        assert_eq!(text.iter().filter(|octet| matches!(octet, b'\t' | b'\n')).count(), 2);
        assert!(text.is_ascii());
        assert_eq!(pair(&text).unwrap(), (all.clone(), all));
    }

    #[test]
    fn lines_are_as_people_write_them() {
        assert_eq!(line(b"user:1", Some(b"it's \"x\"\\ \xc3\xa4")), b"user:1\tit's \"x\"\\\\ \\xc3\\xa4\n");
        assert_eq!(line(b"a", None), b"a\n");
        // Written by hand: not escaped, and with the end of a line of another system.
        assert_eq!(pair("ä\tö\r\n".as_bytes()).unwrap(), ("ä".into(), "ö".into()));
        assert_eq!(pair(b"a\tb\tc").unwrap(), (b"a".to_vec(), b"b\tc".to_vec()));
        for bad in ["\\", "\\q", "\\x1", "\\xg0"] {
            assert!(unescape(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
