//! Names of hosts: as they stand in requests, and which of ours they are.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// The name in an authority, without its port, in lower case and without a dot at its end; an address of version 6 keeps its square brackets.
pub fn name(authority: &[u8]) -> Option<Cow<'_, str>> {
    let text = core::str::from_utf8(authority).ok()?;
    let end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let host = text.get(..end)?;
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() {
        return None;
    }
    let is_lower = !host.bytes().any(|b| b.is_ascii_uppercase());
    Some(if is_lower { host.into() } else { host.to_ascii_lowercase().into() })
}

/// Names, each with what it stands for.
#[derive(Clone, Debug)]
pub struct Table<T> {
    names: Vec<(String, T)>,
}

impl<T: Copy> Default for Table<T> {
    fn default() -> Self {
        Self { names: Vec::new() }
    }
}

impl<T: Copy> Table<T> {
    /// Adds a name in lower case, or `*.` and one, which stands for all with one label before it; false if it is there already.
    pub fn add(&mut self, name: &str, what: T) -> bool {
        let is_new = self.names.iter().all(|(other, _)| other != name);
        if is_new {
            self.names.push((name.into(), what));
        }
        is_new
    }

    /// What a name stands for: by itself, or by the wildcard above it.
    pub fn find(&self, name: &str) -> Option<T> {
        let named = |wanted: &str| self.names.iter().find(|(name, _)| name == wanted).map(|(_, what)| *what);
        let by_wildcard = || {
            let (label, parent) = name.split_once('.')?;
            let fits = |(name, _): &&(String, T)| name.strip_prefix("*.") == Some(parent);
            self.names.iter().find(fits).filter(|_| !label.is_empty()).map(|(_, what)| *what)
        };
        named(name).or_else(by_wildcard)
    }
}

/// Whether a text is a host's name in lower case, or an address as it stands in an authority.
pub fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    let is_address = || {
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<core::net::Ipv6Addr>().is_ok())
    };
    text.len() <= 253 && (text.split('.').all(is_label) || is_address())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_authorities() {
        for (authority, expected) in [
            ("example.org", Some("example.org")),
            ("EXAMPLE.org.:8443", Some("example.org")),
            ("10.0.0.2:80", Some("10.0.0.2")),
            ("[2001:DB8::2]:80", Some("[2001:db8::2]")),
            ("[::1]", Some("[::1]")),
            ("[::1", None),
            (":80", None),
            (".", None),
            ("", None),
        ] {
            assert_eq!(name(authority.as_bytes()).as_deref(), expected, "{authority}");
        }
    }

    #[test]
    fn tables() {
        let mut table = Table::default();
        assert!(
            table.add("example.org", 1) && table.add("*.example.org", 2) && table.add("a.example.org", 3)
        );
        assert!(!table.add("example.org", 4));
        for (name, expected) in [
            ("example.org", Some(1)),
            ("a.example.org", Some(3)),
            ("b.example.org", Some(2)),
            ("a.b.example.org", None),
            (".example.org", None),
            ("example.com", None),
            ("org", None),
            ("*.example.org", Some(2)),
        ] {
            assert_eq!(table.find(name), expected, "{name}");
        }
    }

    #[test]
    fn what_is_a_name() {
        for (text, good) in [
            ("example.org", true),
            ("localhost", true),
            ("10.0.0.2", true),
            ("[::1]", true),
            ("[::x]", false),
            ("a..b", false),
            ("", false),
            ("A.b", false),
            ("a/b", false),
        ] {
            assert_eq!(is_name(text), good, "{text}");
        }
    }
}
