//! What a certificate is for: names of hosts and addresses (RFC 5280 section 4.2.1.6, RFC 1123 section 2.1).

use super::IssueError;
use super::der::{Der, SEQUENCE, primitive};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// How many names a certificate has at most: what the large authorities sign.
pub const MAX_NAMES: usize = 100;
/// Octets of a name, and of one of its labels (RFC 1035, section 2.3.4; dots counted, the last one not).
const MAX_LENGTH: usize = 253;
const MAX_LABEL: usize = 63;
/// `dNSName` and `iPAddress` of a `GeneralName`.
const DNS_NAME: u8 = primitive(2);
const IP_ADDRESS: u8 = primitive(7);

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadName {
    /// No octet.
    #[error("it is empty")]
    Empty,
    /// More than 253 octets, or a label of more than 63.
    #[error("it is longer than names are")]
    TooLong,
    /// Two dots beside each other, or one at an end.
    #[error("a label of it is empty")]
    EmptyLabel,
    /// Letters, digits and hyphens are what names have; of other scripts in their form of those (RFC 5890).
    #[error("names have letters, digits and hyphens, no hyphen at a label's end")]
    BadCharacter,
    /// `*` stands for the whole first label, before two more.
    #[error("a wildcard stands for the first label, before two others")]
    BadWildcard,
    /// It would be taken for an address.
    #[error("the last label of a name is not a number")]
    Numeric,
    /// The address of no single host.
    #[error("that address is no host's")]
    NoHost,
}

/// A name that a certificate is for. Names of hosts are in lower case, with `*` for a first label of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Host(String),
    Address(IpAddr),
}

impl Name {
    /// Whether it is an address.
    pub fn address(&self) -> Option<IpAddr> {
        match &self.0 {
            Kind::Host(_) => None,
            Kind::Address(address) => Some(*address),
        }
    }

    /// Whether it stands for many names.
    pub fn is_wildcard(&self) -> bool {
        matches!(&self.0, Kind::Host(name) if name.starts_with('*'))
    }

    fn put(&self, der: &mut Der) {
        match &self.0 {
            Kind::Host(name) => der.put(DNS_NAME, name.as_bytes()),
            Kind::Address(IpAddr::V4(address)) => der.put(IP_ADDRESS, &address.octets()),
            Kind::Address(IpAddr::V6(address)) => der.put(IP_ADDRESS, &address.octets()),
        }
    }
}

impl FromStr for Name {
    type Err = BadName;

    /// An address, or a name.
    fn from_str(text: &str) -> Result<Self, BadName> {
        match text.parse::<IpAddr>() {
            Ok(address) => check_address(address).map(|()| Self(Kind::Address(address))),
            Err(_) => check_host(text).map(|()| Self(Kind::Host(text.to_ascii_lowercase()))),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Host(name) => f.write_str(name),
            Kind::Address(address) => address.fmt(f),
        }
    }
}

fn check_address(address: IpAddr) -> Result<(), BadName> {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let is_mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    match address.is_unspecified() || address.is_multicast() || is_broadcast || is_mapped {
        true => Err(BadName::NoHost),
        false => Ok(()),
    }
}

fn check_host(name: &str) -> Result<(), BadName> {
    if name.is_empty() {
        return Err(BadName::Empty);
    }
    if name.len() > MAX_LENGTH {
        return Err(BadName::TooLong);
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    if host.contains('*') || (host.len() != name.len() && !host.contains('.')) {
        return Err(BadName::BadWildcard);
    }
    host.split('.').try_for_each(check_label)?;
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|octet| octet.is_ascii_digit()) { Err(BadName::Numeric) } else { Ok(()) }
}

fn check_label(label: &str) -> Result<(), BadName> {
    let is_good = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    match label.as_bytes() {
        [] => Err(BadName::EmptyLabel),
        octets if octets.len() > MAX_LABEL => Err(BadName::TooLong),
        [b'-', ..] | [.., b'-'] => Err(BadName::BadCharacter),
        octets if !octets.iter().copied().all(is_good) => Err(BadName::BadCharacter),
        _ => Ok(()),
    }
}

/// One name at least, and [`MAX_NAMES`] at most, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(Vec<Name>);

impl Names {
    /// Reads each; says which one makes no sense.
    pub fn parse<T: AsRef<str>>(names: &[T]) -> Result<Self, IssueError> {
        let mut all = Vec::new();
        for text in names.iter().map(AsRef::as_ref) {
            let name: Name = text.parse().map_err(|problem| IssueError::BadName {
                // What is far too long is no help in a message.
                name: text.chars().take(MAX_LENGTH).collect(),
                problem,
            })?;
            if !all.contains(&name) {
                all.push(name);
            }
            if all.len() > MAX_NAMES {
                return Err(IssueError::TooManyNames(names.len()));
            }
        }
        if all.is_empty() { Err(IssueError::NoName) } else { Ok(Self(all)) }
    }

    /// The names.
    pub fn iter(&self) -> core::slice::Iter<'_, Name> {
        self.0.iter()
    }

    /// The first one's text, where it is not longer than a common name can be (RFC 5280, appendix A.1: 64 characters).
    pub(super) fn common_name(&self) -> Option<String> {
        self.0.first().map(ToString::to_string).filter(|name| name.len() <= 64)
    }

    /// Puts the names as `GeneralNames`.
    pub(super) fn put(&self, der: &mut Der) {
        der.nest(SEQUENCE, |der| self.0.iter().for_each(|name| name.put(der)));
    }
}

impl From<Name> for Names {
    fn from(name: Name) -> Self {
        Self(alloc::vec![name])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_are() {
        for (text, is) in [
            ("example.org", Ok("example.org")),
            ("EXAMPLE.Org", Ok("example.org")),
            ("localhost", Ok("localhost")),
            ("1.example", Ok("1.example")),
            ("xn--bcher-kva.example", Ok("xn--bcher-kva.example")),
            ("*.example.org", Ok("*.example.org")),
            ("10.0.0.2", Ok("10.0.0.2")),
            ("2001:DB8::1", Ok("2001:db8::1")),
            ("::1", Ok("::1")),
            ("", Err(BadName::Empty)),
            (".", Err(BadName::EmptyLabel)),
            ("example.org.", Err(BadName::EmptyLabel)),
            ("a..b", Err(BadName::EmptyLabel)),
            ("-a.b", Err(BadName::BadCharacter)),
            ("a-.b", Err(BadName::BadCharacter)),
            ("a b", Err(BadName::BadCharacter)),
            ("a_b.c", Err(BadName::BadCharacter)),
            ("bücher.example", Err(BadName::BadCharacter)),
            ("a\0.org", Err(BadName::BadCharacter)),
            ("example.org:443", Err(BadName::BadCharacter)),
            ("[::1]", Err(BadName::BadCharacter)),
            ("*", Err(BadName::BadWildcard)),
            ("*.org", Err(BadName::BadWildcard)),
            ("a.*.org", Err(BadName::BadWildcard)),
            ("*a.example.org", Err(BadName::BadWildcard)),
            ("*.*.example.org", Err(BadName::BadWildcard)),
            ("10.0.0.256", Err(BadName::Numeric)),
            ("10.1", Err(BadName::Numeric)),
            ("0.0.0.0", Err(BadName::NoHost)),
            ("::", Err(BadName::NoHost)),
            ("224.0.0.1", Err(BadName::NoHost)),
            ("255.255.255.255", Err(BadName::NoHost)),
            ("ff02::1", Err(BadName::NoHost)),
            ("::ffff:10.0.0.2", Err(BadName::NoHost)),
        ] {
            let name = text.parse::<Name>().map(|name| name.to_string());
            assert_eq!(name, is.map(ToString::to_string), "{text}");
        }
        let label = "a".repeat(63);
        assert!(label.parse::<Name>().is_ok());
        assert_eq!(format!("{label}a").parse::<Name>(), Err(BadName::TooLong));
        let longest = [&label[..], &label, &label, &label[..61]].join(".");
        assert_eq!(longest.len(), MAX_LENGTH);
        assert!(longest.parse::<Name>().is_ok());
        assert_eq!(format!("{longest}a").parse::<Name>(), Err(BadName::TooLong));
    }

    #[test]
    fn how_many_there_are() {
        assert_eq!(Names::parse::<&str>(&[]), Err(IssueError::NoName));
        let many: Vec<_> = (0..=MAX_NAMES).map(|n| format!("n{n}.test")).collect();
        assert_eq!(Names::parse(&many), Err(IssueError::TooManyNames(101)));
        assert_eq!(Names::parse(&many[1..]).unwrap().iter().count(), MAX_NAMES);
        assert_eq!(Names::parse(&["a.test", "A.TEST", "b.test"]).unwrap().iter().count(), 2);
        let bad = IssueError::BadName { name: "a b".into(), problem: BadName::BadCharacter };
        assert_eq!(Names::parse(&["good.test", "a b"]), Err(bad));
    }
}
