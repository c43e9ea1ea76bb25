//! Paths of requests: decoded, without dot segments.

use alloc::borrow::Cow;
use alloc::string::String;

/// Decodes a request's path and takes its dot segments away (RFC 3986 section 5.2.4, after decoding). `None` if it leads above the
/// root, or is not one path: an encoded slash is none.
pub fn clean(path: &str) -> Option<Cow<'_, str>> {
    let octets = path.as_bytes();
    if !octets.contains(&b'%') && !octets.windows(2).any(|w| w == b"/.") {
        return Some(Cow::Borrowed(path));
    }
    if octets.windows(3).any(|w| w.eq_ignore_ascii_case(b"%2f")) {
        return None;
    }
    let decoded = fata::http::percent_decode(path);
    let mut clean = String::with_capacity(decoded.len());
    let mut segments = decoded.strip_prefix('/')?.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => clean.truncate(clean.rfind('/')?),
            _ => {
                clean.push('/');
                clean.push_str(segment);
            }
        }
        if is_last && matches!(segment, "." | "..") {
            clean.push('/');
        }
    }
    Some(Cow::Owned(clean))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaned() {
        for (path, expected) in [
            ("/", Some("/")),
            ("/a/b.html", Some("/a/b.html")),
            ("/a%20b", Some("/a b")),
            ("/%61", Some("/a")),
            ("/a/./b", Some("/a/b")),
            ("/a/../b", Some("/b")),
            ("/a/b/..", Some("/a/")),
            ("/a/.", Some("/a/")),
            ("/..", None),
            ("/../etc/passwd", None),
            ("/a/../../b", None),
            ("/%2e%2e/b", None),
            ("/a/%2E%2e/b", Some("/b")),
            ("/a%2fb", None),
            ("/a/..%2f..%2fb", None),
            ("/...", Some("/...")),
            ("/.well-known/x", Some("/.well-known/x")),
            ("/a//b", Some("/a//b")),
        ] {
            assert_eq!(clean(path).as_deref(), expected, "{path}");
        }
    }
}
