//! What a handler answers.

use crate::body::RequestContent;
use crate::conditional::Validators;
use crate::octets::Class;
use crate::stream::{Aborted, BodyWriter, Source, TwoWays};
use crate::{HttpDate, Status};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// A response: status, header fields, content.
///
/// `Date`, `Content-Length`, `Transfer-Encoding` and `Connection` are the server's to set.
pub struct Response {
    pub(crate) status: Status,
    /// Whole header lines that were made beforehand.
    pub(crate) prepared: &'static str,
    /// Whether the entity-tag is among them.
    pub(crate) has_prepared_etag: bool,
    pub(crate) fields: Vec<u8>,
    pub(crate) validators: Validators,
    pub(crate) body: Body,
    /// Whether to say that parts of the content can be asked for.
    pub(crate) has_ranges: bool,
    pub(crate) close: bool,
    pub(crate) relayed: Relayed,
}

/// Which of the server's own fields a response brings with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relayed {
    pub(crate) is_relayed: bool,
    pub(crate) has_date: bool,
}

/// Content of a response.
pub struct Body(pub(crate) Kind);

pub(crate) enum Kind {
    /// Sent from where it is, never copied before the stream does.
    Static(&'static [u8]),
    Owned(Vec<u8>),
    Stream {
        len: Option<u64>,
        ways: Ways,
        source: Box<dyn Source>,
    },
    /// Another protocol goes on behind the head.
    Upgrade(Box<dyn Source>),
}

/// What content that is made while it is sent needs of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ways {
    /// That it takes it.
    Out,
    /// Also what is left of the request: it is made to its end also where the response has no content.
    Both,
}

impl Response {
    /// A response with that status and no content.
    pub fn new(status: Status) -> Self {
        Self {
            status,
            prepared: "",
            has_prepared_etag: false,
            fields: Vec::new(),
            validators: Validators::default(),
            body: Body::default(),
            has_ranges: false,
            close: false,
            relayed: Relayed::default(),
        }
    }

    /// 200 with content of type text/plain.
    pub fn text(body: impl Into<Body>) -> Self {
        Self::new(Status::OK).prepared("Content-Type: text/plain; charset=utf-8\r\n").body(body)
    }

    /// 200 with content of type text/html.
    pub fn html(body: impl Into<Body>) -> Self {
        Self::new(Status::OK).prepared("Content-Type: text/html; charset=utf-8\r\n").body(body)
    }

    /// A status that speaks for itself, with its name as content.
    pub fn error(status: Status) -> Self {
        let mut text = String::from(status.reason());
        text.push('\n');
        Self { status, ..Self::text(text) }
    }

    /// A redirect, such as 301 or 303, to a place that is a path or a whole URI, percent-encoded.
    pub fn redirect(status: Status, location: &str) -> Self {
        Self::new(status).header("Location", location)
    }

    /// 200 with content that `write` makes piece by piece: in chunks, or to a client of HTTP/1.0 until the connection is
    /// closed. If it returns an error, the connection is cut, so that the client sees that the content is not whole: by the
    /// chunk that is missing, or to a client of HTTP/1.0 by a reset; of HTTP/2 the stream alone is reset.
    ///
    /// ```
    /// # use fata_http::{BodyWriter, Response};
    /// let count = 3;
    /// Response::stream(async move |body: &mut BodyWriter<'_>| {
    ///     for n in 0..count {
    ///         body.write(format!("{n}\n").as_bytes()).await;
    ///     }
    ///     Ok(())
    /// });
    /// ```
    pub fn stream(write: impl AsyncFnOnce(&mut BodyWriter<'_>) -> Result<(), Aborted> + 'static) -> Self {
        Self::new(Status::OK).body(Body(Kind::Stream { len: None, ways: Ways::Out, source: Box::new(write) }))
    }

    /// As [`stream`](Self::stream), for content whose length is known; what `write` writes must come to that.
    pub fn sized_stream(
        len: u64,
        write: impl AsyncFnOnce(&mut BodyWriter<'_>) -> Result<(), Aborted> + 'static,
    ) -> Self {
        Self::new(Status::OK).body(Body(Kind::Stream {
            len: Some(len),
            ways: Ways::Out,
            source: Box::new(write),
        }))
    }

    /// As [`stream`](Self::stream), or where the length is known [`sized_stream`](Self::sized_stream), for content that is made while the rest of
    /// the request's is read: what `run` is given first. It is run to its end also where the response has no content, by its status or method, or since its length is 0,
    /// and must write none then.
    pub fn two_ways(
        len: Option<u64>,
        run: impl AsyncFnOnce(RequestContent<'_>, &mut BodyWriter<'_>) -> Result<(), Aborted> + 'static,
    ) -> Self {
        Self::new(Status::OK).body(Body(Kind::Stream {
            len,
            ways: Ways::Both,
            source: Box::new(TwoWays(run)),
        }))
    }

    /// 101: behind its head the connection is `run`'s, which reads and writes another protocol, `Upgrade`'s value (RFC 9110 section 7.8).
    /// Nothing limits the time of that but a client that takes nothing of what is written for a minute, and the server's [drain](crate::Server::drain). When `run` is done the connection is closed: in
    /// order, or after an error by a reset. For requests of HTTP/1.1 that have asked for it; in HTTP/2 there is none, and its stream is reset.
    pub fn upgrade(
        protocol: &str,
        run: impl AsyncFnOnce(RequestContent<'_>, &mut BodyWriter<'_>) -> Result<(), Aborted> + 'static,
    ) -> Self {
        let body = Body(Kind::Upgrade(Box::new(TwoWays(run))));
        Self::new(Status::SWITCHING_PROTOCOLS).header("Upgrade", protocol).body(body)
    }

    /// Adds a field of a response that another server has made, which is passed on as it is, its `Date` and validators too. What frames it or
    /// is about a connection, is left out, and so is what is no field.
    pub fn relayed_header(mut self, name: &str, value: &[u8]) -> Self {
        let is_field = !name.is_empty() && Class::TOKEN.run(name.as_bytes()) == name.len();
        if !is_field || Class::VALUE.run(value) != value.len() || is_of_transfer(name) {
            return self;
        }
        self.relayed.is_relayed = true;
        self.relayed.has_date |= name.eq_ignore_ascii_case("Date");
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.fields.extend_from_slice(part);
        }
        self
    }

    /// Sets the status.
    pub fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// The status as it is set.
    pub fn status_code(&self) -> Status {
        self.status
    }

    /// Sets the content.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a header field. A name that is none is left out, and so are the server's own; what a value must not contain
    /// becomes a blank: whatever comes from a client cannot start a field of its own.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if !name.is_empty() && Class::TOKEN.run(name.as_bytes()) == name.len() && !is_servers_own(name) {
            self.fields.reserve(name.len() + value.len() + 4);
            self.fields.extend_from_slice(name.as_bytes());
            self.fields.extend_from_slice(b": ");
            self.fields
                .extend(value.bytes().map(|b| if b.is_ascii_control() && b != b'\t' { b' ' } else { b }));
            self.fields.extend_from_slice(b"\r\n");
        }
        self
    }

    /// Whether it has a header field of that name by now.
    pub fn has_header(&self, name: &str) -> bool {
        let has = |lines: &[u8]| {
            lines.split(|&octet| octet == b'\n').any(|line| {
                let field = line.split(|&octet| octet == b':').next();
                field.is_some_and(|field| field.eq_ignore_ascii_case(name.as_bytes()))
            })
        };
        !name.is_empty() && (has(&self.fields) || has(self.prepared.as_bytes()))
    }

    /// Sets header lines that were made beforehand, each ending in CRLF. For content that is the same every time; replaces
    /// the `Content-Type` of [`text`](Self::text) and [`html`](Self::html).
    pub fn prepared(mut self, lines: &'static str) -> Self {
        debug_assert!(lines.is_empty() || lines.ends_with("\r\n"), "header lines end in CRLF");
        self.prepared = lines;
        self.has_prepared_etag = false;
        self
    }

    /// As [`prepared`](Self::prepared), where one of the lines is the `ETag` with this entity-tag; see [`etag`](Self::etag).
    pub fn prepared_with_etag(mut self, lines: &'static str, tag: &'static str) -> Self {
        debug_assert!(lines.contains(tag), "the lines have the entity-tag");
        self = self.prepared(lines).etag(tag);
        self.has_prepared_etag = true;
        self
    }

    /// Sets the `Content-Type`.
    pub fn content_type(self, value: &str) -> Self {
        self.prepared("").header("Content-Type", value)
    }

    /// Sets the entity-tag, with its quotes: `"abc"`; not after [`prepared_with_etag`](Self::prepared_with_etag). The server then answers conditional requests and ranges by itself.
    pub fn etag(mut self, tag: impl Into<Cow<'static, str>>) -> Self {
        self.validators.etag = Some(tag.into());
        self.has_prepared_etag = false;
        self
    }

    /// Sets `Last-Modified`. The server then answers conditional requests and ranges by itself.
    pub fn last_modified(mut self, date: HttpDate) -> Self {
        self.validators.last_modified = Some(date);
        self
    }

    /// Whether its content goes on to read the request's.
    pub(crate) fn reads_on(&self) -> bool {
        matches!(self.body.0, Kind::Stream { ways: Ways::Both, .. })
    }

    /// The content alone.
    pub(crate) fn into_body(self) -> Body {
        self.body
    }

    /// Closes the connection after this response.
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }
}

fn is_servers_own(name: &str) -> bool {
    ["Date", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "ETag", "Last-Modified"]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name))
}

fn is_of_transfer(name: &str) -> bool {
    ["Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Keep-Alive", "Proxy-Connection"]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name))
}

impl Default for Body {
    fn default() -> Self {
        Self(Kind::Static(b""))
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Kind::Static(bytes))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self(Kind::Static(text.as_bytes()))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Kind::Owned(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(Kind::Owned(text.into_bytes()))
    }
}

impl From<Cow<'static, str>> for Body {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl From<Cow<'static, [u8]>> for Body {
    fn from(bytes: Cow<'static, [u8]>) -> Self {
        match bytes {
            Cow::Borrowed(bytes) => bytes.into(),
            Cow::Owned(bytes) => bytes.into(),
        }
    }
}

/// What a handler may return: a [`Response`], a [`Status`], or a `Result` of such, so that `?` works in handlers.
pub trait IntoResponse {
    /// The response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        if self.is_bodyless() { Response::new(self) } else { Response::error(self) }
    }
}

impl IntoResponse for crate::BodyError {
    fn into_response(self) -> Response {
        self.into()
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(response) => response.into_response(),
            Err(response) => response.into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fields_there_are() {
        let response = Response::new(Status::OK)
            .relayed_header("X-One", b"X-Two: 1")
            .header("x-three", "")
            .prepared("X-Four: 4\r\n");
        for (name, expected) in [
            ("x-one", true),
            ("X-Two", false),
            ("X-Three", true),
            ("X-FOUR", true),
            ("X", false),
            ("", false),
        ] {
            assert_eq!(response.has_header(name), expected, "{name}");
        }
    }
}
