//! Where a resource is: URLs of the schemes `http` and `https` (RFC 3986, RFC 9110 section 4.2).

use crate::octets::Class;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// The longest URL, octets.
const MAX_URL: usize = 8 * 1024;
/// The longest name of a host (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 253;

/// Why a text is no URL that can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Longer than 8 KiB.
    #[error("a URL of more than {MAX_URL} octets")]
    TooLong,
    /// Not `http://` or `https://`.
    #[error("a URL's scheme must be http or https")]
    Scheme,
    /// A user's name or password: those go into a field of the request.
    #[error("a URL with a user's name or password")]
    UserInfo,
    /// No name of a host, no address. Names of other alphabets are to be given as punycode (`xn--`).
    #[error("a URL without a good host")]
    Host,
    /// Not 1 to 65535.
    #[error("a URL's port must be 1 to 65535")]
    Port,
    /// Blanks, control characters, or what is not ASCII.
    #[error("a URL with characters that must be percent-encoded")]
    Characters,
}

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The port where none is given.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Scheme, host and port: what a connection is to, and what credentials are for (RFC 9110 section 4.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    /// In lower case; an address of IPv6 without brackets.
    host: String,
    port: u16,
}

impl Origin {
    /// How connections to it are.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host's name in lower case, or its address: one of IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host's address, where it has no name.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As it stands in `Host`.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }
}

/// A URL without its fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    origin: Origin,
    /// Path and query, beginning with `/`.
    target: String,
}

impl Url {
    /// Whose resource it is.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What a reference in a response to this URL leads to (RFC 3986 section 5.2): the value of `Location`. Octets that
    /// should have been percent-encoded are.
    pub fn join(&self, reference: &[u8]) -> Result<Self, UrlError> {
        let reference = encoded(reference)?;
        let reference = without_fragment(&reference);
        if let Some(rest) = reference.strip_prefix("//") {
            return parse(self.origin.scheme, rest);
        }
        if has_scheme(reference) {
            return reference.parse();
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let target = match reference.as_bytes().first() {
            None => self.target.clone(),
            Some(b'/') => reference.to_owned(),
            Some(b'?') => format!("{path}{reference}"),
            Some(_) => {
                let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
                format!("{folder}{reference}")
            }
        };
        Ok(Self { origin: self.origin.clone(), target: checked_target(&target)? })
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL {
            return Err(UrlError::TooLong);
        }
        let text = without_fragment(text);
        for scheme in [Scheme::Http, Scheme::Https] {
            let name = scheme.as_str();
            let is_it = text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
            if let Some(rest) =
                text.get(name.len()..).filter(|_| is_it).and_then(|rest| rest.strip_prefix("://"))
            {
                return parse(scheme, rest);
            }
        }
        Err(UrlError::Scheme)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.origin.scheme.as_str(), self.origin.authority(), self.target)
    }
}

/// What stands behind `scheme://`.
fn parse(scheme: Scheme, rest: &str) -> Result<Url, UrlError> {
    // Browsers take a backslash for a slash, others do not: nobody is to be in doubt about the host.
    let end = rest.find(['/', '?', '\\']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    if authority.contains('@') {
        return Err(UrlError::UserInfo);
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(UrlError::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| UrlError::Host)?;
            (address.to_string(), port)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            (name(&authority[..end])?, &authority[end..])
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => scheme.default_port(),
        None => return Err(UrlError::Host),
        Some("") => scheme.default_port(),
        Some(digits) => number(digits).ok_or(UrlError::Port)?,
    };
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Ok(Url { origin: Origin { scheme, host, port }, target: checked_target(&target)? })
}

fn number(digits: &str) -> Option<u16> {
    let is_number = digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|&port| is_number && port > 0)
}

/// A name in lower case, or an address of IPv4.
fn name(text: &str) -> Result<String, UrlError> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if bare.len() > MAX_NAME || !bare.split('.').all(is_label) {
        return Err(UrlError::Host);
    }
    // What ends in a number is an address, and addresses have four decimal parts and no other form.
    let last = bare.rsplit('.').next().unwrap_or_default();
    let is_number =
        last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
    if is_number && (bare != text || bare.parse::<Ipv4Addr>().is_err()) {
        return Err(UrlError::Host);
    }
    Ok(bare.to_ascii_lowercase())
}

/// A path, its dot segments removed, and a query.
fn checked_target(target: &str) -> Result<String, UrlError> {
    if target.len() > MAX_URL {
        return Err(UrlError::TooLong);
    }
    let (path, query) = match target.find('?') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    if Class::TARGET.run(target.as_bytes()) != target.len() || path.contains('\\') {
        return Err(UrlError::Characters);
    }
    Ok(without_dots(path) + query)
}

/// RFC 3986 section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => {
                kept.push(other);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

fn without_fragment(text: &str) -> &str {
    text.split('#').next().unwrap_or_default()
}

/// Whether a reference begins with a scheme (RFC 3986 section 3.1).
fn has_scheme(reference: &str) -> bool {
    let end = reference.find([':', '/', '?']);
    end.is_some_and(|end| {
        let scheme = &reference[..end];
        reference[end..].starts_with(':')
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    })
}

/// Octets above ASCII and blanks as escapes.
fn encoded(octets: &[u8]) -> Result<String, UrlError> {
    if octets.len() > MAX_URL {
        return Err(UrlError::TooLong);
    }
    let mut text = String::with_capacity(octets.len());
    for &octet in octets {
        match octet {
            b'!'..=b'~' => text.push(octet.into()),
            b' ' | 0x80.. => text.push_str(&format!("%{octet:02X}")),
            _ => return Err(UrlError::Characters),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn good_ones() {
        for (text, scheme, host, port, target, shown) in [
            ("http://h", Scheme::Http, "h", 80, "/", "http://h/"),
            ("HTTPS://Example.ORG/a", Scheme::Https, "example.org", 443, "/a", "https://example.org/a"),
            ("http://h:8080?a=b", Scheme::Http, "h", 8080, "/?a=b", "http://h:8080/?a=b"),
            ("http://h:/", Scheme::Http, "h", 80, "/", "http://h/"),
            ("https://h:443/#x", Scheme::Https, "h", 443, "/", "https://h/"),
            ("http://h:443/", Scheme::Http, "h", 443, "/", "http://h:443/"),
            ("http://[::1]:8080/a", Scheme::Http, "::1", 8080, "/a", "http://[::1]:8080/a"),
            ("http://[2001:DB8:0::1]/", Scheme::Http, "2001:db8::1", 80, "/", "http://[2001:db8::1]/"),
            ("http://192.0.2.1/", Scheme::Http, "192.0.2.1", 80, "/", "http://192.0.2.1/"),
            (
                "http://xn--bcher-kva.example./",
                Scheme::Http,
                "xn--bcher-kva.example",
                80,
                "/",
                "http://xn--bcher-kva.example/",
            ),
            (
                "http://a_b.c-d/%20?x=%zz\\",
                Scheme::Http,
                "a_b.c-d",
                80,
                "/%20?x=%zz\\",
                "http://a_b.c-d/%20?x=%zz\\",
            ),
            ("http://h/a/./b/../c/..", Scheme::Http, "h", 80, "/a/", "http://h/a/"),
            ("http://h/../../a//b/?/../x", Scheme::Http, "h", 80, "/a//b/?/../x", "http://h/a//b/?/../x"),
            ("http://h/@x", Scheme::Http, "h", 80, "/@x", "http://h/@x"),
        ] {
            let parsed = url(text);
            let origin = parsed.origin();
            let seen = (origin.scheme(), origin.host(), origin.port(), parsed.target());
            assert_eq!(seen, (scheme, host, port, target), "{text}");
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(url(shown), parsed);
        }
    }

    #[test]
    fn bad_ones() {
        let long_label = format!("http://{}/", "a".repeat(64));
        let long_name = format!("http://{}a/", "a.".repeat(130));
        let long = format!("http://h/{}", "a".repeat(9000));
        for (text, error) in [
            ("", UrlError::Scheme),
            ("h/a", UrlError::Scheme),
            ("ftp://h/", UrlError::Scheme),
            ("http:/h/", UrlError::Scheme),
            ("http:h", UrlError::Scheme),
            (" http://h/", UrlError::Scheme),
            ("httpss://h/", UrlError::Scheme),
            ("http://u@h/", UrlError::UserInfo),
            ("http://u:p@h/", UrlError::UserInfo),
            ("http://@h/", UrlError::UserInfo),
            ("http://a@b@c/", UrlError::UserInfo),
            ("http://", UrlError::Host),
            ("http:///a", UrlError::Host),
            ("http://:80/", UrlError::Host),
            ("http://a..b/", UrlError::Host),
            ("http://.a/", UrlError::Host),
            ("http://a b/", UrlError::Host),
            ("http://b\u{fc}cher.example/", UrlError::Host),
            ("http://a%20b/", UrlError::Host),
            ("http://[::1/", UrlError::Host),
            ("http://[::1]x/", UrlError::Host),
            ("http://[fe80::1%25eth0]/", UrlError::Host),
            ("http://[1.2.3.4]/", UrlError::Host),
            ("http://::1/", UrlError::Host),
            ("http://1.2.3/", UrlError::Host),
            ("http://1.2.3.256/", UrlError::Host),
            ("http://2130706433/", UrlError::Host),
            ("http://0x7f.1/", UrlError::Host),
            ("http://0x7f000001/", UrlError::Host),
            ("http://127.0.0.01/", UrlError::Host),
            ("http://1.2.3.4./", UrlError::Host),
            (&long_label, UrlError::Host),
            (&long_name, UrlError::Host),
            ("http://h:0/", UrlError::Port),
            ("http://h:65536/", UrlError::Port),
            ("http://h:+80/", UrlError::Port),
            ("http://h:8a/", UrlError::Port),
            ("http://h:000080/", UrlError::Port),
            ("http://h:1:2/", UrlError::Port),
            ("http://h/a b", UrlError::Characters),
            ("http://h/a\r\nb", UrlError::Characters),
            ("http://h/\u{e9}", UrlError::Characters),
            ("http://h\\@other/", UrlError::Characters),
            ("http://h/a\\b", UrlError::Characters),
            (&long, UrlError::TooLong),
        ] {
            assert_eq!(text.parse::<Url>(), Err(error), "{text}");
        }
    }

    #[test]
    fn references() {
        let base = url("http://a:8080/b/c/d?q");
        for (reference, expected) in [
            ("https://o/x", "https://o/x"),
            ("//o/x?y", "http://o/x?y"),
            ("/x", "http://a:8080/x"),
            ("x", "http://a:8080/b/c/x"),
            ("./x", "http://a:8080/b/c/x"),
            ("../x", "http://a:8080/b/x"),
            ("../../../x", "http://a:8080/x"),
            ("?y", "http://a:8080/b/c/d?y"),
            ("", "http://a:8080/b/c/d?q"),
            ("#f", "http://a:8080/b/c/d?q"),
            ("x?y#f", "http://a:8080/b/c/x?y"),
            ("x:y/z", ""),
            ("./x:y", "http://a:8080/b/c/x:y"),
            ("/x:y", "http://a:8080/x:y"),
            ("/b\u{fc}cher x", "http://a:8080/b%C3%BCcher%20x"),
            ("javascript:alert(1)", ""),
            ("file:///etc/passwd", ""),
            ("//u@o/", ""),
            ("//", ""),
            ("/x\ty", ""),
            ("/\\o/x", ""),
            ("\\\\o/x", ""),
        ] {
            let joined = base.join(reference.as_bytes()).map(|url| url.to_string()).unwrap_or_default();
            assert_eq!(joined, expected, "{reference}");
        }
        assert_eq!(base.join(&[b'a'; 9000]), Err(UrlError::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_and_read_alike(
            pieces in prop::collection::vec(
                prop::sample::select(vec!["http://", "https:", "//", "a", "B.c", ":", "80", "@", "[", "::1", "]", "/", "..", ".", "?", "#", "%41", "\\", " ", "\u{e9}"]),
                0..12,
            )
        ) {
            let text = pieces.concat();
            for start in ["", "http://"] {
                if let Ok(url) = format!("{start}{text}").parse::<Url>() {
                    prop_assert_eq!(url.to_string().parse::<Url>(), Ok(url.clone()));
                    prop_assert!(url.target().starts_with('/'));
                    if let Ok(joined) = url.join(text.as_bytes()) {
                        prop_assert_eq!(joined.to_string().parse::<Url>(), Ok(joined.clone()));
                    }
                }
            }
        }
    }
}
