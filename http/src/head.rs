//! A request's head: request line and header section, read from octets in one go (RFC 9112 sections 2 to 5).
//!
//! The request line is read here, header fields by [`field`].

use crate::field::{self, Line};
use crate::limits::MAX_HEADERS;
use crate::memory;
use crate::octets::Class;
use crate::target::{self, Path, Target};
use crate::{Method, Status};
use alloc::vec::Vec;

/// A usual head has at most so many octets.
const USUAL: usize = 512;
/// And so many fields.
const USUAL_FIELDS: usize = 16;

/// A part of the head's octets. Heads are shorter than 64 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u16,
    pub(crate) end: u16,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u16, end: end as u16 }
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[usize::from(self.start)..usize::from(self.end)]
    }
}

/// What the octets so far are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A whole head of so many octets.
    Complete(usize),
    /// Nothing wrong yet; the end is still missing.
    Partial,
}

/// Which requests a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Those of methods that are known here, whose escapes stand for UTF-8.
    Own,
    /// Those of any method, with any escapes: for who passes them on.
    Any,
}

/// A head that was read. Its buffers serve one request after another.
#[derive(Debug, Default)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    fields: Vec<(Span, Span)>,
    method: Option<Method>,
    pub(crate) method_name: Span,
    /// HTTP/1.x
    pub(crate) minor: u8,
    pub(crate) target: Target,
}

impl Head {
    /// Forgets the request before.
    pub(crate) fn clear(&mut self) {
        self.fields.clear();
        self.method = None;
        self.method_name = Span::default();
    }

    /// Reads a head from the start of `input`. An error is the status to answer with; the method may be known then.
    pub(crate) fn parse(&mut self, input: &[u8], max_fields: usize) -> Result<Parsed, Status> {
        self.clear();
        let Some(method_end) = end_of(input, 0, 0, Class::TOKEN)? else { return Ok(Parsed::Partial) };
        self.method = Method::from_bytes(&input[..method_end]);
        self.method_name = Span::new(0, method_end);
        let Some(line) = request_line(input, method_end)? else { return Ok(Parsed::Partial) };
        let Some(len) = self.parse_fields(input, line.len, max_fields)? else { return Ok(Parsed::Partial) };
        self.keep(&input[..len])?;
        self.minor = line.minor;
        self.target = target::parse(input, line.method, line.target, line.plain)?;
        Ok(Parsed::Complete(len))
    }

    /// Reads the fields that start at `start`; the head's length, or `None` while its end is missing.
    fn parse_fields(&mut self, input: &[u8], start: usize, max: usize) -> Result<Option<usize>, Status> {
        let mut at = start;
        loop {
            match field::line(input, at)? {
                None => return Ok(None),
                Some(Line::Last { end }) => return Ok(Some(end)),
                Some(Line::Field { .. }) if self.fields.len() >= max.min(MAX_HEADERS) => {
                    return Err(Status::HEADER_FIELDS_TOO_LARGE);
                }
                Some(Line::Field { name, value, end }) => {
                    self.fields.push((name, value));
                    at = end;
                }
            }
        }
    }

    /// Keeps a copy of a head, unless memory is short.
    fn keep(&mut self, head: &[u8]) -> Result<(), Status> {
        self.bytes.clear();
        let may_grow = head.len() <= USUAL.max(self.bytes.capacity()) || memory::is_free(head.len());
        if !may_grow || self.bytes.try_reserve(head.len()).is_err() {
            return Err(Status::SERVICE_UNAVAILABLE);
        }
        self.bytes.extend_from_slice(head);
        Ok(())
    }

    /// The method, if it is one of ours.
    pub(crate) fn method(&self) -> Option<Method> {
        self.method
    }

    /// The method, of a request that is taken; else the status to answer with.
    pub(crate) fn take(&mut self, takes: Takes) -> Result<Method, Status> {
        match takes {
            Takes::Any => self.method = self.method.or(Some(Method::Other)),
            Takes::Own if self.target.is_foreign => return Err(Status::BAD_REQUEST),
            Takes::Own => {}
        }
        self.method.ok_or(Status::NOT_IMPLEMENTED)
    }

    /// All fields in order. A name is ASCII.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (name.of(&self.bytes), value.of(&self.bytes)))
    }

    /// The fields of that name.
    pub(crate) fn fields_of<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.fields().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The first field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields_of(name).next()
    }

    /// The request's path.
    pub(crate) fn path(&self) -> Path<'_> {
        Path { octets: self.target.path.of(&self.bytes), has_escapes: self.target.has_escapes }
    }

    /// The text of a part: only of the target, which is ASCII.
    pub(crate) fn text(&self, span: Span) -> &str {
        core::str::from_utf8(span.of(&self.bytes)).unwrap_or_default()
    }

    /// Keeps a part of a head that comes in parts; `None` if there is no memory for it, or it grows above 64 KiB.
    #[cfg(feature = "h2")]
    pub(crate) fn append(&mut self, octets: &[u8]) -> Option<Span> {
        let (start, end) = (self.bytes.len(), self.bytes.len() + octets.len());
        if end > usize::from(u16::MAX) || !memory::reserve(&mut self.bytes, octets.len()) {
            return None;
        }
        self.bytes.extend_from_slice(octets);
        Some(Span::new(start, end))
    }

    /// Adds a field of parts that were [appended](Self::append); false if there is no memory for it.
    #[cfg(feature = "h2")]
    pub(crate) fn push_field(&mut self, name: Span, value: Span) -> bool {
        let has_room = self.fields.try_reserve(1).is_ok();
        if has_room {
            self.fields.push((name, value));
        }
        has_room
    }

    /// Sets method and target, parts as well.
    #[cfg(feature = "h2")]
    pub(crate) fn set_request(&mut self, method: Span, target: Span) -> Result<(), Status> {
        self.method = Method::from_bytes(self.octets(method));
        self.method_name = method;
        let plain = Class::PLAIN_PATH.run(self.octets(target));
        self.target = target::parse(&self.bytes, method, target, plain)?;
        Ok(())
    }

    /// The octets of a part.
    #[cfg(feature = "h2")]
    pub(crate) fn octets(&self, span: Span) -> &[u8] {
        span.of(&self.bytes)
    }

    /// What its buffers take, octets.
    #[cfg(feature = "h2")]
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity() + self.fields.capacity() * size_of::<(Span, Span)>()
    }

    /// Lets go of buffers that are larger than a usual request needs.
    pub(crate) fn shrink(&mut self) {
        if self.bytes.capacity() > USUAL || self.fields.capacity() > USUAL_FIELDS {
            *self = Self::default();
        }
    }
}

struct RequestLine {
    method: Span,
    target: Span,
    /// So many octets of the target are a plain path.
    plain: usize,
    minor: u8,
    /// With its CRLF.
    len: usize,
}

/// `None` while it has not ended. What cannot become a request line is an error at once.
fn request_line(input: &[u8], method_end: usize) -> Result<Option<RequestLine>, Status> {
    let start = method_end + 1;
    let plain = Class::PLAIN_PATH.run(&input[start..]);
    let Some(target_end) = end_of(input, start, plain, Class::TARGET)? else { return Ok(None) };
    let Some(minor) = version(&input[target_end + 1..])? else { return Ok(None) };
    Ok(Some(RequestLine {
        method: Span::new(0, method_end),
        target: Span::new(start, target_end),
        plain,
        minor,
        len: target_end + 1 + VERSION_LINE,
    }))
}

/// Where the word that starts at `start` ends: at a single blank. A word has at least one octet, all of its class, as the
/// first `known` are.
fn end_of(input: &[u8], start: usize, known: usize, class: Class) -> Result<Option<usize>, Status> {
    let end = start + known + class.run(&input[start + known..]);
    match input.get(end) {
        None => Ok(None),
        Some(b' ') if end > start => Ok(Some(end)),
        Some(_) => Err(Status::BAD_REQUEST),
    }
}

/// `HTTP/1.1` and CRLF.
const VERSION_LINE: usize = 10;

/// The minor version. A higher minor version of HTTP/1 is HTTP/1.1 to us (RFC 9110 section 2.5).
fn version(input: &[u8]) -> Result<Option<u8>, Status> {
    if input.starts_with(b"HTTP/1.1\r\n") {
        return Ok(Some(1));
    }
    let form = b"HTTP/0.0\r\n";
    let fits =
        |(&seen, &wanted): (&u8, &u8)| if wanted == b'0' { seen.is_ascii_digit() } else { seen == wanted };
    if !input.iter().zip(form).all(fits) {
        return Err(Status::BAD_REQUEST);
    }
    if input.len() < VERSION_LINE {
        return Ok(None);
    }
    match input[5] {
        b'1' => Ok(Some((input[7] - b'0').min(1))),
        _ => Err(Status::VERSION_NOT_SUPPORTED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Parsed, Status> {
        Head::default().parse(text.as_bytes(), 64)
    }

    #[test]
    fn a_head_in_its_parts() {
        let text = "POST /a/b?c=d HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nx-pad:  two words \t\r\n\r\nbody";
        let mut head = Head::default();
        assert_eq!(head.parse(text.as_bytes(), 64), Ok(Parsed::Complete(text.len() - 4)));
        assert_eq!((head.method(), head.minor), (Some(Method::Post), 1));
        assert_eq!(head.path().text(), "/a/b");
        assert_eq!(head.target.query.map(|q| head.text(q)), Some("c=d"));
        assert_eq!(head.field("HOST"), Some(&b"h"[..]));
        assert_eq!(head.field("x-empty"), Some(&b""[..]));
        assert_eq!(head.field("X-Pad"), Some(&b"two words"[..]));
        assert_eq!(head.field("none"), None);
    }

    #[test]
    fn the_method_is_known_of_a_request_that_is_none() {
        let mut head = Head::default();
        for text in ["HEAD / HTTP/2.0\r\n", "HEAD  /", "HEAD / HTTP/1.1\r\nHost : h\r\n\r\n"] {
            assert!(head.parse(text.as_bytes(), 64).is_err());
            assert_eq!(head.method(), Some(Method::Head), "{text:?}");
        }
        assert!(head.parse(b"(HEAD / ", 64).is_err());
        assert_eq!(head.method(), None, "not the one before");
    }

    #[test]
    fn every_beginning_of_a_head_is_partial() {
        let text = "GET /a HTTP/1.0\r\nHost: h\r\nAccept: */*\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end]), Ok(Parsed::Partial), "{:?}", &text[..end]);
        }
        assert_eq!(parse(text), Ok(Parsed::Complete(text.len())));
    }

    #[test]
    fn higher_minor_versions_are_ours() {
        assert_eq!(parse("GET / HTTP/1.9\r\n\r\n"), Ok(Parsed::Complete(18)));
        assert_eq!(parse("GET / HTTP/2.0\r\n\r\n"), Err(Status::VERSION_NOT_SUPPORTED));
    }

    #[test]
    fn too_many_fields() {
        let many = |n: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(n));
        assert!(parse(&many(64)).is_ok());
        assert_eq!(parse(&many(65)), Err(Status::HEADER_FIELDS_TOO_LARGE));
    }
}
