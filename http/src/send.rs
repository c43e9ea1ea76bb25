//! Puts responses on their way.

use crate::body::{Left, Received, RequestContent};
use crate::conditional::{self, Precondition};
use crate::framing::Framing;
use crate::head::Head;
use crate::io::{Chunk, Io, Phase};
use crate::range::{self, Part};
use crate::response::{Body, Kind, Ways};
use crate::server::Shared as Server;
use crate::stream::{Aborted, BodyWriter, Delimiter};
use crate::{HttpDate, Method, Response, Status};
use alloc::vec::Vec;
use core::ops::Range;
use fata_libos::time::Duration;

/// Content up to this size is put behind its head, to be written with it; larger content is written from where it is.
const SMALL: usize = 1024;

/// Longer than any connection lives: who has another protocol has its own timers.
const NEVER: Duration = Duration::from_secs(1 << 30);

/// A client that takes nothing for so long of another protocol is gone. One that is slow is not: what it takes moves this on.
const STALLED: Duration = Duration::from_secs(60);

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

/// Makes of an answer to GET or HEAD what the request's conditions and range ask for; the part to send, if not all.
pub(crate) fn select(response: &mut Response, method: Method, head: &Head) -> Option<Range<usize>> {
    let validators = &response.validators;
    let has_validators = validators.etag.is_some() || validators.last_modified.is_some();
    let is_read = matches!(method, Method::Get | Method::Head);
    if response.status != Status::OK || !has_validators || !is_read {
        return None;
    }
    match conditional::evaluate(method, head, Some(validators)) {
        Precondition::Proceed => {}
        Precondition::Failed => {
            *response = Response::error(Status::PRECONDITION_FAILED);
            return None;
        }
        Precondition::NotModified => {
            response.status = Status::NOT_MODIFIED;
            return None;
        }
    }
    let len = response.body.len_in_memory()?;
    response.has_ranges = true;
    let range = head.field("Range").filter(|_| method == Method::Get)?;
    if !conditional::if_range(head, &response.validators) {
        return None;
    }
    match range::parse(range, len) {
        Part::Whole => None,
        Part::Octets(start, end) => {
            response.status = Status::PARTIAL_CONTENT;
            Some(start..end)
        }
        Part::Unsatisfiable => {
            *response = Response::error(Status::RANGE_NOT_SATISFIABLE);
            put_content_range(&mut response.fields, None, len);
            None
        }
    }
}

impl Body {
    fn len_in_memory(&self) -> Option<usize> {
        match &self.0 {
            Kind::Static(bytes) => Some(bytes.len()),
            Kind::Owned(bytes) => Some(bytes.len()),
            Kind::Stream { .. } | Kind::Upgrade(_) => None,
        }
    }
}

/// A response whose head was written.
pub(crate) struct Begun {
    delimiter: Option<Delimiter>,
    keep_alive: bool,
}

/// Writes the head of a response, or of `part` of it.
pub(crate) fn begin(
    server: &Server,
    io: &Io,
    asked: Asked,
    response: &Response,
    part: Option<&Range<usize>>,
) -> Begun {
    io.begin_writing(Phase::transfer(server.limits.write_time, server.limits.min_rate));
    io.stats.count(response.status);
    let delimiter = delimiter(response, asked, part);
    let keep_alive = asked.keep_alive && !response.close && delimiter != Some(Delimiter::Close);
    io.with_output(|out| {
        if out.capacity() == 0 {
            *out = server.spare.take_output();
        }
        put_start(out, response, &server.date.now());
        put_fields(out, response);
        put(out, &[server.fields.get().as_bytes()]);
        put_framing(out, response, delimiter, part, end(response, asked.http_1_1, keep_alive));
    });
    Begun { delimiter: delimiter.filter(|_| !asked.is_head), keep_alive }
}

/// Sends the content, or `part` of it; says whether the connection may be kept. An error: it must be cut.
pub(crate) async fn finish(
    io: &Io,
    begun: Begun,
    body: Body,
    part: Option<Range<usize>>,
    request: Option<Received<'_>>,
) -> Result<bool, Aborted> {
    let Begun { delimiter, keep_alive } = begun;
    io.is_open_ended.set(delimiter == Some(Delimiter::Close));
    match body.0 {
        Kind::Stream { source, ways, .. } if delimiter.is_some() || ways == Ways::Both => {
            let mut writer = BodyWriter::new(io, delimiter.unwrap_or(Delimiter::Length(0)));
            let left = request.map_or(Left::Nothing, Left::Content);
            let made = source.run(RequestContent(left), &mut writer).await;
            if made.and_then(|()| writer.finish()).is_err() {
                io.flush().await;
                return Err(Aborted);
            }
        }
        _ if delimiter.is_none() => {}
        Kind::Static(bytes) => {
            let part = part.unwrap_or(0..bytes.len());
            send_chunk(io, (bytes.into(), part)).await;
        }
        Kind::Owned(bytes) => {
            let part = part.unwrap_or(0..bytes.len());
            send_chunk(io, (bytes.into(), part)).await;
        }
        Kind::Stream { .. } => {}
        Kind::Upgrade(source) => {
            io.begin_reading(Phase::wait(NEVER));
            io.begin_writing(Phase::stall(STALLED));
            io.is_watched.set(false);
            let mut writer = BodyWriter::new(io, Delimiter::Close);
            source.run(RequestContent(Left::Raw(io)), &mut writer).await?;
        }
    }
    Ok(keep_alive)
}

async fn send_chunk(io: &Io, chunk: Chunk) {
    let bytes = chunk.0.get(chunk.1.clone()).unwrap_or_default();
    if bytes.len() <= SMALL {
        io.with_output(|out| out.extend_from_slice(bytes));
    } else {
        io.flush_with(chunk).await;
    }
}

/// How the content is delimited; `None` where a status has none.
pub(crate) fn delimiter(response: &Response, asked: Asked, part: Option<&Range<usize>>) -> Option<Delimiter> {
    if response.status.is_bodyless() {
        return None;
    }
    Some(match (&response.body.0, part) {
        (Kind::Static(_) | Kind::Owned(_), Some(part)) => Delimiter::Length(part.len() as u64),
        (Kind::Static(bytes), None) => Delimiter::Length(bytes.len() as u64),
        (Kind::Owned(bytes), None) => Delimiter::Length(bytes.len() as u64),
        (Kind::Stream { len: Some(n), .. }, _) => Delimiter::Length(*n),
        (Kind::Stream { len: None, .. }, _) if asked.http_1_1 => Delimiter::Chunks,
        (Kind::Stream { len: None, .. } | Kind::Upgrade(_), _) => Delimiter::Close,
    })
}

/// What heads and small contents usually come to, octets.
const USUAL: usize = 384;

// Often called: one copy of it is enough.
#[inline(never)]
fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Puts an interim answer.
pub(crate) fn put_interim(out: &mut Vec<u8>, answer: &Response) {
    let status = answer.status;
    put(
        out,
        &[b"HTTP/1.1 ", &status.digits(), b" ", status.reason().as_bytes(), b"\r\n", &answer.fields, b"\r\n"],
    );
}

fn put_start(out: &mut Vec<u8>, response: &Response, date: &HttpDate) {
    let status = response.status;
    out.reserve(USUAL);
    if response.relayed.has_date {
        return put(out, &[b"HTTP/1.1 ", &status.digits(), b" ", status.reason().as_bytes(), b"\r\n"]);
    }
    // Most responses have it: a piece less to put.
    if status == Status::OK {
        return put(out, &[b"HTTP/1.1 200 OK\r\nDate: ", date.line()]);
    }
    let reason = status.reason().as_bytes();
    put(out, &[b"HTTP/1.1 ", &status.digits(), b" ", reason, b"\r\nDate: ", date.line()]);
}

fn put_fields(out: &mut Vec<u8>, response: &Response) {
    if let (Some(tag), false) = (&response.validators.etag, response.has_prepared_etag) {
        put(out, &[b"ETag: ", tag.as_bytes(), b"\r\n"]);
    }
    if let Some(date) = &response.validators.last_modified {
        put(out, &[b"Last-Modified: ", date.line()]);
    }
    if response.status == Status::NOT_MODIFIED && !response.relayed.is_relayed {
        put_all_but_content_fields(out, response.prepared.as_bytes());
        put_all_but_content_fields(out, &response.fields);
    } else {
        put(out, &[response.prepared.as_bytes(), &response.fields]);
    }
}

/// Puts what stands in a response of HTTP/2, as lines: all but what delimits content there.
#[cfg(feature = "h2")]
pub(crate) fn put_lines(
    out: &mut Vec<u8>,
    server: &Server,
    response: &Response,
    delimiter: Option<Delimiter>,
    part: Option<&Range<usize>>,
) {
    if !response.relayed.has_date {
        put(out, &[b"Date: ", server.date.now().line()]);
    }
    put_fields(out, response);
    put(out, &[server.fields.get().as_bytes()]);
    put_framing(out, response, delimiter.filter(|&d| d != Delimiter::Chunks), part, b"\r\n\r\n");
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

/// What delimits the content, and the end of the head.
fn put_framing(
    out: &mut Vec<u8>,
    response: &Response,
    delimiter: Option<Delimiter>,
    part: Option<&Range<usize>>,
    end: &[u8],
) {
    if let (Some(part), Some(len)) = (part, response.body.len_in_memory()) {
        put_content_range(out, Some(part), len);
    }
    match delimiter {
        Some(Delimiter::Length(n)) => {
            let names: &[u8] = match response.has_ranges {
                true => b"Accept-Ranges: bytes\r\nContent-Length: ",
                false => b"Content-Length: ",
            };
            put(out, &[names, digits(n, &mut [0; 20]), end]);
        }
        Some(Delimiter::Chunks) => put(out, &[b"Transfer-Encoding: chunked", end]),
        // The line before has ended.
        Some(Delimiter::Close) | None => put(out, &[&end[2..]]),
    }
}

/// The end of the head's last line but `Connection`, and what follows: that field only where it is not the version's default.
fn end(response: &Response, http_1_1: bool, keep_alive: bool) -> &'static [u8] {
    let upgrades = matches!(response.body.0, Kind::Upgrade(_));
    // What may be gone on with is named by `Upgrade`, which is of the connection (RFC 9110 section 7.8).
    let must = http_1_1 && response.status == Status::UPGRADE_REQUIRED && response.has_header("Upgrade");
    if upgrades || must && keep_alive {
        return b"\r\nConnection: upgrade\r\n\r\n";
    }
    if must {
        return b"\r\nConnection: upgrade, close\r\n\r\n";
    }
    match (http_1_1, keep_alive) {
        (true, true) => b"\r\n\r\n",
        (false, true) => b"\r\nConnection: keep-alive\r\n\r\n",
        (_, false) => b"\r\nConnection: close\r\n\r\n",
    }
}

/// `Content-Range: bytes 0-9/100`, or `bytes */100` for a range that cannot be.
fn put_content_range(out: &mut Vec<u8>, part: Option<&Range<usize>>, len: usize) {
    put(out, &[b"Content-Range: bytes "]);
    match part {
        Some(part) => {
            let (first, last) = (part.start as u64, part.end as u64 - 1);
            put(out, &[digits(first, &mut [0; 20]), b"-", digits(last, &mut [0; 20])]);
        }
        None => put(out, &[b"*"]),
    }
    put(out, &[b"/", digits(len as u64, &mut [0; 20]), b"\r\n"]);
}

/// A number in decimal, in `text`.
fn digits(mut n: u64, text: &mut [u8; 20]) -> &[u8] {
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return &text[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for n in [0, 9, 10, 4096, u64::MAX] {
            assert_eq!(digits(n, &mut [0; 20]), n.to_string().as_bytes());
        }
    }
}
