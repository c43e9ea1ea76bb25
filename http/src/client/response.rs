//! A response's head, read as it comes (RFC 9112 sections 4 and 5).

use super::{Error, Limits, Malformed};
use crate::Status;
use crate::field::{self, Line};
use crate::head::Span;
use crate::memory;
use crate::octets::Class;
use alloc::vec::Vec;

/// A usual head has at most so many octets.
const USUAL: usize = 1024;

/// A response's status and fields.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    bytes: Vec<u8>,
    fields: Vec<(Span, Span)>,
    status: Status,
    minor: u8,
}

impl ResponseHead {
    /// The status. 101 alone is below 200.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether the server speaks HTTP/1.0.
    pub fn is_http_1_0(&self) -> bool {
        self.minor == 0
    }

    /// All fields in order. A name is as the server wrote it.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|(name, value)| {
            (core::str::from_utf8(name.of(&self.bytes)).unwrap_or_default(), value.of(&self.bytes))
        })
    }

    /// The values of the fields of that name.
    pub fn fields_of<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.fields().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The first field of that name, where it is UTF-8.
    pub fn field(&self, name: &str) -> Option<&str> {
        core::str::from_utf8(self.fields_of(name).next()?).ok()
    }

    pub(super) fn minor(&self) -> u8 {
        self.minor
    }
}

/// A head of which a part was read. Lines that are whole are not looked at again.
#[derive(Debug, Default)]
pub(super) struct Partial {
    line: Option<(Status, u8)>,
    fields: Vec<(Span, Span)>,
    /// Where the next line starts.
    at: usize,
}

impl Partial {
    /// Reads on in `input`, which starts where the head does; gives the head, and its length, when its end is there.
    pub(super) fn read(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<(ResponseHead, usize)>, Error> {
        if self.line.is_none() {
            let Some((status, minor, len)) = status_line(input)? else { return Ok(None) };
            self.line = Some((status, minor));
            self.at = len;
        }
        while let Some(line) = field::line(input, self.at).map_err(|_| Malformed::Field)? {
            match line {
                Line::Field { name, value, end } => self.add(name, value, end, limits)?,
                Line::Last { end } => return self.end(&input[..end]).map(|head| Some((head, end))),
            }
        }
        Ok(None)
    }

    fn add(&mut self, name: Span, value: Span, end: usize, limits: &Limits) -> Result<(), Error> {
        if self.fields.len() >= limits.header_count {
            return Err(Error::TooManyFields(limits.header_count));
        }
        self.fields.try_reserve(1).map_err(|_| Error::NoMemory)?;
        self.fields.push((name, value));
        self.at = end;
        Ok(())
    }

    fn end(&mut self, octets: &[u8]) -> Result<ResponseHead, Error> {
        let Self { line, fields, .. } = core::mem::take(self);
        let (status, minor) = line.ok_or(Malformed::StatusLine)?;
        let mut bytes = Vec::new();
        let is_room = octets.len() <= USUAL || memory::is_free(octets.len());
        if !is_room || bytes.try_reserve_exact(octets.len()).is_err() {
            return Err(Error::NoMemory);
        }
        bytes.extend_from_slice(octets);
        Ok(ResponseHead { bytes, fields, status, minor })
    }
}

/// `HTTP/1.x`, a blank, three digits; then a blank and the reason, or nothing, as some servers have it.
const FORM: &[u8; 12] = b"HTTP/1.0 000";

/// Status, minor version and length of the line; `None` while it has not ended.
fn status_line(input: &[u8]) -> Result<Option<(Status, u8, usize)>, Malformed> {
    let fits = |(&seen, &form): (&u8, &u8)| if form == b'0' { seen.is_ascii_digit() } else { seen == form };
    if !input.iter().zip(FORM).all(fits) {
        return Err(Malformed::StatusLine);
    }
    let Some((start, rest)) = input.split_first_chunk::<12>() else { return Ok(None) };
    let reason = match rest.first() {
        Some(b' ') => 1 + Class::VALUE.run(&rest[1..]),
        _ => 0,
    };
    let code = start[9..].iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    let status = Status::received(code).ok_or(Malformed::StatusLine)?;
    let end = field::line_end(input, FORM.len() + reason).map_err(|_| Malformed::StatusLine)?;
    Ok(end.map(|len| (status, (start[7] - b'0').min(1), len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<(ResponseHead, usize)>, Error> {
        Partial::default().read(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn a_head_in_its_parts() {
        let text =
            "HTTP/1.1 200 Very well\r\nA: b\r\nSet-Cookie: 1\r\nset-cookie:2 \r\nX: \u{e9}\r\n\r\nbody";
        let (head, len) = read(text).unwrap().unwrap();
        assert_eq!((head.status(), head.is_http_1_0(), len), (Status::OK, false, text.len() - 4));
        assert_eq!(head.field("a"), Some("b"));
        assert_eq!(head.fields_of("SET-COOKIE").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(head.fields().count(), 4);
        assert_eq!(head.field("none"), None);
    }

    #[test]
    fn it_is_read_as_it_comes() {
        let text = b"HTTP/1.0 404 Not Found\r\nA: b\r\nC: d\r\n\r\n";
        let mut partial = Partial::default();
        for end in 0..text.len() {
            assert!(partial.read(&text[..end], &Limits::default()).unwrap().is_none(), "{end}");
        }
        let (head, len) = partial.read(text, &Limits::default()).unwrap().unwrap();
        assert_eq!((head.status(), head.is_http_1_0(), len), (Status::NOT_FOUND, true, text.len()));
        assert_eq!(head.field("C"), Some("d"));
    }

    #[test]
    fn status_lines() {
        for (line, code) in [
            ("HTTP/1.1 200 \r\n", 200),
            ("HTTP/1.1 200\r\n", 200),
            ("HTTP/1.7 599 a\tb\u{e9}\r\n", 599),
            ("HTTP/1.1 100 C\r\n", 100),
        ] {
            assert_eq!(
                status_line(line.as_bytes()).map(|l| l.map(|l| l.0.code())),
                Ok(Some(code)),
                "{line:?}"
            );
        }
    }

    #[test]
    fn fields_are_bounded() {
        let many = |n: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(n));
        assert!(read(&many(100)).unwrap().is_some());
        assert_eq!(read(&many(101)).unwrap_err(), Error::TooManyFields(100));
    }
}
