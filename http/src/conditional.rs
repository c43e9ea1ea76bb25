//! Conditional requests (RFC 9110 section 13).

use crate::head::Head;
use crate::{HttpDate, Method};
use alloc::borrow::Cow;

/// What tells one state of a resource from another.
#[derive(Clone, Debug, Default)]
pub struct Validators {
    /// An entity-tag with its quotes: `"abc"`, or `W/"abc"` for a weak one.
    pub etag: Option<Cow<'static, str>>,
    /// When the state came to be.
    pub last_modified: Option<HttpDate>,
}

/// What a request's conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Do what is asked.
    Proceed,
    /// Answer 304: the client has this state.
    NotModified,
    /// Answer 412: the state is not the one that the client means.
    Failed,
}

/// Evaluates in the order of RFC 9110 section 13.2.2.
pub(crate) fn evaluate(method: Method, head: &Head, current: Option<&Validators>) -> Precondition {
    if !has_conditions(head) {
        return Precondition::Proceed;
    }
    let is_read = matches!(method, Method::Get | Method::Head);
    if has(head, "If-Match") {
        if !matches_any(head, "If-Match", current, strong_eq) {
            return Precondition::Failed;
        }
    } else if is_newer_than(head, "If-Unmodified-Since", current) == Some(true) {
        return Precondition::Failed;
    }
    if has(head, "If-None-Match") {
        return match (matches_any(head, "If-None-Match", current, weak_eq), is_read) {
            (false, _) => Precondition::Proceed,
            (true, true) => Precondition::NotModified,
            (true, false) => Precondition::Failed,
        };
    }
    if is_read && is_newer_than(head, "If-Modified-Since", current) == Some(false) {
        return Precondition::NotModified;
    }
    Precondition::Proceed
}

/// Whether a `Range` counts: without `If-Range`, or when it names the state we have, strongly.
pub(crate) fn if_range(head: &Head, current: &Validators) -> bool {
    let Some(value) = head.field("If-Range") else { return true };
    match HttpDate::parse(value) {
        Some(date) => current.last_modified == Some(date),
        None => current.etag.as_ref().is_some_and(|tag| strong_eq(value, tag.as_bytes())),
    }
}

/// Whether any of the fields is there: mostly none is.
fn has_conditions(head: &Head) -> bool {
    head.fields().any(|(name, _)| matches!(name, [b'I' | b'i', b'F' | b'f', b'-', ..]))
}

fn has(head: &Head, name: &str) -> bool {
    head.field(name).is_some()
}

/// Whether the state is newer than the date in that field; `None` if the field or the state's date is missing or no date.
fn is_newer_than(head: &Head, name: &str, current: Option<&Validators>) -> Option<bool> {
    let date = HttpDate::parse(head.field(name)?)?;
    Some(current?.last_modified?.unix_seconds() > date.unix_seconds())
}

fn matches_any(head: &Head, name: &str, current: Option<&Validators>, eq: fn(&[u8], &[u8]) -> bool) -> bool {
    let Some(current) = current else { return false };
    head.fields_of(name).any(|list| {
        let own = current.etag.as_ref().map(|tag| tag.as_bytes());
        list == b"*" || own.is_some_and(|own| tags(list).any(|tag| eq(tag, own)))
    })
}

fn strong_eq(a: &[u8], b: &[u8]) -> bool {
    a == b && a.starts_with(b"\"")
}

fn weak_eq(a: &[u8], b: &[u8]) -> bool {
    a.strip_prefix(b"W/").unwrap_or(a) == b.strip_prefix(b"W/").unwrap_or(b)
}

/// The entity-tags of a list, each as it stands; a comma may be inside one. Ends at what is none.
fn tags(mut list: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let start = list.iter().position(|b| !b" \t,".contains(b))?;
        list = &list[start..];
        let quote = if list.starts_with(b"W/") { 2 } else { 0 };
        if list.get(quote) != Some(&b'"') {
            return None;
        }
        let len = list[quote + 1..].iter().position(|&b| b == b'"')? + quote + 2;
        let (tag, rest) = list.split_at(len);
        list = rest;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Precondition::{Failed, NotModified, Proceed};

    const OLD: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn head(fields: &[(&str, &str)]) -> Head {
        let fields: String = fields.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
        let mut head = Head::default();
        head.parse(format!("GET / HTTP/1.1\r\n{fields}\r\n").as_bytes(), 64).unwrap();
        head
    }

    fn state(etag: &'static str) -> Validators {
        Validators { etag: Some(etag.into()), last_modified: HttpDate::parse(SAME.as_bytes()) }
    }

    #[test]
    fn reads() {
        let cases: &[(&[(&str, &str)], Precondition)] = &[
            (&[], Proceed),
            (&[("If-None-Match", "\"a\"")], NotModified),
            (&[("If-None-Match", "W/\"a\"")], NotModified),
            (&[("If-None-Match", "\"b\", \"x,y\",W/\"a\"")], NotModified),
            (&[("If-None-Match", "\"b\""), ("if-none-match", "\"a\"")], NotModified),
            (&[("If-None-Match", "*")], NotModified),
            (&[("If-None-Match", "a")], Proceed),
            (&[("If-None-Match", "\"a")], Proceed),
            (&[("If-None-Match", "\"b\"")], Proceed),
            (&[("If-None-Match", "\"b\""), ("If-Modified-Since", NEW)], Proceed),
            (&[("If-Modified-Since", OLD)], Proceed),
            (&[("If-Modified-Since", SAME)], NotModified),
            (&[("If-Modified-Since", "yesterday")], Proceed),
            (&[("If-Match", "\"a\"")], Proceed),
            (&[("If-Match", "*")], Proceed),
            (&[("If-Match", "W/\"a\"")], Failed),
            (&[("If-Match", "\"b\"")], Failed),
            (&[("If-Match", "\"b\""), ("If-None-Match", "\"a\"")], Failed),
            (&[("If-Match", "\"a\""), ("If-None-Match", "\"a\"")], NotModified),
            (&[("If-Unmodified-Since", OLD)], Failed),
            (&[("If-Unmodified-Since", SAME)], Proceed),
            (&[("If-Match", "\"a\""), ("If-Unmodified-Since", OLD)], Proceed),
        ];
        for (fields, expected) in cases {
            assert_eq!(evaluate(Method::Get, &head(fields), Some(&state("\"a\""))), *expected, "{fields:?}");
        }
    }

    #[test]
    fn writes() {
        let put = |fields, current| evaluate(Method::Put, &head(fields), current);
        let there = state("\"a\"");
        assert_eq!(put(&[("If-None-Match", "*")], Some(&there)), Failed);
        assert_eq!(put(&[("If-None-Match", "*")], None), Proceed);
        assert_eq!(put(&[("If-Match", "*")], None), Failed);
        assert_eq!(put(&[("If-Match", "\"a\"")], Some(&there)), Proceed);
        assert_eq!(put(&[("If-Modified-Since", NEW)], Some(&there)), Proceed, "only for reads");
    }

    #[test]
    fn ranges_of_the_right_state() {
        let strong = state("\"a\"");
        for (value, counts) in
            [("\"a\"", true), ("W/\"a\"", false), ("\"b\"", false), (SAME, true), (OLD, false), (NEW, false)]
        {
            assert_eq!(if_range(&head(&[("If-Range", value)]), &strong), counts, "{value}");
        }
        assert!(!if_range(&head(&[("If-Range", "W/\"a\"")]), &state("W/\"a\"")));
        assert!(if_range(&head(&[]), &strong));
    }
}
