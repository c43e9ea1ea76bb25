//! The sections of a PEM text (RFC 7468), read so that nothing of a private key is left in memory: what was read is zeroed, its base64 and
//! where it ends with an error too.
//!
//! Lines may be of any length, with white space at their ends; what stands between sections is of no account (section 2).

use alloc::vec::Vec;
use base64ct::{Base64Unpadded, Encoding};
use zeroize::{Zeroize, Zeroizing};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// A section.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Section<'a> {
    /// What it is, such as `CERTIFICATE`.
    pub(crate) label: &'a str,
    /// Its base64.
    pub(crate) body: &'a str,
}

/// The sections of a text, or what is wrong with one, which is the last.
pub(crate) fn sections(pem: &str) -> impl Iterator<Item = Result<Section<'_>, &'static str>> {
    let mut rest = pem;
    core::iter::from_fn(move || {
        let (label, inside) = begin(rest)?;
        let section = next(label, inside);
        // Behind its last line, or nowhere.
        rest = section.as_ref().map_or("", |(_, behind)| behind);
        Some(section.map(|(section, _)| section))
    })
}

fn next<'a>(label: Option<&'a str>, inside: &'a str) -> Result<(Section<'a>, &'a str), &'static str> {
    let label = label.ok_or("its BEGIN line does not end as it should")?;
    let end = length(inside, label).and_then(|length| inside.split_at_checked(length));
    let (body, behind) = end.ok_or("its END line is missing")?;
    Ok((Section { label, body }, behind))
}

/// The label of the next section, if its line is whole, and what is behind that line.
fn begin(mut rest: &str) -> Option<(Option<&str>, &str)> {
    while !rest.is_empty() {
        let (line, behind) = line(rest);
        if let Some(label) = line.strip_prefix(BEGIN) {
            return Some((label.trim_end().strip_suffix(DASHES), behind));
        }
        rest = behind;
    }
    None
}

/// Octets before the line that ends a section.
fn length(inside: &str, label: &str) -> Option<usize> {
    let mut rest = inside;
    while !rest.is_empty() {
        let (line, behind) = line(rest);
        // Another one that begins means that the end of this one is missing.
        if line.starts_with(BEGIN) {
            return None;
        }
        let ends = line.strip_prefix(END).and_then(|end| end.strip_prefix(label));
        if ends.is_some_and(|end| end.starts_with(DASHES)) {
            return inside.len().checked_sub(rest.len());
        }
        rest = behind;
    }
    None
}

/// The first line, and what is behind it.
fn line(text: &str) -> (&str, &str) {
    text.split_once(['\n', '\r']).unwrap_or((text, ""))
}

impl Section<'_> {
    /// What its base64 stands for, or what is wrong with it.
    pub(crate) fn decode(&self) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        // Where it is decoded: there is no other copy, and it does not grow.
        let mut octets = Zeroizing::new(Vec::new());
        octets.try_reserve_exact(self.body.len()).map_err(|_| "there is no memory for it")?;
        octets.extend(self.body.bytes().filter(|octet| !octet.is_ascii_whitespace()));
        let padding = octets.iter().rev().take(2).take_while(|octet| **octet == b'=').count();
        let unpadded = octets.len() - padding;
        octets.truncate(unpadded);
        let length = Base64Unpadded::decode_in_place(&mut octets).map_err(|_| "it is not base64")?.len();
        // What is left of the text behind it.
        octets.get_mut(length..).unwrap_or_default().zeroize();
        octets.truncate(length);
        Ok(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content<'a>(section: Result<Section<'a>, &'static str>) -> (&'a str, Result<Vec<u8>, &'static str>) {
        match section {
            Ok(section) => (section.label, section.decode().map(|content| content.to_vec())),
            Err(why) => ("", Err(why)),
        }
    }

    fn read(pem: &str) -> Vec<(&str, Result<Vec<u8>, &'static str>)> {
        sections(pem).map(content).collect()
    }

    #[test]
    fn texts() {
        let no_end = "its END line is missing";
        let two = "-----BEGIN A-----\nAAEC\n-----END A-----\nbetween\n-----BEGIN B B-----\nAw==\n-----END B B-----\n";
        let both = vec![("A", Ok(vec![0, 1, 2])), ("B B", Ok(vec![3]))];
        assert_eq!(read(two), both);
        assert_eq!(read(&two.replace('\n', "\r\n")), both);
        assert_eq!(read(&two.replace('\n', "\r")), both);
        assert_eq!(read(&two.replace("AAEC", " A\t\nA E\n\nC ").replace("-----\n", "----- \n")), both);
        // RFC 7468 wants the padding; some leave it out.
        assert_eq!(read(&two.replace("==", "")), both);
        assert_eq!(read(two.trim_end()), both);
        for (text, expected) in [
            ("", vec![]),
            ("-----BEGIN A", vec![("", Err("its BEGIN line does not end as it should"))]),
            ("-----BEGIN A-----", vec![("", Err(no_end))]),
            ("-----BEGIN A-----\nAAEC\n-----END B-----\n", vec![("", Err(no_end))]),
            ("-----BEGIN A-----\nAAEC\n-----BEGIN A-----\nAAEC\n-----END A-----\n", vec![("", Err(no_end))]),
            ("-----BEGIN A-----\n-----END A-----\n", vec![("A", Ok(vec![]))]),
            ("x\n-----END A-----\n", vec![]),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        for base64 in ["A", "A===", "AA=A", "AAEC=A==", "====", "AAE\u{e9}", "AA-_", "AAECA"] {
            let text = two.replacen("AAEC", base64, 1);
            assert_eq!(read(&text), [("A", Err("it is not base64")), ("B B", Ok(vec![3]))], "{base64}");
        }
        let long: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let text =
            ["-----BEGIN A-----\n", &base64ct::Base64::encode_string(&long), "\n-----END A-----"].concat();
        assert_eq!(read(&text), [("A", Ok(long))]);
    }

    /// However it is cut off or changed there is an answer.
    #[test]
    fn whatever_it_is_there_is_an_answer() {
        let text = "-----BEGIN A-----\nAAEC\n-----END A-----\n\n-----BEGIN B-----\nAw==\n-----END B-----\n";
        for end in 0..text.len() {
            let _ = read(&text[..end]);
            for other in ["\u{e9}", "-", "\r", "=", ""] {
                let changed = [&text[..end], other, &text[end + 1..]].concat();
                let _ = read(&changed);
            }
        }
    }
}
