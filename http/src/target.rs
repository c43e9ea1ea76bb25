//! Request targets in their four forms (RFC 9112 section 3.2), and what is in them.

use crate::Status;
use crate::head::Span;
use crate::octets::Class;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// A request's path, as it was sent.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    /// ASCII.
    pub(crate) octets: &'a [u8],
    /// Whether something in it is percent-encoded.
    pub(crate) has_escapes: bool,
}

impl<'a> Path<'a> {
    pub(crate) fn text(self) -> &'a str {
        core::str::from_utf8(self.octets).unwrap_or_default()
    }
}

/// A request target that was taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// From `/` to before `?`, as it was sent; `*` alone for a server-wide OPTIONS.
    pub(crate) path: Span,
    pub(crate) has_escapes: bool,
    /// Whether the escapes stand for something that is not UTF-8: good syntax (RFC 3986 section 2.1), and the name of no page here.
    pub(crate) is_foreign: bool,
    /// After `?`, if there is one.
    pub(crate) query: Option<Span>,
    /// Host and port of a target that is a whole URI.
    pub(crate) authority: Option<Span>,
}

/// Takes the target apart that stands at `target` in `input`, its first `plain` octets such as need no look; `method` says
/// which forms are allowed.
pub(crate) fn parse(input: &[u8], method: Span, target: Span, plain: usize) -> Result<Target, Status> {
    let text = target.of(input);
    let method = method.of(input);
    if method == b"CONNECT" {
        let known = !text.contains(&b'/') && is_authority(text) && text.contains(&b':');
        return Err(if known { Status::NOT_IMPLEMENTED } else { Status::BAD_REQUEST });
    }
    if text[0] == b'/' && plain == text.len() {
        return Ok(Target { path: target, ..Target::default() });
    }
    if text == b"*" {
        let allowed = method == b"OPTIONS";
        return if allowed {
            Ok(Target { path: target, ..Target::default() })
        } else {
            Err(Status::BAD_REQUEST)
        };
    }
    if text[0] == b'/' {
        return origin_form(input, usize::from(target.start), usize::from(target.end));
    }
    absolute_form(input, target)
}

/// `http://host/path?query`. The authority is that of the request, whatever `Host` says.
fn absolute_form(input: &[u8], target: Span) -> Result<Target, Status> {
    let text = target.of(input);
    let scheme_len = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|s| text.get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s)))
        .ok_or(Status::BAD_REQUEST)?
        .len();
    let rest = &text[scheme_len..];
    let authority_len = rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len());
    if authority_len == 0 || !is_authority(&rest[..authority_len]) {
        return Err(Status::BAD_REQUEST);
    }
    let begin = usize::from(target.start) + scheme_len;
    let start = begin + authority_len;
    let mut parsed = origin_form(input, start, usize::from(target.end))?;
    if parsed.path.start == parsed.path.end {
        // No path is the path "/": there is one in "http://".
        let slash = usize::from(target.start) + scheme_len - 1;
        parsed.path = Span::new(slash, slash + 1);
    }
    parsed.authority = Some(Span::new(begin, start));
    Ok(parsed)
}

fn origin_form(input: &[u8], start: usize, end: usize) -> Result<Target, Status> {
    let text = &input[start..end];
    let path_len = text.iter().position(|&b| b == b'?').unwrap_or(text.len());
    let (path, has_escapes) = (Span::new(start, start + path_len), text[..path_len].contains(&b'%'));
    let query = (path_len < text.len()).then(|| Span::new(start + path_len + 1, end));
    if text.contains(&b'#') {
        return Err(Status::BAD_REQUEST);
    }
    let is_foreign = has_escapes && !is_utf8(&text[..path_len]).ok_or(Status::BAD_REQUEST)?;
    Ok(Target { path, has_escapes, is_foreign, query, ..Target::default() })
}

/// Whether a text can be the authority of an http URI without user information: `host`, `host:port`, `[v6]:port`, or
/// nothing.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let host_len = match text.first() {
        Some(b'[') => match text.iter().position(|&b| b == b']') {
            Some(end) if text[1..end].iter().all(|&b| b.is_ascii_hexdigit() || b":.".contains(&b)) => end + 1,
            _ => return false,
        },
        _ => Class::HOST.run(text),
    };
    match &text[host_len..] {
        [] => true,
        [b':', digits @ ..] => host_len > 0 && digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Whether what a path stands for is UTF-8; `None` where a `%` starts no escape, or one stands for NUL.
fn is_utf8(path: &[u8]) -> Option<bool> {
    let bytes = decode_bytes(path, false)?;
    (!bytes.contains(&0)).then(|| core::str::from_utf8(&bytes).is_ok())
}

fn decode_bytes(text: &[u8], plus_is_blank: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&b) = rest.next() {
        out.push(match b {
            b'%' => hex(*rest.next()?)? << 4 | hex(*rest.next()?)?,
            b'+' if plus_is_blank => b' ',
            b => b,
        });
    }
    Some(out)
}

/// Percent-decodes a text, such as a [request's path](crate::Request::path); one that does not decode to UTF-8 is given
/// back as it is.
pub fn percent_decode(text: &str) -> Cow<'_, str> {
    decode(text, false)
}

/// Percent-decodes; a text that does not decode to UTF-8 is given back as it is.
pub(crate) fn decode(text: &str, plus_is_blank: bool) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'%' || (b == b'+' && plus_is_blank)) {
        return Cow::Borrowed(text);
    }
    let decoded = decode_bytes(text.as_bytes(), plus_is_blank).and_then(|b| String::from_utf8(b).ok());
    decoded.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The value of a hexadecimal digit.
pub(crate) fn hex(b: u8) -> Option<u8> {
    (b as char).to_digit(16).map(|d| d as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(method: &str, target: &str) -> Result<(String, Option<String>), Status> {
        let own = |line: &str, s: Span| String::from_utf8(s.of(line.as_bytes()).to_vec()).unwrap();
        target_of(method, target).map(|(line, t)| (own(&line, t.path), t.query.map(|q| own(&line, q))))
    }

    /// With the line that it stands in.
    fn target_of(method: &str, target: &str) -> Result<(String, Target), Status> {
        let line = format!("{method} {target}");
        let method = Span::new(0, method.len());
        let target = Span::new(usize::from(method.end) + 1, line.len());
        let plain = Class::PLAIN_PATH.run(target.of(line.as_bytes()));
        parse(line.as_bytes(), method, target, plain).map(|t| (line, t))
    }

    #[test]
    fn forms_that_are_good() {
        for (method, target, path, query) in [
            ("GET", "/", "/", None),
            ("GET", "/?", "/", Some("")),
            ("GET", "/a%20b?x=?y", "/a%20b", Some("x=?y")),
            ("GET", "http://h", "/", None),
            ("GET", "HTTP://h:80?q", "/", Some("q")),
            ("GET", "https://[::1]:8080/a", "/a", None),
            ("OPTIONS", "*", "*", None),
            ("GET", "//a", "//a", None),
        ] {
            assert_eq!(split(method, target), Ok((path.into(), query.map(Into::into))), "{method} {target}");
        }
    }

    #[test]
    fn forms_that_are_not() {
        for (method, target, status) in [
            ("GET", "*", Status::BAD_REQUEST),
            ("GET", "a", Status::BAD_REQUEST),
            ("GET", "h:80", Status::BAD_REQUEST),
            ("GET", "/a#b", Status::BAD_REQUEST),
            ("GET", "/%", Status::BAD_REQUEST),
            ("GET", "/%4", Status::BAD_REQUEST),
            ("GET", "/%zz", Status::BAD_REQUEST),
            ("GET", "/%00", Status::BAD_REQUEST),
            ("GET", "/%00%ff", Status::BAD_REQUEST),
            ("GET", "/%ff%", Status::BAD_REQUEST),
            ("GET", "http://h/%ff%0", Status::BAD_REQUEST),
            ("GET", "http://", Status::BAD_REQUEST),
            ("GET", "http:///a", Status::BAD_REQUEST),
            ("GET", "http://u@h/", Status::BAD_REQUEST),
            ("GET", "http://h:x/", Status::BAD_REQUEST),
            ("GET", "ftp://h/", Status::BAD_REQUEST),
            ("CONNECT", "h:443", Status::NOT_IMPLEMENTED),
            ("CONNECT", "/", Status::BAD_REQUEST),
            ("CONNECT", "h", Status::BAD_REQUEST),
        ] {
            assert_eq!(split(method, target), Err(status), "{method} {target}");
        }
    }

    #[test]
    fn escapes_that_are_not_utf8_are_told_apart() {
        for (target, is_foreign) in [
            ("/%c3%a9", false),
            ("/a?%e9", false),
            ("/caf%E9", true),
            ("http://h/%ff?a", true),
            ("/%ed%a0%80", true),
        ] {
            assert_eq!(target_of("GET", target).unwrap().1.is_foreign, is_foreign, "{target}");
        }
    }

    #[test]
    fn decoding() {
        assert_eq!(decode("a%2Fb+c", false), "a/b+c");
        assert_eq!(decode("a%2fb+c", true), "a/b c");
        assert_eq!(decode("%c3%a9", false), "é");
        assert_eq!(decode("%ff", false), "%ff");
        assert!(matches!(decode("plain", true), Cow::Borrowed("plain")));
    }
}
