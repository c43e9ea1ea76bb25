//! Puts responses on their way.

use crate::conditional::{self, Precondition};
use crate::framing::Framing;
use crate::head::Head;
use crate::io::{Chunk, Io, Phase};
use crate::range::{self, Part};
use crate::response::{Body, Kind};
use crate::stream::{Aborted, BodyWriter, Delimiter};
use crate::{HttpDate, Limits, Method, Response, Status};
use alloc::vec::Vec;
use core::ops::Range;

/// Content up to this size is put behind its head, to be written with it; larger content is written from where it is.
const SMALL: usize = 1024;

/// What the answer must know of the request.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) is_head: bool,
    pub(crate) http_1_1: bool,
    pub(crate) keep_alive: bool,
}

impl Asked {
    pub(crate) fn new(head: &Head, framing: &Framing) -> Self {
        Self {
            is_head: head.method() == Some(Method::Head),
            http_1_1: head.minor >= 1,
            keep_alive: framing.keep_alive,
        }
    }

    /// By a request of which no more than the method could be read.
    pub(crate) fn unreadable(head: &Head) -> Self {
        Self { is_head: head.method() == Some(Method::Head), http_1_1: true, keep_alive: false }
    }
}

/// Makes of an answer to GET or HEAD what the request's conditions and range ask for.
pub(crate) fn select(
    mut response: Response,
    method: Method,
    head: &Head,
) -> (Response, Option<Range<usize>>) {
    let validators = &response.validators;
    let has_validators = validators.etag.is_some() || validators.last_modified.is_some();
    let is_read = matches!(method, Method::Get | Method::Head);
    if response.status != Status::OK || !has_validators || !is_read {
        return (response, None);
    }
    match conditional::evaluate(method, head, Some(validators)) {
        Precondition::Proceed => {}
        Precondition::Failed => return (Response::error(Status::PRECONDITION_FAILED), None),
        Precondition::NotModified => {
            response.status = Status::NOT_MODIFIED;
            return (response, None);
        }
    }
    let Some(len) = response.body.len_in_memory() else { return (response, None) };
    response.fields.extend_from_slice(b"Accept-Ranges: bytes\r\n");
    let range = head.field("Range").filter(|_| method == Method::Get);
    let Some(range) = range.filter(|_| conditional::if_range(head, &response.validators)) else {
        return (response, None);
    };
    match range::parse(range, len) {
        Part::Whole => (response, None),
        Part::Octets(start, end) => {
            response.status = Status::PARTIAL_CONTENT;
            (response, Some(start..end))
        }
        Part::Unsatisfiable => {
            let mut refusal = Response::error(Status::RANGE_NOT_SATISFIABLE);
            put_content_range(&mut refusal.fields, None, len);
            (refusal, None)
        }
    }
}

impl Body {
    fn len_in_memory(&self) -> Option<usize> {
        match &self.0 {
            Kind::Static(bytes) => Some(bytes.len()),
            Kind::Owned(bytes) => Some(bytes.len()),
            Kind::Stream { .. } => None,
        }
    }
}

/// Sends a response, or `part` of it; says whether the connection may be kept. An error: it must be cut.
pub(crate) async fn send(
    io: &Io,
    limits: &Limits,
    date: HttpDate,
    asked: Asked,
    response: Response,
    part: Option<Range<usize>>,
) -> Result<bool, Aborted> {
    io.begin_writing(Phase::transfer(limits.write_time, limits.min_rate));
    io.stats.count(response.status);
    let delimiter = delimiter(&response, asked, part.as_ref());
    let keep_alive = asked.keep_alive && !response.close && delimiter != Some(Delimiter::Close);
    io.with_output(|out| {
        put_status(out, response.status);
        put_fields(out, &response, date);
        put_framing(out, &response, delimiter, part.as_ref());
        put_connection(out, asked.http_1_1, keep_alive);
        out.extend_from_slice(b"\r\n");
    });
    let Some(delimiter) = delimiter.filter(|_| !asked.is_head) else { return Ok(keep_alive) };
    io.is_open_ended.set(delimiter == Delimiter::Close);
    match response.body.0 {
        Kind::Static(bytes) => {
            let part = part.unwrap_or(0..bytes.len());
            send_chunk(io, Chunk::Static(&bytes[part])).await;
        }
        Kind::Owned(bytes) => {
            let part = part.unwrap_or(0..bytes.len());
            send_chunk(io, Chunk::Owned(bytes, part)).await;
        }
        Kind::Stream { source, .. } => {
            let mut writer = BodyWriter::new(io, delimiter);
            let made = source.run(&mut writer).await;
            if made.and_then(|()| writer.finish()).is_err() {
                io.flush().await;
                return Err(Aborted);
            }
        }
    }
    Ok(keep_alive)
}

async fn send_chunk(io: &Io, chunk: Chunk) {
    let bytes = chunk.as_slice();
    if bytes.len() <= SMALL {
        io.with_output(|out| out.extend_from_slice(bytes));
    } else {
        io.flush_with(chunk).await;
    }
}

/// How the content is delimited; `None` where a status has none.
fn delimiter(response: &Response, asked: Asked, part: Option<&Range<usize>>) -> Option<Delimiter> {
    if response.status.is_bodyless() {
        return None;
    }
    Some(match (&response.body.0, part) {
        (Kind::Static(_) | Kind::Owned(_), Some(part)) => Delimiter::Length(part.len() as u64),
        (Kind::Static(bytes), None) => Delimiter::Length(bytes.len() as u64),
        (Kind::Owned(bytes), None) => Delimiter::Length(bytes.len() as u64),
        (Kind::Stream { len: Some(n), .. }, _) => Delimiter::Length(*n),
        (Kind::Stream { len: None, .. }, _) if asked.http_1_1 => Delimiter::Chunks,
        (Kind::Stream { len: None, .. }, _) => Delimiter::Close,
    })
}

fn put_status(out: &mut Vec<u8>, status: Status) {
    out.reserve(384);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&status.digits());
    out.push(b' ');
    out.extend_from_slice(status.reason().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn put_fields(out: &mut Vec<u8>, response: &Response, date: HttpDate) {
    put_field(out, "Date", date.as_str());
    if let Some(tag) = &response.validators.etag {
        put_field(out, "ETag", tag);
    }
    if let Some(date) = &response.validators.last_modified {
        put_field(out, "Last-Modified", date.as_str());
    }
    if response.status == Status::NOT_MODIFIED {
        put_all_but_content_fields(out, response.prepared.as_bytes());
        put_all_but_content_fields(out, &response.fields);
    } else {
        out.extend_from_slice(response.prepared.as_bytes());
        out.extend_from_slice(&response.fields);
    }
}

/// A 304 describes no content (RFC 9110 section 15.4.5).
fn put_all_but_content_fields(out: &mut Vec<u8>, lines: &[u8]) {
    for line in lines.split_inclusive(|&b| b == b'\n') {
        let about_content = line.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"Content-"));
        if !about_content {
            out.extend_from_slice(line);
        }
    }
}

fn put_framing(
    out: &mut Vec<u8>,
    response: &Response,
    delimiter: Option<Delimiter>,
    part: Option<&Range<usize>>,
) {
    if let (Some(part), Some(len)) = (part, response.body.len_in_memory()) {
        put_content_range(out, Some(part), len);
    }
    match delimiter {
        Some(Delimiter::Length(n)) => {
            out.extend_from_slice(b"Content-Length: ");
            put_number(out, n);
            out.extend_from_slice(b"\r\n");
        }
        Some(Delimiter::Chunks) => put_field(out, "Transfer-Encoding", "chunked"),
        Some(Delimiter::Close) | None => {}
    }
}

/// Only what is not the version's default.
fn put_connection(out: &mut Vec<u8>, http_1_1: bool, keep_alive: bool) {
    match (http_1_1, keep_alive) {
        (true, true) => {}
        (false, true) => put_field(out, "Connection", "keep-alive"),
        (_, false) => put_field(out, "Connection", "close"),
    }
}

fn put_field(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// `Content-Range: bytes 0-9/100`, or `bytes */100` for a range that cannot be.
fn put_content_range(out: &mut Vec<u8>, part: Option<&Range<usize>>, len: usize) {
    out.extend_from_slice(b"Content-Range: bytes ");
    match part {
        Some(part) => {
            put_number(out, part.start as u64);
            out.push(b'-');
            put_number(out, part.end as u64 - 1);
        }
        None => out.push(b'*'),
    }
    out.push(b'/');
    put_number(out, len as u64);
    out.extend_from_slice(b"\r\n");
}

fn put_number(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for n in [0, 9, 10, 4096, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, n);
            assert_eq!(String::from_utf8(out).unwrap(), n.to_string());
        }
    }
}
